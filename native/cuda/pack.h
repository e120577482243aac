// Adjacent elements that a thread keeps together: whole groups, of columns that are whole groups.
#pragma once
#include "groups.h"

namespace langevin::cuda {

/// Elements of T that one load takes; 1 for types of 8 bytes and more, which fill a warp's request alone.
template <class T>
constexpr int kPackSize = sizeof(T) < 8 ? kGroup<T> : 1;

/// `from` is a multiple of N elements into a buffer.
template <int N, class T>
LANGEVIN_DEVICE Group<T, N> loadPack(const T* from) {
  return *reinterpret_cast<const Group<T, N>*>(from);
}
template <class T, int N>
LANGEVIN_DEVICE void storePack(T* to, const Group<T, N>& pack) {
  *reinterpret_cast<Group<T, N>*>(to) = pack;
}
/// The values, rounded to T.
template <class T, int N>
LANGEVIN_DEVICE void storePack(T* to, const float (&values)[N]) {
  storePack(to, narrowGroup<T, N>(values));
}

}  // namespace langevin::cuda
