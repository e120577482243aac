// Reductions of [outer, axis, inner] over the middle axis; argmax; one element picked of each column, and its gradient.
//
// A reduction reads 4 bytes per f32 element once and does one f64 addition: memory speed, 3.0 TB/s on an H100, so
// 42 MB (a 64×32×32×160 feature map) in 14 µs, and a few µs more for the second launch where the axis is cut into
// chunks. See reduction.h. The picks move one element per column: launch time. Not measured on hardware.
#include "../kernels.h"
#include "../reduction.h"

namespace langevin::cuda {

namespace {

void reduce(Stream& stream, int64_t kind, In x, Out y, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(xCount);
    T* const target = y.as<T>(yCount);
    if (yCount == 0) return;
    switch (static_cast<Reduce>(kind)) {
      case Reduce::sum:
        return reduceAxis<SumOf>(stream, source, target, outer, axis, inner);
      case Reduce::sumSquares:
        return reduceAxis<SumSquaresOf>(stream, source, target, outer, axis, inner);
      case Reduce::max:
        return reduceAxis<MaxOf>(stream, source, target, outer, axis, inner);
      case Reduce::min:
        return reduceAxis<MinOf>(stream, source, target, outer, axis, inner);
    }
    fault("there is no reduce kind %lld", static_cast<long long>(kind));
  });
}

void argmax(Stream& stream, In x, Out y, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(xCount);
    int32_t* const target = y.as<int32_t>(yCount);
    if (yCount == 0) return;
    if (axis == 0) fault("an axis of no elements");
    reduceAxis<ArgmaxOf>(stream, source, target, outer, axis, inner);
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads) pickElements(const T* x, const int32_t* index, T* y, int64_t count,
                                                         int64_t axis, int64_t inner, KernelFault* faults) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t i = firstItem(); i < count; i += itemStride()) {
    const int64_t at = checkedIndex(index, i, axis, faults);
    if (at >= 0) y[i] = x[(i / inner * axis + at) * inner + i % inner];
  }
}

void pick(Stream& stream, In x, In index, Out y, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  const int32_t* const at = index.as<int32_t>(yCount);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(xCount);
    T* const target = y.as<T>(yCount);
    stream.launch(pickElements<T>, overlapped(loopOver(stream, yCount), target), source, at, target, yCount, axis,
                  inner, stream.faults());
  });
}

/// One item per element of dx; per index, to check it, where the axis has no elements.
template <class T>
__global__ void __launch_bounds__(kThreads) pickGradient(const int32_t* index, const T* dy, T* dx, int64_t items,
                                                         int64_t axis, int64_t inner, KernelFault* faults) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t i = firstItem(); i < items; i += itemStride()) {
    const int64_t extent = larger(axis, 1), a = i / inner % extent;
    const int64_t column = i / inner / extent * inner + i % inner;
    if (a == 0) checkedIndex(index, column, axis, faults);
    if (axis > 0) dx[i] = a == index[column] ? dy[column] : narrow<T>(0.0f);
  }
}

void pickBackward(Stream& stream, In index, In dy, Out dx, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  const int32_t* const at = index.as<int32_t>(yCount);
  withFloat(dy.dtype, [&](auto type) {
    using T = decltype(type);
    const int64_t items = axis > 0 ? xCount : yCount;
    const T* const gradient = dy.as<T>(yCount);
    T* const target = dx.as<T>(xCount);
    stream.launch(pickGradient<T>, overlapped(loopOver(stream, items), target), at, gradient, target, items, axis,
                  inner, stream.faults());
  });
}

}  // namespace

void fillReduce(OpTable& ops) {
  ops.reduce = reduce;
  ops.argmax = argmax;
  ops.pick = pick;
  ops.pickBackward = pickBackward;
}

}  // namespace langevin::cuda
