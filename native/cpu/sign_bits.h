// One bit per activation: bit i % 8 of byte i / 8 is x[i] > 0. It is all that LeakyReLU's derivative needs.
#pragma once
#include "elements.h"

namespace langevin::LANGEVIN_ISA {

/// The bits of 8 elements.
template <class T>
LANGEVIN_INLINE uint8_t signsOf8(const T* x) {
  unsigned byte = 0;
  for (int i = 0; i < 8; ++i) byte |= static_cast<unsigned>(widen(x[i]) > 0) << i;
  return static_cast<uint8_t>(byte);
}
#if defined(__AVX2__)
LANGEVIN_INLINE uint8_t signsOf8(const float* x) {
  return static_cast<uint8_t>(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x), _mm256_setzero_ps(), _CMP_GT_OQ)));
}
#elif defined(__x86_64__)
LANGEVIN_INLINE uint8_t signsOf8(const float* x) {
  const __m128 zero = _mm_setzero_ps();
  return static_cast<uint8_t>(_mm_movemask_ps(_mm_cmpgt_ps(_mm_loadu_ps(x), zero)) |
                              _mm_movemask_ps(_mm_cmpgt_ps(_mm_loadu_ps(x + 4), zero)) << 4);
}
#endif

/// bits = signs of x[0, n); the last byte's unused bits are 0.
template <class T>
LANGEVIN_INLINE void packSigns(const T* x, int64_t n, uint8_t* bits) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) bits[i / 8] = signsOf8(x + i);
  if (i == n) return;
  unsigned byte = 0;
  for (int64_t j = i; j < n; ++j) byte |= static_cast<unsigned>(widen(x[j]) > 0) << (j - i);
  bits[i / 8] = static_cast<uint8_t>(byte);
}

/// dx = dy · (bit ? 1 : slope) + add; add may be absent. In place is fine.
template <class T, class C = ComputeOf<T>>
LANGEVIN_INLINE void applySigns(const T* dy, const uint8_t* bits, const T* add, T* dx, int64_t n, C slope) {
  const auto one = [&](int64_t i, unsigned bit) {
    const C v = widen(dy[i]);
    const C scaled = bit ? v : slope * v;
    dx[i] = narrow<T>(add ? scaled + widen(add[i]) : scaled);
  };
  constexpr unsigned kBit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const unsigned byte = bits[i / 8];
    LANGEVIN_INDEPENDENT
    for (int j = 0; j < 8; ++j) one(i + j, byte & kBit[j]);
  }
  for (; i < n; ++i) one(i, bits[i / 8] >> i % 8 & 1u);
}

}  // namespace langevin::LANGEVIN_ISA
