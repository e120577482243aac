// Strided operands on the device: where an element of a row-major index space lies in a buffer.
#pragma once
#include "../core/divider.h"
#include "../core/strided.h"
#include "groups.h"

namespace langevin::cuda {

/// One operand's strides over an index space, its axes merged as far as this operand allows.
class Strided {
 public:
  Strided(const Dims& shape, const Dims& strides) {
    const IndexSpace<1> space = mergeAxes<1>(shape, {&strides});
    rank_ = space.rank;
    for (int axis = 0; axis < rank_; ++axis) {
      extent_[axis] = Divider(space.extent[axis]);
      stride_[axis] = space.stride[0][axis];
    }
  }

  /// Where element `position` of the space, in row-major order, lies.
  LANGEVIN_INLINE int64_t offsetOf(int64_t position) const {
    int64_t offset = 0;
    for (int axis = rank_ - 1; axis > 0; --axis) {
      const int64_t outer = extent_[axis].quotient(position);
      offset += (position - outer * extent_[axis].divisor()) * stride_[axis];
      position = outer;
    }
    return offset + position * stride_[0];
  }

  /// Whether groups of N consecutive positions, N a power of two, never span two rows of the innermost axis.
  bool keepsGroups(int n) const { return rank_ == 1 || extent_[rank_ - 1].divisor() % n == 0; }
  /// Whether all rows begin at multiples of n.
  bool alignsRows(int n) const {
    for (int axis = 0; axis + 1 < rank_; ++axis) {
      if (stride_[axis] % n != 0) return false;
    }
    return true;
  }
  int64_t innerStride() const { return stride_[rank_ - 1]; }

 private:
  int32_t rank_;
  Divider extent_[kMaxRank];
  int64_t stride_[kMaxRank] = {};
};

/// An operand that is read by groups of N positions of the space: as one load, as one element N times, or element by
/// element.
template <int N>
class GroupedOperand {
 public:
  GroupedOperand(const Dims& shape, const Dims& strides) : strided_(shape, strides) {
    if (!strided_.keepsGroups(N)) return;
    if (strided_.innerStride() == 1 && strided_.alignsRows(N)) access_ = Access::together;
    if (strided_.innerStride() == 0) access_ = Access::repeated;
  }

  /// The operand's elements at positions [begin, begin + N) of a space of n; begin is a multiple of N.
  template <class T>
  LANGEVIN_DEVICE Group<T, N> load(const T* x, int64_t begin, int64_t n) const {
    Group<T, N> group{};
    if (access_ == Access::repeated) {
      const T v = x[strided_.offsetOf(begin)];
      for (int i = 0; i < N; ++i) group.v[i] = v;
    } else if (access_ == Access::together && begin + N <= n) {
      group = *reinterpret_cast<const Group<T, N>*>(x + strided_.offsetOf(begin));
    } else {
      for (int i = 0; i < N; ++i) {
        if (begin + i < n) group.v[i] = x[strided_.offsetOf(begin + i)];
      }
    }
    return group;
  }

 private:
  enum class Access : int32_t { singly, together, repeated };
  Strided strided_;
  Access access_ = Access::singly;
};

}  // namespace langevin::cuda
