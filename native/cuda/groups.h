// Elements by groups of up to sixteen bytes: one load or store of a thread, the widest that a GPU has. Loops bound by
// memory need them to keep enough bytes in flight.
//
// Buffers begin at blocks of the pool, which are aligned to more than sixteen bytes, so that group g of a buffer,
// elements g·N to g·N + N − 1, is aligned to its own size.
#pragma once
#include "elements.h"
#include "ptx.h"

namespace langevin::cuda {

template <class T, int N>
struct alignas(sizeof(T) * N) Group {
  T v[N];
};

/// The most elements of a type that one load takes.
template <class T>
constexpr int kGroup = 16 / static_cast<int>(sizeof(T));

/// Elements [begin, begin + N) of x[0, n), zeros beyond n; begin is a multiple of N.
template <int N, class T>
LANGEVIN_DEVICE Group<T, N> loadGroup(const T* x, int64_t begin, int64_t n) {
  if (begin + N <= n) return *reinterpret_cast<const Group<T, N>*>(x + begin);
  Group<T, N> group{};
  for (int i = 0; i < N; ++i) {
    if (begin + i < n) group.v[i] = x[begin + i];
  }
  return group;
}

/// Elements [begin, begin + N) of y[0, n) = the group; begin is a multiple of N.
template <int N, class T>
LANGEVIN_DEVICE void storeGroup(T* y, int64_t begin, int64_t n, const Group<T, N>& group) {
  if (begin + N <= n) {
    *reinterpret_cast<Group<T, N>*>(y + begin) = group;
    return;
  }
  for (int i = 0; i < N; ++i) {
    if (begin + i < n) y[begin + i] = group.v[i];
  }
}

/// The group in the type that it is computed in, and back; bf16 is rounded by the converting instruction, in pairs.
template <class T, int N>
LANGEVIN_DEVICE Group<ComputeOf<T>, N> widenGroup(const Group<T, N>& group) {
  Group<ComputeOf<T>, N> wide;
  for (int i = 0; i < N; ++i) wide.v[i] = widen(group.v[i]);
  return wide;
}
template <class T, int N>
LANGEVIN_DEVICE Group<T, N> narrowGroup(const ComputeOf<T> (&wide)[N]) {
  Group<T, N> group;
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
    for (int i = 0; i < N; i += 2) {
      const uint32_t pair = ptx::packBf16(wide[i], wide[i + 1]);
      group.v[i].bits = static_cast<uint16_t>(pair);
      group.v[i + 1].bits = static_cast<uint16_t>(pair >> 16);
    }
  } else {
    for (int i = 0; i < N; ++i) group.v[i] = narrow<T>(wide[i]);
  }
  return group;
}

/// for (int64_t begin = firstGroup<N>(); begin < n; begin += groupStride<N>()), in the launch loopOverGroups<N>(n)
template <int N>
LANGEVIN_DEVICE int64_t firstGroup() {
  return firstItem() * N;
}
template <int N>
LANGEVIN_DEVICE int64_t groupStride() {
  return itemStride() * N;
}
template <int N>
LaunchShape loopOverGroups(const Stream& stream, int64_t n) {
  return loopOver(stream, ceilDiv(n, N));
}

/// A launch that may begin while the one before it ends, and lets the next one begin: its kernel starts with
/// ptx::waitForPrevious() and ptx::allowNext(). It writes nothing but `written`, and sign bits.
inline LaunchShape overlapped(LaunchShape shape, const void* written) {
  shape.overlapPrevious = true;
  shape.writes[0] = written;
  return shape;
}

/// Calls f(W{}), W the widest word of 1 to 16 bytes that divides `bytes`.
template <class F>
void withWordDividing(int64_t bytes, const F& f) {
  if (bytes % 16 == 0) return f(Group<uint32_t, 4>{});
  if (bytes % 8 == 0) return f(uint64_t{});
  if (bytes % 4 == 0) return f(uint32_t{});
  if (bytes % 2 == 0) return f(uint16_t{});
  f(uint8_t{});
}

}  // namespace langevin::cuda
