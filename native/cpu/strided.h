// Index spaces with strided operands: bounds, merging of axes, and a walk over rows.
#pragma once
#include "elements.h"

namespace langevin::LANGEVIN_ISA {

LANGEVIN_INLINE int64_t countOf(const Dims& shape) {
  return countOf(countOf(shape[0], shape[1], shape[2]), countOf(shape[3], shape[4], shape[5]));
}

/// Faults unless every element that a non-empty index space reaches lies in the buffer.
LANGEVIN_INLINE void checkReach(const Buffer& buffer, const Dims& shape, const Dims& strides, int64_t offset) {
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
/// neighbours that every operand steps through evenly are one.
template <int K>
struct IndexSpace {
  int rank = 1;
  int64_t count = 1;
  int64_t extent[kMaxRank] = {1};
  int64_t stride[K][kMaxRank] = {};
};

template <int K>
IndexSpace<K> mergeAxes(const Dims& shape, const Dims* const (&strides)[K]) {
  IndexSpace<K> space;
  int rank = 0;
  for (int axis = 0; axis < kMaxRank; ++axis) {
    const int64_t extent = shape[axis];
    if (extent == 1) continue;
    bool even = rank > 0;
    for (int k = 0; k < K && even; ++k) even = space.stride[k][rank - 1] == (*strides[k])[axis] * extent;
    if (!even) space.extent[rank++] = 1;
    space.extent[rank - 1] *= extent;
    for (int k = 0; k < K; ++k) space.stride[k][rank - 1] = (*strides[k])[axis];
    space.count *= extent;
  }
  if (rank > 0) space.rank = rank;
  return space;
}

/// row(position, offsets, length) for every run along the innermost axis of the elements [begin, end) in row-major
/// order; offsets[k] is where operand k's run starts.
template <int K, class Row>
LANGEVIN_INLINE void walkRows(const IndexSpace<K>& space, int64_t begin, int64_t end, const Row& row) {
  const int inner = space.rank - 1;
  int64_t index[kMaxRank], offset[K] = {};
  int64_t rest = begin;
  for (int axis = inner; axis >= 0; --axis) {
    index[axis] = rest % space.extent[axis];
    rest /= space.extent[axis];
    for (int k = 0; k < K; ++k) offset[k] += index[axis] * space.stride[k][axis];
  }
  for (int64_t position = begin; position < end;) {
    const int64_t length = smaller(space.extent[inner] - index[inner], end - position);
    row(position, offset, length);
    position += length;
    index[inner] += length;
    for (int k = 0; k < K; ++k) offset[k] += length * space.stride[k][inner];
    for (int axis = inner; axis > 0 && index[axis] == space.extent[axis]; --axis) {
      index[axis] = 0;
      ++index[axis - 1];
      for (int k = 0; k < K; ++k) {
        offset[k] += space.stride[k][axis - 1] - space.extent[axis] * space.stride[k][axis];
      }
    }
  }
}

}  // namespace langevin::LANGEVIN_ISA
