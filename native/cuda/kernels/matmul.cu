// y [m, n] = op(a) · op(b) + bias, with FFMA: f32, and bf16 with f32 accumulation.
//
// A block of 256 threads makes a tile of 64R × 64R (R = 2, or 1 where the larger tiles would leave a GPU idle), 8 of k
// at a time: the next slab of both operands travels from global memory to registers while the current one, in shared
// memory as f32, is multiplied; two buffers, so one barrier per slab. A thread holds R × R squares of 4 × 4, placed so
// that a warp's reads of shared memory are 16-byte broadcasts without bank conflicts: per k step 2R reads of 16 bytes
// for 16R² FFMA. Where the tiles are few and k is long, k is cut into parts, whose f32 results a second launch adds in
// order; the cut follows from the shape alone.
//
// 2·m·n·k operations at a practical 45 to 50 TFLOP/s on an H100 (60 peak): 4096³ in 2.9 ms. The program's own products
// (64 × 640 × 10) are two launches, about 6 µs. Not measured on hardware.
#include "../groups.h"
#include "../kernels.h"
#include "../matmul.h"

namespace langevin::cuda {

namespace {

constexpr int kSlab = 8;         // of k
constexpr int kPad = 4;          // floats between rows of shared memory, so that stores of a column spread over banks
constexpr int kPartLeast = 128;  // of k, worth a part of its own
constexpr int64_t kBusy = 128;   // tiles that keep a large GPU's multiprocessors busy

/// An operand as the kernel reads it: element (i, l) at i·rowStride + l·kStride; the one that is 1 is contiguous.
struct Operand {
  int64_t rows, rowStride, kStride;
};

struct Product {
  int64_t m, n, k;
  Operand a, b;  // b's rows are the columns of op(b)
  int64_t tilesAcross, partLength;
};

/// A thread's share of one operand's slabs. Its elements are kRowsApart rows from each other where k is contiguous in
/// memory, else kStepsApart steps of k.
template <class T, int R, bool kAlongK>
struct SlabReader {
  static constexpr uint32_t kElements = 64 * R * kSlab / kThreads;
  static constexpr uint32_t kRowsApart = kAlongK ? kThreads / kSlab : 0;
  static constexpr uint32_t kStepsApart = kAlongK ? 0 : kThreads / (64 * R);
  const T* from;
  int64_t stride;   // in memory, from one of the elements to the next
  uint32_t row, l;  // of the first element
  uint32_t rowsLeft;

  LANGEVIN_DEVICE SlabReader(const T* base, const Operand& o, int64_t firstRow, uint32_t kBegin) {
    row = kAlongK ? threadIdx.x / kSlab : threadIdx.x % (64 * R);
    l = kAlongK ? threadIdx.x % kSlab : threadIdx.x / (64 * R);
    stride = kRowsApart * o.rowStride + kStepsApart * o.kStride;
    rowsLeft = static_cast<uint32_t>(o.rows - firstRow);
    from = base + (firstRow + row) * o.rowStride + (kBegin + l) * o.kStride;
  }

  /// Elements of the next slab, which starts at k0; zeros outside the operand.
  LANGEVIN_DEVICE void load(float (&values)[kElements], uint32_t k0, uint32_t kEnd) {
    const T* at = from;
#pragma unroll
    for (uint32_t i = 0; i < kElements; ++i, at += stride) {
      const bool inside = row + i * kRowsApart < rowsLeft && k0 + l + i * kStepsApart < kEnd;
      values[i] = inside ? widen(*at) : 0.0f;
    }
    from = kAlongK ? from + kSlab : at;  // kElements steps of k are a slab
  }
  LANGEVIN_DEVICE void store(float (*slab)[64 * R + kPad], const float (&values)[kElements]) const {
#pragma unroll
    for (uint32_t i = 0; i < kElements; ++i) slab[l + i * kStepsApart][row + i * kRowsApart] = values[i];
  }
};

LANGEVIN_DEVICE float4 loadFour(const float* shared) { return *reinterpret_cast<const float4*>(shared); }

/// Blocks of multiplyTiles that a multiprocessor holds: two allow 128 registers, with which Blackwell's code spills.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kBlocks = 1;
#else
constexpr int kBlocks = 2;
#endif

/// y (or, as f32, the part blockIdx.y of it) for one tile. kThreads = 4 × 2 warps of 16R × 32R.
template <class T, class To, int R, bool kLeftAlongK, bool kRightAlongK>
__global__ void __launch_bounds__(kThreads, kBlocks)
    multiplyTiles(const T* a, const T* b, const T* bias, To* y, Product p) {
  ptx::waitForPrevious();
  ptx::allowNext();
  using Slab = float[kSlab][64 * R + kPad];
  LANGEVIN_SHARED(Slab, left, [2]);
  LANGEVIN_SHARED(Slab, right, [2]);
  const int64_t firstRow = blockIdx.x / p.tilesAcross * (64 * R), firstColumn = blockIdx.x % p.tilesAcross * (64 * R);
  const uint32_t kBegin = static_cast<uint32_t>(blockIdx.y * p.partLength);
  const uint32_t kEnd = static_cast<uint32_t>(smaller(p.k, kBegin + p.partLength));
  const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32, lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t threadRow = warp / 2 * 16 * R + lane / 8 * 4, threadColumn = warp % 2 * 32 * R + lane % 8 * 4;

  SlabReader<T, R, kLeftAlongK> readLeft(a, p.a, firstRow, kBegin);
  SlabReader<T, R, kRightAlongK> readRight(b, p.b, firstColumn, kBegin);
  float nextLeft[readLeft.kElements], nextRight[readRight.kElements];
  readLeft.load(nextLeft, kBegin, kEnd);
  readRight.load(nextRight, kBegin, kEnd);

  float sum[4 * R][4 * R] = {};
  int buffer = 0;
  for (uint32_t k0 = kBegin; k0 < kEnd; k0 += kSlab) {
    readLeft.store(left[buffer], nextLeft);
    readRight.store(right[buffer], nextRight);
    __syncthreads();  // also: all have left the other buffer, which the next round writes
    readLeft.load(nextLeft, k0 + kSlab, kEnd);
    readRight.load(nextRight, k0 + kSlab, kEnd);
#pragma unroll
    for (int l = 0; l < kSlab; ++l) {
      float4 rows[R], columns[R];
#pragma unroll
      for (int r = 0; r < R; ++r) {
        rows[r] = loadFour(&left[buffer][l][threadRow + 16 * r]);
        columns[r] = loadFour(&right[buffer][l][threadColumn + 32 * r]);
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const float u[4] = {rows[r].x, rows[r].y, rows[r].z, rows[r].w};
#pragma unroll
        for (int c = 0; c < R; ++c) {
          const float v[4] = {columns[c].x, columns[c].y, columns[c].z, columns[c].w};
#pragma unroll
          for (int i = 0; i < 16; ++i) {
            float& s = sum[4 * r + i / 4][4 * c + i % 4];
            s = fmaf(u[i / 4], v[i % 4], s);
          }
        }
      }
    }
    buffer ^= 1;
  }

  To* const target = y + blockIdx.y * p.m * p.n;
#pragma unroll
  for (int i = 0; i < 4 * R; ++i) {
    const int64_t row = firstRow + threadRow + i / 4 * 16 + i % 4;
    if (row >= p.m) continue;
#pragma unroll
    for (int j = 0; j < 4 * R; ++j) {
      const int64_t column = firstColumn + threadColumn + j / 4 * 32 + j % 4;
      if (column >= p.n) continue;
      target[row * p.n + column] = narrow<To>(bias ? sum[i][j] + widen(bias[column]) : sum[i][j]);
    }
  }
}

/// y = the sum of the parts [parts, count], in order, + bias.
template <class T>
__global__ void __launch_bounds__(kThreads)
    addParts(const float* partial, const T* bias, T* y, int64_t parts, int64_t count, int64_t columns) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t i = firstItem(); i < count; i += itemStride()) {
    float sum = partial[i];
#pragma unroll 4
    for (int64_t part = 1; part < parts; ++part) sum += partial[part * count + i];
    y[i] = narrow<T>(bias ? sum + widen(bias[i % columns]) : sum);
  }
}

/// The product, or its parts, by the kernel that suits the operands' layouts.
template <class T, class To, int R>
void launchTiles(Stream& stream, const LaunchShape& shape, const T* a, const T* b, const T* bias, To* y,
                 const Product& p) {
  const bool left = p.a.kStride == 1, right = p.b.kStride == 1;
  if (left && right) return stream.launch(multiplyTiles<T, To, R, true, true>, shape, a, b, bias, y, p);
  if (left) return stream.launch(multiplyTiles<T, To, R, true, false>, shape, a, b, bias, y, p);
  if (right) return stream.launch(multiplyTiles<T, To, R, false, true>, shape, a, b, bias, y, p);
  stream.launch(multiplyTiles<T, To, R, false, false>, shape, a, b, bias, y, p);
}

template <class T, int R>
void multiply(Stream& stream, const T* a, const T* b, const T* bias, T* y, Product p) {
  p.tilesAcross = ceilDiv(p.n, 64 * R);
  const int64_t tiles = ceilDiv(p.m, 64 * R) * p.tilesAcross;
  const int64_t wanted = smaller(ceilDiv(kBusy, tiles), ceilDiv(p.k, kPartLeast));
  p.partLength = ceilDiv(ceilDiv(p.k, larger(1, wanted)), kSlab) * kSlab;
  const int64_t parts = larger(1, ceilDiv(p.k, larger(1, p.partLength)));
  const LaunchShape shape{dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(parts)), dim3(kThreads)};
  if (parts == 1) return launchTiles<T, T, R>(stream, overlapped(shape, y), a, b, bias, y, p);
  const int64_t count = p.m * p.n;
  float* const partial = static_cast<float*>(stream.workspace(0, sizeof(float) * static_cast<size_t>(parts * count)));
  launchTiles<T, float, R>(stream, overlapped(shape, partial), a, b, nullptr, partial, p);
  stream.launch(addParts<T>, overlapped(loopOver(stream, count), y), partial, bias, y, parts, count, p.n);
}

void matmul(Stream& stream, In a, In b, OptIn bias, Out y, int64_t m, int64_t n, int64_t k, bool transposeA,
            bool transposeB) {
  constexpr int64_t limit = int64_t{1} << 31;
  if (m < 0 || n < 0 || k < 0 || m >= limit || n >= limit || k >= limit) fault("impossible matrix shape");
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const left = a.as<T>(m * k);
    const T* const right = b.as<T>(k * n);
    const T* const shift = bias.as<T>(n);
    T* const target = y.as<T>(m * n);
    if (m == 0 || n == 0) return;
    const bool tensorCores =
        stream.level() >= Level::sm80 && (y.dtype == DType::bf16 || stream.precision() == Precision::tf32);
    if (tensorCores && k > 0) {
      const Matmul whole{left, right, shift, target, m, n, k, transposeA, transposeB, y.dtype};
      if (sm80::matmul(stream, whole)) return;
    }
    const Operand rows = {m, transposeA ? 1 : k, transposeA ? m : 1};
    const Operand columns = {n, transposeB ? k : 1, transposeB ? 1 : n};
    const Product p = {m, n, k, rows, columns, 0, 0};
    if (ceilDiv(m, 128) * ceilDiv(n, 128) >= kBusy) return multiply<T, 2>(stream, left, right, shift, target, p);
    multiply<T, 1>(stream, left, right, shift, target, p);
  });
}

}  // namespace

void fillMatmul(OpTable& ops) { ops.matmul = matmul; }

}  // namespace langevin::cuda
