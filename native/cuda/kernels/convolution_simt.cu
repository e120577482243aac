// Convolution as an implicit matrix product with FFMA: every shape, kernel size, stride and number of channels, f32 and
// bf16 (widened; sums in f32). It is what the tensor-core kernels are checked against, and what computes f32 strictly.
//
// A block of 256 threads computes 128·P pixels × 32·Q channels (weight gradient: 128·P weights of one output channel ×
// 32·Q output channels); a thread 4·P × 4·Q of them, in quads 128 and 32 apart. Eight inner indices at a time go
// through registers to shared memory, as [inner][row] and [inner][column], in two buffers: the next eight are loaded
// from global memory while these are multiplied. A shortcut is a second product into the same sums.
//
// Operations: 2·batch·outHeight·outWidth·cout·cin·kh·kw for each of the three. Bytes: input, output and weights once
// (every element of a tile is loaded kh·kw times, all but the first from L1 or L2). A 3×3 layer of 160 channels is 300
// operations a byte in f32, so all but the narrowest are bound by FFMA: on an H100 operations / 60 TFLOP/s at best, of
// which such kernels reach 75 %. Per inner index a thread loads 4·(P + Q) numbers from shared memory for 16·P·Q FFMA:
// 128 × 160 is 24 to 80, 128 × 128 is 20 to 64. Not measured on hardware.
//
// The weight gradient's inner index runs over all pixels; it is split over blocks until they fill the GPU, and the
// parts are added in order (convolution_weight_sums.h).
#include <type_traits>

#include "convolution_simt_tiles.h"
#include "convolution_weight_sums.h"

namespace langevin::cuda::simt {

constexpr int kColumnLanes = 8;  // threads of a row of the block's tile

/// Blocks of a multiprocessor: two where 128 registers a thread are enough.
constexpr int residentBlocks(int P, int Q) { return Q == 5 || (P == 2 && Q == 2) ? 1 : 2; }
/// … of those that gather pixels: before Hopper ptxas spills 128 × 128 of f32 within 128 registers.
template <class T>
constexpr int residentGathers(int P, int Q) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  if (sizeof(T) == 4 && P == 1 && Q == 4) return 1;
#endif
  return residentBlocks(P, Q);
}

template <int rows, int columns>
LANGEVIN_DEVICE void clear(float (&sums)[rows][columns]) {
#pragma unroll
  for (int i = 0; i < rows; ++i) {
#pragma unroll
    for (int j = 0; j < columns; ++j) sums[i][j] = 0;
  }
}

/// sums[4p + i][4q + j] += Σ left[row]·right[column] of row 128·p + 4·(thread's row lane) + i and column 32·q + 4·(its
/// column lane) + j.
template <int P, int Q, class Left, class Right>
LANGEVIN_DEVICE void multiply(Left& left, Right& right, int depth, float (&sums)[4 * P][4 * Q]) {
  constexpr int rowPitch = pitchOf(128 * P), columnPitch = pitchOf(32 * Q);
  LANGEVIN_SHARED(float, leftTiles, [2][kDepth * rowPitch]);
  LANGEVIN_SHARED(float, rightTiles, [2][kDepth * columnPitch]);
  const int rowLane = threadIdx.x / kColumnLanes, columnLane = threadIdx.x % kColumnLanes;
  const int steps = (depth + kDepth - 1) / kDepth;
  if (steps == 0) return;
  left.load(), right.load();
  left.store(leftTiles[0]), right.store(rightTiles[0]);
  __syncthreads();
  for (int step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more) left.load(), right.load();
    const float *a = leftTiles[step % 2] + 4 * rowLane, *b = rightTiles[step % 2] + 4 * columnLane;
#pragma unroll
    for (int k = 0; k < kDepth; ++k, a += rowPitch, b += columnPitch) {
      float rows[P][4], columns[Q][4];
#pragma unroll
      for (int p = 0; p < P; ++p) loadVector(a + 128 * p, rows[p]);
#pragma unroll
      for (int q = 0; q < Q; ++q) loadVector(b + 32 * q, columns[q]);
#pragma unroll
      for (int i = 0; i < 4 * P; ++i) {
#pragma unroll
        for (int j = 0; j < 4 * Q; ++j) sums[i][j] = fmaf(rows[i / 4][i % 4], columns[j / 4][j % 4], sums[i][j]);
      }
    }
    if (more) left.store(leftTiles[(step + 1) % 2]), right.store(rightTiles[(step + 1) % 2]);
    __syncthreads();
  }
}

/// Calls f(row of the tile, column of the tile, four sums) for each quad of the thread.
template <int P, int Q, class F>
LANGEVIN_DEVICE void forEachQuad(float (&sums)[4 * P][4 * Q], const F& f) {
#pragma unroll
  for (int i = 0; i < 4 * P; ++i) {
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      float quad[4] = {sums[i][4 * q], sums[i][4 * q + 1], sums[i][4 * q + 2], sums[i][4 * q + 3]};
      f(i / 4 * 128 + static_cast<int>(threadIdx.x) / kColumnLanes * 4 + i % 4,
        q * 32 + static_cast<int>(threadIdx.x) % kColumnLanes * 4, quad);
    }
  }
}

template <class T, int P, int Q, bool whole>
__global__ void __launch_bounds__(kThreads, residentGathers<T>(P, Q))
    convolveForward(const __grid_constant__ ForwardSources<T> from, const ForwardEpilogue<T> epilogue,
                    int columnTiles) {
  const Conv& s = from.sources[0].s;
  const int pixels = s.batch * s.outHeight * s.outWidth;
  const int firstRow = static_cast<int>(blockIdx.x) / columnTiles * (128 * P);
  const int firstColumn = static_cast<int>(blockIdx.x) % columnTiles * (32 * Q);
  float sums[4 * P][4 * Q];
  clear(sums);
#pragma unroll 1
  for (int i = 0; i < from.count; ++i) {
    const auto& source = from.sources[i];
    const PixelGrid g = forwardGrid(source.s);
    PixelTile<T, 128 * P, whole> left({source.x, g, firstRow, pixels}, g);
    MatrixTile<T, 32 * Q, whole> right(source.weight, firstColumn, s.cout, 0, g.inner());
    multiply<P, Q>(left, right, g.inner(), sums);
  }
  forEachQuad<P, Q>(sums, [&](int row, int column, float(&quad)[4]) {
    const int64_t pixel = firstRow + row;
    const bool inside = pixel < pixels && firstColumn + column < s.cout;
    uint32_t bits = 0;
    if (inside) bits = epilogue.template store<4, whole>(pixel, firstColumn + column, quad);
    if (epilogue.signs) {  // a byte is two quads, of neighbouring lanes
      bits |= __shfl_xor_sync(0xffffffffu, bits, 1) << 4;
      if (inside && threadIdx.x % 2 == 0) {
        epilogue.signs[(pixel * s.cout + firstColumn + column) / 8] = static_cast<uint8_t>(bits);
      }
    }
  });
}

template <class T, int P, int Q, bool whole>
__global__ void __launch_bounds__(kThreads, residentGathers<T>(P, Q))
    convolveBackwardInput(const T* dy, const T* weight, const Conv s, const BackwardInputEpilogue<T> epilogue,
                          int rowTiles, int columnTiles) {
  const PixelGrid g = backwardGrid(s, static_cast<int>(blockIdx.x) / columnTiles / rowTiles);
  const int pixels = s.batch * g.rows * g.columns;
  const int firstRow = static_cast<int>(blockIdx.x) / columnTiles % rowTiles * (128 * P);
  const int firstColumn = static_cast<int>(blockIdx.x) % columnTiles * (32 * Q);
  if (firstRow >= pixels) return;
  PixelTile<T, 128 * P, whole> left({dy, g, firstRow, pixels}, g);
  TransposedWeightTile<T, 32 * Q, whole> right({weight, g, firstColumn, s.cin}, g);
  float sums[4 * P][4 * Q];
  clear(sums);
  multiply<P, Q>(left, right, g.inner(), sums);
  forEachQuad<P, Q>(sums, [&](int row, int column, float(&quad)[4]) {
    const int m = firstRow + row;
    if (m < pixels && firstColumn + column < s.cin) {
      epilogue.template store<4, whole>(outputPixel(g, m), firstColumn + column, quad);
    }
  });
}

/// Pixels [part·pixelsPerPart, …) of the sum to dweight[part] (T = U, one part) or to the workspace (U = float).
template <class T, class U, int P, int Q, bool whole>
__global__ void __launch_bounds__(kThreads, residentBlocks(P, Q))
    convolveBackwardWeight(const T* x, const T* dy, U* dweight, const Conv s, int columnTiles, int pixelsPerPart) {
  const int weights = s.kh * s.kw * s.cin, pixels = s.batch * s.outHeight * s.outWidth;
  const int firstRow = static_cast<int>(blockIdx.x) / columnTiles * (128 * P);
  const int firstColumn = static_cast<int>(blockIdx.x) % columnTiles * (32 * Q);
  const int begin = blockIdx.y * pixelsPerPart;
  const int end = pixels - begin < pixelsPerPart ? pixels : begin + pixelsPerPart;
  WindowTile<T, 128 * P, whole> left(x, s, firstRow, begin, end);
  MatrixTile<T, 32 * Q, whole> right(dy, firstColumn, s.cout, begin, end);
  float sums[4 * P][4 * Q];
  clear(sums);
  multiply<P, Q>(left, right, end - begin, sums);
  U* part = dweight + static_cast<int64_t>(blockIdx.y) * weights * s.cout;
  forEachQuad<P, Q>(sums, [&](int row, int column, float(&quad)[4]) {
    if (firstRow + row >= weights || firstColumn + column >= s.cout) return;
    storeChannels<4, whole>(part + static_cast<int64_t>(firstRow + row) * s.cout, firstColumn + column, s.cout, quad);
  });
}

/// Activation and sign bits in a pass of their own, eight elements a byte, where pixels do not begin at whole bytes.
template <class T>
__global__ void activate(T* y, uint8_t* signs, int64_t n, float slope) {
  for (int64_t byte = firstItem(); byte < (n + 7) / 8; byte += itemStride()) {
    uint32_t bits = 0;
    for (int i = 0; i < 8 && byte * 8 + i < n; ++i) {
      const float z = widen(y[byte * 8 + i]);
      bits |= static_cast<uint32_t>(z > 0) << i;
      if (slope != 1.0f && !(z > 0)) y[byte * 8 + i] = narrow<T>(slope * z);
    }
    signs[byte] = static_cast<uint8_t>(bits);
  }
}

template <int P, int Q>
struct Tile {
  static constexpr int rowQuads = P, columnQuads = Q, rows = 128 * P, columns = 32 * Q;
};
static bool channelsInQuads(const Conv& s) { return s.cin % 4 == 0 && s.cout % 4 == 0; }
/// Calls f with the tile for a product of so many columns, and with whether all channels come in quads. 128 × 160 is
/// the tile of WideResNets of width 10.
template <class F>
void withTile(bool inQuads, int columns, const F& f) {
  const std::true_type whole;
  const std::false_type ragged;
  if (!inQuads) return columns <= 32 ? f(Tile<1, 1>{}, ragged) : f(Tile<1, 4>{}, ragged);
  if (columns <= 32) return f(Tile<2, 1>{}, whole);
  if (columns <= 64) return f(Tile<2, 2>{}, whole);
  if (columns % 160 == 0) return f(Tile<1, 5>{}, whole);
  f(Tile<1, 4>{}, whole);
}

void forward(Stream& stream, const ConvForward& c) {
  const Conv s = checkedConv(c.s);
  const int64_t pixels = int64_t{s.batch} * s.outHeight * s.outWidth;
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    ForwardEpilogue<T> epilogue = epilogueOf<T>(c);
    const bool separate = c.signs && s.cout % 8 != 0;
    if (separate) epilogue.signs = nullptr, epilogue.slope = 1;
    withTile(channelsInQuads(s) && c.shortcut.channels % 4 == 0, s.cout, [&](auto tile, auto whole) {
      constexpr int P = decltype(tile)::rowQuads, Q = decltype(tile)::columnQuads;
      const int64_t rowTiles = ceilDiv(pixels, tile.rows), columnTiles = ceilDiv(s.cout, tile.columns);
      stream.launch(convolveForward<T, P, Q, decltype(whole)::value>, {gridOf(rowTiles * columnTiles), dim3(kThreads)},
                    sourcesOf<T>(c), epilogue, columnTiles);
    });
    if (separate) {
      const int64_t n = pixels * s.cout;
      stream.launch(activate<T>, loopOver(stream, ceilDiv(n, 8)), epilogue.y, c.signs, n, c.slope);
    }
  });
}

void backwardInput(Stream& stream, const ConvBackwardInput& c) {
  const Conv s = checkedConv(c.s);
  const int64_t phases = int64_t{s.phaseRows()} * s.phaseColumns();
  const int64_t pixels = s.batch * ceilDiv(s.height, s.stride) * ceilDiv(s.width, s.stride);  // of the largest phase
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    withTile(channelsInQuads(s), s.cin, [&](auto tile, auto whole) {
      constexpr int P = decltype(tile)::rowQuads, Q = decltype(tile)::columnQuads;
      const int64_t rowTiles = ceilDiv(pixels, tile.rows), columnTiles = ceilDiv(s.cin, tile.columns);
      stream.launch(convolveBackwardInput<T, P, Q, decltype(whole)::value>,
                    {gridOf(phases * rowTiles * columnTiles), dim3(kThreads)}, c.dy, c.weight, s, epilogueOf<T>(c),
                    rowTiles, columnTiles);
    });
  });
}

void backwardWeight(Stream& stream, const ConvBackwardWeight& c) {
  const Conv s = checkedConv(c.s);
  const int64_t weights = int64_t{s.kh} * s.kw * s.cin;
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    withTile(channelsInQuads(s), s.cout, [&](auto tile, auto whole) {
      constexpr int P = decltype(tile)::rowQuads, Q = decltype(tile)::columnQuads;
      const int64_t columnTiles = ceilDiv(s.cout, tile.columns), tiles = ceilDiv(weights, tile.rows) * columnTiles;
      const WeightParts parts = weightParts(s, tiles, kDepth);
      LaunchShape shape{gridOf(tiles), dim3(kThreads)};
      shape.grid.y = parts.count;
      if (parts.count == 1) {
        stream.launch(convolveBackwardWeight<T, T, P, Q, decltype(whole)::value>, shape, c.x, c.dy, c.dweight, s,
                      columnTiles, parts.pixels);
      } else {
        float* sums = partialWeights(stream, weights * s.cout, parts);
        stream.launch(convolveBackwardWeight<T, float, P, Q, decltype(whole)::value>, shape, c.x, c.dy, sums, s,
                      columnTiles, parts.pixels);
        addParts(stream, sums, parts, weights * s.cout, static_cast<T*>(c.dweight));
      }
    });
    if (c.dbias) sumBias(stream, static_cast<const T*>(c.dy), static_cast<T*>(c.dbias), s);
  });
}

}  // namespace langevin::cuda::simt
