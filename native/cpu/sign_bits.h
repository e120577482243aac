// One bit per activation: bit i % 8 of byte i / 8 is x[i] > 0. It is all that LeakyReLU's derivative needs.
#pragma once
#include "elements.h"

namespace langevin::LANGEVIN_ISA {

/// The bits of 8 elements: eight bytes of 0 or 1, gathered by a product that moves byte j's bit to bit 56 + j.
template <class T>
LANGEVIN_INLINE uint8_t signsOf8(const T* x) {
  uint8_t flags[8];
  for (int i = 0; i < 8; ++i) flags[i] = widen(x[i]) > 0;
  uint64_t word;
  std::memcpy(&word, flags, 8);
  return static_cast<uint8_t>(word * 0x0102040810204080u >> 56);
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

/// As many numbers as a register holds, at most eight, and masks for choosing between them.
template <class C>
struct Group {
  static constexpr int lanes =
      kVectorBytes / static_cast<int>(sizeof(C)) < 8 ? kVectorBytes / static_cast<int>(sizeof(C)) : 8;
  typedef C Values __attribute__((vector_size(lanes * sizeof(C))));
  typedef decltype(Values{} > Values{}) Masks;
};

template <class T>
LANGEVIN_INLINE typename Group<T>::Values loadGroup(const T* p) {
  typename Group<T>::Values v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
LANGEVIN_INLINE Group<float>::Values loadGroup(const bf16* p) {
  Group<float>::Values v{};
  for (int i = 0; i < Group<float>::lanes; ++i) v[i] = toFloat(p[i]);
  return v;
}
template <class T>
LANGEVIN_INLINE void storeGroup(typename Group<T>::Values v, T* p) {
  std::memcpy(p, &v, sizeof v);
}
LANGEVIN_INLINE void storeGroup(Group<float>::Values v, bf16* p) {
  for (int i = 0; i < Group<float>::lanes; ++i) p[i] = toBf16(v[i]);
}

/// dx = dy · (bit ? 1 : slope) + add; add may be absent. In place is fine.
template <class T, class C = ComputeOf<T>>
LANGEVIN_INLINE void applySigns(const T* dy, const uint8_t* bits, const T* add, T* dx, int64_t n, C slope) {
  constexpr int lanes = Group<C>::lanes;
  typename Group<C>::Masks laneBit;
  for (int i = 0; i < lanes; ++i) laneBit[i] = 1 << i;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const unsigned byte = bits[i / 8];
    for (int half = 0; half < 8; half += lanes) {
      const typename Group<C>::Values v = loadGroup(dy + i + half);
      typename Group<C>::Values result = ((typename Group<C>::Masks{} + (byte >> half)) & laneBit) != 0 ? v : v * slope;
      if (add) result += loadGroup(add + i + half);
      storeGroup(result, dx + i + half);
    }
  }
  for (; i < n; ++i) {
    const C v = widen(dy[i]), scaled = bits[i / 8] >> i % 8 & 1 ? v : slope * v;
    dx[i] = narrow<T>(add ? scaled + widen(add[i]) : scaled);
  }
}

}  // namespace langevin::LANGEVIN_ISA
