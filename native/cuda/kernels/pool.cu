// Average pooling of NHWC images, and its gradient.
//
// A thread makes one pack of channels of one pixel; a warp reads adjacent channels. Forward reads every input once and
// writes window² times less; backward the reverse, gathered (each input pixel sums the windows that contain it), so
// that no two threads write one element. Memory speed: 42 MB in 14 µs at 3.0 TB/s. Not measured on hardware.
#include "../kernels.h"
#include "../pack.h"

namespace langevin::cuda {

namespace {

void checkShape(const PoolShape& s) {
  if (s.window < 1 || s.stride < 1 || s.window > s.height || s.window > s.width) {
    fault("a window of %lld with stride %lld over %lld x %lld", static_cast<long long>(s.window),
          static_cast<long long>(s.stride), static_cast<long long>(s.height), static_cast<long long>(s.width));
  }
}

/// Extents as the kernels use them: Index is uint32_t where every item's number fits, as 64-bit divisions are slow.
template <class Index>
struct Extents {
  Index items, packs;  // all, and of one pixel
  Index height, width, outHeight, outWidth;
  Index window, stride;
};

template <class T, int V>
LANGEVIN_DEVICE void addPack(double (&sum)[V], const T* from) {
  const Group<T, V> pack = loadPack<V>(from);
  for (int v = 0; v < V; ++v) sum[v] += static_cast<double>(widen(pack.v[v]));
}
template <class T, int V>
LANGEVIN_DEVICE void storeScaled(T* to, const double (&sum)[V], double scale) {
  float values[V];
  for (int v = 0; v < V; ++v) values[v] = static_cast<float>(sum[v] * scale);
  storePack(to, values);
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads) poolPacks(const T* x, T* y, Extents<Index> s) {
  ptx::waitForPrevious();
  ptx::allowNext();
  const double scale = 1 / static_cast<double>(s.window * s.window);
  for (int64_t item = firstItem(); item < s.items; item += itemStride()) {
    const Index i = static_cast<Index>(item), pixel = i / s.packs;
    const Index column = pixel % s.outWidth * s.stride, row = pixel / s.outWidth % s.outHeight * s.stride;
    const int64_t image = pixel / (s.outWidth * s.outHeight);
    const int64_t rowSize = static_cast<int64_t>(s.width) * s.packs;
    const int64_t corner = (image * s.height + row) * rowSize + column * s.packs + i % s.packs;
    double sum[V] = {};
    for (Index h = 0; h < s.window; ++h) {
      for (Index w = 0; w < s.window; ++w) addPack<T, V>(sum, x + (corner + h * rowSize + w * s.packs) * V);
    }
    storeScaled<T, V>(y + item * V, sum, scale);
  }
}

/// The output positions [first, last) along one axis whose windows contain input position i.
template <class Index>
struct Range {
  Index first, last;
};
template <class Index>
LANGEVIN_DEVICE Range<Index> windowsOver(Index i, Index window, Index stride, Index out) {
  const Index first = i < window ? 0 : (i - window) / stride + 1, end = i / stride + 1;
  return {first, end < out ? end : out};
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads, 4) spreadPacks(const T* dy, T* dx, Extents<Index> s) {
  ptx::waitForPrevious();
  ptx::allowNext();
  const double scale = 1 / static_cast<double>(s.window * s.window);
  for (int64_t item = firstItem(); item < s.items; item += itemStride()) {
    const Index i = static_cast<Index>(item), pixel = i / s.packs;
    const auto columns = windowsOver(pixel % s.width, s.window, s.stride, s.outWidth);
    const auto rows = windowsOver(pixel / s.width % s.height, s.window, s.stride, s.outHeight);
    const int64_t image = pixel / (s.width * s.height);
    double sum[V] = {};
    for (Index h = rows.first; h < rows.last; ++h) {
      for (Index w = columns.first; w < columns.last; ++w) {
        const int64_t from = (image * s.outHeight + h) * s.outWidth + w;
        addPack<T, V>(sum, dy + (from * s.packs + i % s.packs) * V);
      }
    }
    storeScaled<T, V>(dx + item * V, sum, scale);
  }
}

/// launchPacks(V, index type): packs where the channels are whole ones, 32-bit indices where `pixels`, of the larger
/// image, have them.
template <class T, class Launch>
void withPacks(int64_t channels, int64_t pixels, const Launch& launchPacks) {
  const auto indexed = [&](auto width) {
    constexpr int64_t limit = int64_t{1} << 31;
    if (pixels * channels < limit) return launchPacks(width, uint32_t{});
    launchPacks(width, int64_t{});
  };
  if (channels % kPackSize<T> == 0) return indexed(std::integral_constant<int, kPackSize<T>>{});
  indexed(std::integral_constant<int, 1>{});
}

template <class Index>
Extents<Index> extentsOf(const PoolShape& s, int64_t pixels, int packSize) {
  const int64_t packs = s.channels / packSize;
  const int64_t stride = smaller(s.stride, larger(s.height, s.width));  // beyond that they are all the same
  return {static_cast<Index>(pixels * packs), static_cast<Index>(packs),         static_cast<Index>(s.height),
          static_cast<Index>(s.width),        static_cast<Index>(s.outHeight()), static_cast<Index>(s.outWidth()),
          static_cast<Index>(s.window),       static_cast<Index>(stride)};
}

void avgPool2d(Stream& stream, In x, Out y, PoolShape s) {
  const int64_t xCount = countOf(s.batch, s.height, s.width, s.channels);
  checkShape(s);
  const int64_t pixels = countOf(s.batch, s.outHeight(), s.outWidth());
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(xCount);
    T* const target = y.as<T>(countOf(pixels, s.channels));
    if (xCount == 0) return;  // whatever the other extents are
    withPacks<T>(s.channels, xCount / s.channels, [&](auto width, auto index) {
      using Index = decltype(index);
      const Extents<Index> e = extentsOf<Index>(s, pixels, width);
      stream.launch(poolPacks<T, width, Index>, overlapped(loopOver(stream, e.items), target), source, target, e);
    });
  });
}

void avgPool2dBackward(Stream& stream, In dy, Out dx, PoolShape s) {
  const int64_t pixels = countOf(s.batch, s.height, s.width), xCount = countOf(pixels, s.channels);
  checkShape(s);
  withFloat(dy.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const gradient = dy.as<T>(countOf(s.batch, s.outHeight(), s.outWidth(), s.channels));
    T* const target = dx.as<T>(xCount);
    if (xCount == 0) return;  // whatever the other extents are
    withPacks<T>(s.channels, pixels, [&](auto width, auto index) {
      using Index = decltype(index);
      const Extents<Index> e = extentsOf<Index>(s, pixels, width);
      stream.launch(spreadPacks<T, width, Index>, overlapped(loopOver(stream, e.items), target), gradient, target, e);
    });
  });
}

}  // namespace

void fillPool(OpTable& ops) {
  ops.avgPool2d = avgPool2d;
  ops.avgPool2dBackward = avgPool2dBackward;
}

}  // namespace langevin::cuda
