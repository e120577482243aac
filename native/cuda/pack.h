// Adjacent elements moved together: 16 bytes by one load or store.
#pragma once
#include "elements.h"

namespace langevin::cuda {

/// Elements of T in 16 bytes; 1 for types of 8 bytes and more, which fill a warp's request alone.
template <class T>
constexpr int kPackSize = sizeof(T) < 8 ? 16 / static_cast<int>(sizeof(T)) : 1;

/// N adjacent elements. Buffers and workspace are aligned to 256 bytes or more, so every multiple of a whole pack is
/// aligned to 16.
template <class T, int N>
struct alignas(N == 1 ? alignof(T) : 16) Pack {
  static_assert(N == 1 || N * sizeof(T) % 16 == 0);
  T v[N];
};

template <int N, class T>
LANGEVIN_DEVICE Pack<T, N> loadPack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
LANGEVIN_DEVICE void storePack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

}  // namespace langevin::cuda
