// Convolution on tensor cores of Ampere and later (product_sm80.h): bf16, and f32 rounded to TF32, sums in f32;
// forward, input gradient at strides up to 4 (one product per phase, no wasted taps) and weight gradient (split over
// pixels, added in order). It also serves newer chips whose own instructions we do not use.
//
// Left operands are gathered from images by cp.async in chunks of 16 bytes, zeros where a tap lies outside the image;
// nothing is written out in between. Channels must come in eights; other shapes are the plain kernels'. A shortcut is a
// second product into the same sums: the ring runs empty once in between, about a microsecond a tile.
//
// Tiles: 128 × 160 for WideResNets of width 10 (160, 320 and 640 channels divide it), 128 × 128, 128 × 64, and 64 × 64
// where larger ones would leave multiprocessors idle; 128 × 32 and 128 × 16 for narrow layers (3×3 to 16 channels:
// convolution_halo_sm80.cu). Blocks a multiprocessor of an H100 by registers and shared memory (four stages): 1 of 128
// × 160 (eight warps, 163 to 170 registers, 74 KiB) and of 128 × 128 where it takes more than 128 registers, else 2; 2
// of 128 × 64; 4 of the others.
//
// Operations: 2·batch·outHeight·outWidth·cout·cin·kh·kw each; an A100 does 312 TFLOP/s (bf16) or 156 (TF32), an H100
// by mma.sync about 600 and 300. A 3×3 layer of 160 channels at batch 64 is 30.2 GFLOP and 65 MB. Not measured on
// hardware.
#include <type_traits>

#include "convolution_weight_sums.h"
#include "product_sm80.h"

namespace langevin::cuda::sm80 {

constexpr int kMaxStride = 4;

/// Rows are pixels of a grid, the inner index runs over taps and channels: x forward, dy backward.
template <class T, int extent, int threads>
struct PixelChunks {
  using Layout = InnerContiguous<T, extent>;
  static constexpr int kItems = Layout::chunks / threads;
  static_assert(Layout::chunks % threads == 0 && threads % kStepChunks == 0, "a thread keeps its place in the row");
  const T* source;
  const PixelGrid& g;
  Inner inner;
  const T* pointers[kItems];        // to the source pixel of tap (0, 0), which may lie outside
  int row[kItems], column[kItems];  // … and its place

  LANGEVIN_DEVICE PixelChunks(const T* source, const PixelGrid& g, int firstRow, int rows) : source(source), g(g) {
    inner.advance(g, threadIdx.x % kStepChunks * kLanes<T>);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int m = firstRow + static_cast<int>(threadIdx.x + i * threads) / kStepChunks;
      const Pixel p = pixelOf(m < rows ? m : 0, g.rows, g.columns);
      row[i] = m < rows ? p.row * g.step + g.top : -(1 << 30);
      column[i] = p.column * g.step + g.left;
      pointers[i] =
          source +
          ((static_cast<int64_t>(p.image) * g.sourceHeight + p.row * g.step + g.top) * g.sourceWidth + column[i]) *
              g.channels;
    }
  }
  LANGEVIN_DEVICE void load(unsigned char* tile) {
    const int u = inner.u * g.turn, v = inner.v * g.turn;
    const int64_t offset = (static_cast<int64_t>(u) * g.sourceWidth + v) * g.channels + inner.channel;
    const bool tap = inner.u < g.tapRows;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const bool inside = tap && static_cast<unsigned>(row[i] + u) < static_cast<unsigned>(g.sourceHeight) &&
                          static_cast<unsigned>(column[i] + v) < static_cast<unsigned>(g.sourceWidth);
      const int item = threadIdx.x + i * threads;
      ptx::copyAsync16(Layout::chunk(tile, item / kStepChunks, item % kStepChunks),
                       inside ? pointers[i] + offset : source, inside);
    }
    inner.advance(g, kDepth<T>);
  }
};

/// Columns are input channels, weight[tap][column][inner channel]: the weights as the input gradient takes them.
template <class T, int extent, int threads>
struct TransposedWeightChunks {
  using Layout = InnerContiguous<T, extent>;
  static constexpr int kItems = (Layout::chunks + threads - 1) / threads;
  const T* weight;
  const PixelGrid& g;
  Inner inner;
  int first, columns;

  LANGEVIN_DEVICE TransposedWeightChunks(const T* weight, const PixelGrid& g, int first, int columns)
      : weight(weight), g(g), first(first), columns(columns) {
    inner.advance(g, threadIdx.x % kStepChunks * kLanes<T>);
  }
  LANGEVIN_DEVICE void load(unsigned char* tile) {
    const bool tap = inner.u < g.tapRows;
    const T* from = weight;
    if (tap) from += (static_cast<int64_t>(g.tap(inner.u, inner.v)) * columns + first) * g.channels + inner.channel;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = threadIdx.x + i * threads, column = item / kStepChunks;
      if (Layout::chunks % threads != 0 && item >= Layout::chunks) break;
      const bool inside = tap && first + column < columns;
      ptx::copyAsync16(Layout::chunk(tile, column, item % kStepChunks),
                       inside ? from + static_cast<int64_t>(column) * g.channels : weight, inside);
    }
    inner.advance(g, kDepth<T>);
  }
};

/// Rows are weights (tap, input channel), the inner index runs over output pixels: x as the weight gradient takes it.
template <class T, int extent, int threads>
struct WindowChunks {
  using Layout = InnerStrided<T, extent>;
  static constexpr int kItems = Layout::chunks / threads, kPixelStep = threads / Layout::chunksPerLine;
  static_assert(Layout::chunks % threads == 0 && threads % Layout::chunksPerLine == 0,
                "all items of a thread are of the same rows");
  const T* x;
  const Conv& s;
  int end, pixel, row, column, image;
  int u, v, channel;

  LANGEVIN_DEVICE WindowChunks(const T* x, const Conv& s, int firstRow, int begin, int end) : x(x), s(s), end(end) {
    pixel = begin + threadIdx.x / Layout::chunksPerLine;
    const Pixel p = pixelOf(pixel, s.outHeight, s.outWidth);
    image = p.image, row = p.row, column = p.column;
    const int weight = firstRow + threadIdx.x % Layout::chunksPerLine * kLanes<T>, tap = weight / s.cin;
    channel = weight - tap * s.cin;
    u = tap / s.kw - s.padding, v = tap % s.kw - s.padding;
  }
  LANGEVIN_DEVICE void load(unsigned char* tile) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int y = row * s.stride + u, left = column * s.stride + v;
      const bool inside = pixel < end && u + s.padding < s.kh &&
                          static_cast<unsigned>(y) < static_cast<unsigned>(s.height) &&
                          static_cast<unsigned>(left) < static_cast<unsigned>(s.width);
      const T* from = x + ((static_cast<int64_t>(image) * s.height + y) * s.width + left) * s.cin + channel;
      const int item = threadIdx.x + i * threads;
      ptx::copyAsync16(Layout::chunk(tile, item / Layout::chunksPerLine, item % Layout::chunksPerLine),
                       inside ? from : x, inside);
      pixel += kPixelStep, column += kPixelStep;
      while (column >= s.outWidth) {
        column -= s.outWidth;
        if (++row == s.outHeight) row = 0, ++image;
      }
    }
  }
};

template <class T, class Tile>
using ForwardProduct = Product<T, Tile, InnerContiguous<T, Tile::rows>, InnerStrided<T, Tile::columns>>;
template <class T, class Tile>
using InputProduct = Product<T, Tile, InnerContiguous<T, Tile::rows>, InnerContiguous<T, Tile::columns>>;
template <class T, class Tile>
using WeightProduct = Product<T, Tile, InnerStrided<T, Tile::rows>, InnerStrided<T, Tile::columns>>;

/// Steps of an inner index of that length.
template <class T>
LANGEVIN_DEVICE int stepsOf(int inner) {
  return (inner + kDepth<T> - 1) / kDepth<T>;
}

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::threads) convolveForward(const __grid_constant__ ForwardSources<T> from,
                                                                 const ForwardEpilogue<T> epilogue, int columnTiles) {
  LANGEVIN_DYNAMIC_SHARED(shared);
  const Conv& s = from.sources[0].s;
  const int pixels = s.batch * s.outHeight * s.outWidth;
  const int firstRow = static_cast<int>(blockIdx.x) / columnTiles * Tile::rows;
  const int firstColumn = static_cast<int>(blockIdx.x) % columnTiles * Tile::columns;
  ForwardProduct<T, Tile> product;
  product.clear();
#pragma unroll 1
  for (int i = 0; i < from.count; ++i) {
    const auto& source = from.sources[i];
    const PixelGrid g = forwardGrid(source.s);
    PixelChunks<T, Tile::rows, Tile::threads> left(source.x, g, firstRow, pixels);
    MatrixChunks<T, InnerStrided<T, Tile::columns>, Tile::threads> right(source.weight, g.inner(), s.cout, 0,
                                                                         firstColumn);
    product.add(shared, left, right, stepsOf<T>(g.inner()));
  }
  product.forEachOctet(shared, [&](int row, int column, float(&z)[8]) {
    const int64_t pixel = firstRow + row;
    if (pixel >= pixels || firstColumn + column >= s.cout) return;
    const uint32_t bits = epilogue.template store<8, true>(pixel, firstColumn + column, z);
    if (epilogue.signs) epilogue.signs[(pixel * s.cout + firstColumn + column) / 8] = static_cast<uint8_t>(bits);
  });
}

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::threads)
    convolveBackwardInput(const T* dy, const T* weight, const Conv s, const BackwardInputEpilogue<T> epilogue,
                          int rowTiles, int columnTiles) {
  LANGEVIN_DYNAMIC_SHARED(shared);
  // The last phase has the most taps where padding is that of 3×3: it comes first, so that no long block comes last.
  const int tile = gridDim.x - 1 - blockIdx.x;
  const PixelGrid g = backwardGrid(s, tile / columnTiles / rowTiles);
  const int pixels = s.batch * g.rows * g.columns;
  const int firstRow = tile / columnTiles % rowTiles * Tile::rows, firstColumn = tile % columnTiles * Tile::columns;
  if (firstRow >= pixels) return;
  PixelChunks<T, Tile::rows, Tile::threads> left(dy, g, firstRow, pixels);
  TransposedWeightChunks<T, Tile::columns, Tile::threads> right(weight, g, firstColumn, s.cin);
  InputProduct<T, Tile> product;
  product.run(shared, left, right, stepsOf<T>(g.inner()));
  product.forEachOctet(shared, [&](int row, int column, float(&z)[8]) {
    const int m = firstRow + row;
    if (m < pixels && firstColumn + column < s.cin) {
      epilogue.template store<8, true>(outputPixel(g, m), firstColumn + column, z);
    }
  });
}

/// sums[part][weight][cout] over pixels [part·pixelsPerPart, …).
template <class T, class Tile>
__global__ void __launch_bounds__(Tile::threads)
    convolveBackwardWeight(const T* x, const T* dy, float* sums, const Conv s, int columnTiles, int pixelsPerPart) {
  LANGEVIN_DYNAMIC_SHARED(shared);
  const int weights = s.kh * s.kw * s.cin, pixels = s.batch * s.outHeight * s.outWidth;
  const int firstRow = static_cast<int>(blockIdx.x) / columnTiles * Tile::rows;
  const int firstColumn = static_cast<int>(blockIdx.x) % columnTiles * Tile::columns;
  const int begin = blockIdx.y * pixelsPerPart;
  const int end = pixels - begin < pixelsPerPart ? pixels : begin + pixelsPerPart;
  WindowChunks<T, Tile::rows, Tile::threads> left(x, s, firstRow, begin, end);
  MatrixChunks<T, InnerStrided<T, Tile::columns>, Tile::threads> right(dy, end, s.cout, begin, firstColumn);
  WeightProduct<T, Tile> product;
  product.run(shared, left, right, stepsOf<T>(end - begin));
  sums += static_cast<int64_t>(blockIdx.y) * weights * s.cout;
  product.forEachOctet(shared, [&](int row, int column, float(&z)[8]) {
    if (firstRow + row >= weights || firstColumn + column >= s.cout) return;
    storeVector(sums + static_cast<int64_t>(firstRow + row) * s.cout + firstColumn + column, z);
  });
}

/// Calls f with the tile for a product of so many rows and columns.
template <class F>
void withTile(int64_t rows, int columns, const F& f) {
  if (columns <= 16) return f(Tile<128, 16, 32, 16>{});
  if (columns <= 32) return f(Tile<128, 32, 32, 32>{});
  const int64_t idle = 132 / 2;  // tiles that leave half an H100 without work
  if (ceilDiv(rows, 128) * ceilDiv(columns, 128) <= idle) return f(Tile<64, 64, 32, 32>{});
  if (columns % 160 == 0) return f(Tile<128, 160, 32, 80>{});
  if (columns <= 64) return f(Tile<128, 64, 32, 32>{});
  f(Tile<128, 128, 64, 32>{});
}

static bool suits(const ConvShape& s) { return s.cin % 8 == 0 && s.cout % 8 == 0; }

bool forward(Stream& stream, const ConvForward& c) {
  if (!suits(c.s) || c.shortcut.channels % 8 != 0) return false;
  if (forwardToFew(stream, c)) return true;
  const Conv s = checkedConv(c.s);
  const int64_t pixels = int64_t{s.batch} * s.outHeight * s.outWidth;
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    withTile(pixels, s.cout, [&](auto tile) {
      using Tile = decltype(tile);
      const int64_t columnTiles = ceilDiv(s.cout, Tile::columns);
      stream.launch(convolveForward<T, Tile>,
                    {gridOf(ceilDiv(pixels, Tile::rows) * columnTiles), dim3(Tile::threads),
                     ForwardProduct<T, Tile>::sharedBytes},
                    sourcesOf<T>(c), epilogueOf<T>(c), columnTiles);
    });
  });
  return true;
}

bool backwardInput(Stream& stream, const ConvBackwardInput& c) {
  if (!suits(c.s) || c.s.stride > kMaxStride) return false;
  if (backwardInputToFew(stream, c)) return true;
  const Conv s = checkedConv(c.s);
  const int64_t phases = int64_t{s.phaseRows()} * s.phaseColumns();
  const int64_t pixels = s.batch * ceilDiv(s.height, s.stride) * ceilDiv(s.width, s.stride);  // of the largest phase
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    withTile(phases * pixels, s.cin, [&](auto tile) {
      using Tile = decltype(tile);
      const int64_t rowTiles = ceilDiv(pixels, Tile::rows), columnTiles = ceilDiv(s.cin, Tile::columns);
      stream.launch(convolveBackwardInput<T, Tile>,
                    {gridOf(phases * rowTiles * columnTiles), dim3(Tile::threads), InputProduct<T, Tile>::sharedBytes},
                    c.dy, c.weight, s, epilogueOf<T>(c), rowTiles, columnTiles);
    });
  });
  return true;
}

bool backwardWeight(Stream& stream, const ConvBackwardWeight& c) {
  if (!suits(c.s)) return false;
  const Conv s = checkedConv(c.s);
  const int64_t weights = int64_t{s.kh} * s.kw * s.cin;
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    withTile(int64_t{1} << 30, s.cout, [&](auto tile) {  // parts fill the GPU
      using Tile = decltype(tile);
      const int64_t columnTiles = ceilDiv(s.cout, Tile::columns), tiles = ceilDiv(weights, Tile::rows) * columnTiles;
      const WeightParts parts = weightParts(s, tiles, kDepth<T>);
      float* sums = partialWeights(stream, weights * s.cout, parts);
      LaunchShape shape{gridOf(tiles), dim3(Tile::threads), WeightProduct<T, Tile>::sharedBytes};
      shape.grid.y = parts.count;
      stream.launch(convolveBackwardWeight<T, Tile>, shape, c.x, c.dy, sums, s, columnTiles, parts.pixels);
      addParts(stream, sums, parts, weights * s.cout, static_cast<T*>(c.dweight));
    });
    if (c.dbias) sumBias(stream, static_cast<const T*>(c.dy), static_cast<T*>(c.dbias), s);
  });
  return true;
}

}  // namespace langevin::cuda::sm80
