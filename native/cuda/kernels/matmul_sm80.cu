// y [m, n] = op(a)·op(b) + bias on tensor cores of Ampere and later (product_sm80.h): bf16, and f32 rounded to TF32,
// sums in f32. Chunks of 16 bytes run along the contiguous axis of each operand, so those axes must come in whole
// chunks.
//
// Tiles of 128 × 128, or 64 × 64 where larger ones would leave multiprocessors idle. 2·m·n·k operations at 312 TFLOP/s
// (bf16; TF32 156) of an A100, about 600 and 300 on an H100. Not measured on hardware.
#include "../matmul.h"
#include "product_sm80.h"

namespace langevin::cuda::sm80 {

template <class T, bool alongInner, int extent>
struct LayoutOf {
  using type = InnerContiguous<T, extent>;
};
template <class T, int extent>
struct LayoutOf<T, false, extent> {
  using type = InnerStrided<T, extent>;
};

/// An operand of `extent` rows (or columns) and `inner` inner indices, from row `first`.
template <class T, class Layout, int threads>
LANGEVIN_DEVICE MatrixChunks<T, Layout, threads> chunksOf(const T* matrix, int64_t extent, int64_t inner,
                                                          int64_t first) {
  if constexpr (Layout::innerContiguous) {
    return {matrix, extent, inner, first, 0};
  } else {
    return {matrix, inner, extent, 0, first};
  }
}

template <class T, class Tile, bool transposeA, bool transposeB>
struct MatmulProduct {
  using Left = typename LayoutOf<T, !transposeA, Tile::rows>::type;
  using Right = typename LayoutOf<T, transposeB, Tile::columns>::type;
  using type = Product<T, Tile, Left, Right>;
};

template <class T, class Tile, bool transposeA, bool transposeB>
__global__ void __launch_bounds__(Tile::threads)
    multiplyMatrices(const T* a, const T* b, const T* bias, T* y, int64_t m, int64_t n, int64_t k, int columnTiles) {
  using Types = MatmulProduct<T, Tile, transposeA, transposeB>;
  LANGEVIN_DYNAMIC_SHARED(shared);
  const int64_t firstRow = int64_t{blockIdx.x / static_cast<unsigned>(columnTiles)} * Tile::rows;
  const int64_t firstColumn = int64_t{blockIdx.x % static_cast<unsigned>(columnTiles)} * Tile::columns;
  auto left = chunksOf<T, typename Types::Left, Tile::threads>(a, m, k, firstRow);
  auto right = chunksOf<T, typename Types::Right, Tile::threads>(b, n, k, firstColumn);
  typename Types::type product;
  product.run(shared, left, right, static_cast<int>((k + kDepth<T> - 1) / kDepth<T>));
  const int columns = static_cast<int>(smaller(n - firstColumn, Tile::columns));
  product.forEachOctet(shared, [&](int row, int column, float(&z)[8]) {
    if (firstRow + row >= m || column >= columns) return;
    if (bias) {
      float other[8];
      loadChannels<8, false>(bias + firstColumn, column, columns, other);
#pragma unroll
      for (int i = 0; i < 8; ++i) z[i] += other[i];
    }
    T* to = y + (firstRow + row) * n + firstColumn;
    if (n % 8 == 0) return storeVector(to + column, z);
    storeChannels<8, false>(to, column, columns, z);
  });
}

template <class T, class Tile, bool transposeA, bool transposeB>
static void launchTile(Stream& stream, const Matmul& p) {
  const int64_t columnTiles = ceilDiv(p.n, Tile::columns);
  stream.launch(multiplyMatrices<T, Tile, transposeA, transposeB>,
                {gridOf(ceilDiv(p.m, Tile::rows) * columnTiles), dim3(Tile::threads),
                 MatmulProduct<T, Tile, transposeA, transposeB>::type::sharedBytes},
                p.a, p.b, p.bias, p.y, p.m, p.n, p.k, columnTiles);
}

template <class T, bool transposeA, bool transposeB>
static void launchSize(Stream& stream, const Matmul& p) {
  if (ceilDiv(p.m, 128) * ceilDiv(p.n, 128) <= 132 / 2) {  // tiles that leave half an H100 without work
    launchTile<T, Tile<64, 64, 32, 32>, transposeA, transposeB>(stream, p);
  } else {
    launchTile<T, Tile<128, 128, 64, 32>, transposeA, transposeB>(stream, p);
  }
}

bool matmul(Stream& stream, const Matmul& p) {
  const int64_t lanes = p.dtype == DType::bf16 ? kLanes<bf16> : kLanes<float>;
  const int64_t most = int64_t{1} << 30;
  if ((p.transposeA ? p.m : p.k) % lanes != 0 || (p.transposeB ? p.k : p.n) % lanes != 0) return false;
  if (p.m > most || p.n > most || p.k > most) return false;
  withFloat(p.dtype, [&](auto element) {
    using T = decltype(element);
    if (p.transposeA) {
      p.transposeB ? launchSize<T, true, true>(stream, p) : launchSize<T, true, false>(stream, p);
    } else {
      p.transposeB ? launchSize<T, false, true>(stream, p) : launchSize<T, false, false>(stream, p);
    }
  });
  return true;
}

}  // namespace langevin::cuda::sm80
