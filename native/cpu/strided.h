// A walk over the rows of an index space (core/strided.h).
#pragma once
#include "../core/strided.h"
#include "elements.h"

namespace langevin::LANGEVIN_ISA {

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
