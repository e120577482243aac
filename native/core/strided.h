// Index spaces with strided operands: bounds, order and merging of axes, on the host, for every backend.
#pragma once
#include "counts.h"

namespace langevin {

LANGEVIN_HOST_INLINE int64_t countOf(const Dims& shape) {
  return countOf(countOf(shape[0], shape[1], shape[2]), countOf(shape[3], shape[4], shape[5]));
}

/// Faults unless every element that a non-empty index space reaches lies in the buffer.
LANGEVIN_HOST_INLINE void checkReach(const Buffer& buffer, const Dims& shape, const Dims& strides, int64_t offset) {
  int64_t low = offset, high = offset;
  for (int axis = 0; axis < kMaxRank; ++axis) {
    int64_t span;
    const bool tooFar = __builtin_mul_overflow(shape[axis] - 1, strides[axis], &span) ||
                        __builtin_add_overflow(span < 0 ? low : high, span, span < 0 ? &low : &high);
    if (tooFar) fault("strides that are out of range");
  }
  if (low < 0 || high >= buffer.count) {
    fault("strides that reach elements %lld to %lld of a buffer of %lld", static_cast<long long>(low),
          static_cast<long long>(high), static_cast<long long>(buffer.count));
  }
}

/// A non-empty index space, outermost axis first, with the strides of K operands. Axes of extent 1 are gone, and
/// neighbours that every operand steps through evenly are one; axes from `rank` on have extent 1.
template <int K>
struct IndexSpace {
  int rank = 1;
  int64_t count = 1;
  Dims extent = {{1, 1, 1, 1, 1, 1}};
  Dims stride[K] = {};
};

template <int K>
LANGEVIN_HOST_INLINE IndexSpace<K> mergeAxes(const Dims& shape, const Dims* const (&strides)[K]) {
  IndexSpace<K> space;
  int rank = 0;
  for (int axis = 0; axis < kMaxRank; ++axis) {
    const int64_t extent = shape[axis];
    if (extent == 1) continue;
    bool even = rank > 0;
    for (int k = 0; k < K && even; ++k) even = space.stride[k][rank - 1] == (*strides[k])[axis] * extent;
    if (!even) space.extent.d[rank++] = 1;
    space.extent.d[rank - 1] *= extent;
    for (int k = 0; k < K; ++k) space.stride[k].d[rank - 1] = (*strides[k])[axis];
    space.count *= extent;
  }
  if (rank > 0) space.rank = rank;
  return space;
}

LANGEVIN_HOST_INLINE int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

/// The space of a copy from x to y with axes in order of falling target stride, then merged: the same pairs of
/// elements, visited in the order of the target. Operand 0 is x, operand 1 is y.
LANGEVIN_HOST_INLINE IndexSpace<2> inTargetOrder(Dims shape, Dims xStrides, Dims yStrides) {
  for (int i = 1; i < kMaxRank; ++i) {
    for (int j = i; j > 0 && distance(yStrides[j]) > distance(yStrides[j - 1]); --j) {
      const auto swap = [j](Dims& dims) {
        const int64_t d = dims.d[j];
        dims.d[j] = dims.d[j - 1];
        dims.d[j - 1] = d;
      };
      swap(shape), swap(xStrides), swap(yStrides);
    }
  }
  return mergeAxes<2>(shape, {&xStrides, &yStrides});
}

/// The axis along which the source of a transposing copy runs, where it is not the one along which the target does;
/// else the innermost axis. Such a copy goes through square tiles of these two axes.
LANGEVIN_HOST_INLINE int transposedAxis(const IndexSpace<2>& space) {
  const int inner = space.rank - 1;
  if (distance(space.stride[0][inner]) <= 1) return inner;
  for (int axis = inner - 1; axis >= 0; --axis) {
    if (distance(space.stride[0][axis]) == 1) return axis;
  }
  return inner;
}

/// Faults unless a copy may go from x to y: equal dtypes, all elements in the buffers, none written twice.
LANGEVIN_HOST_INLINE void checkCopy(const Buffer& x, const Buffer& y, const Dims& shape, const Dims& xStrides,
                                    int64_t xOffset, const Dims& yStrides, int64_t yOffset) {
  if (x.dtype != y.dtype) fault("a copy from %s to %s: the dtypes must be equal", nameOf(x.dtype), nameOf(y.dtype));
  if (countOf(shape) == 0) return;
  checkReach(x, shape, xStrides, xOffset);
  checkReach(y, shape, yStrides, yOffset);
  for (int axis = 0; axis < kMaxRank; ++axis) {
    if (shape[axis] > 1 && yStrides[axis] == 0) fault("a copy that writes one element twice");
  }
}

}  // namespace langevin
