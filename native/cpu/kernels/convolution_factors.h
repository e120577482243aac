// How two factors are multiplied: in their own type, one channel at a time; and where the processor has AVX-512 BF16,
// bf16 in pairs of neighbouring channels, vdpbf16ps: sum + x[c]·w[c] + x[c + 1]·w[c + 1] in f32.
//
// Zen 4 starts one vdpbf16ps a cycle, as it does an FMA, so that a core makes 116·10⁹ instead of 58·10⁹ multiply-adds a
// second. The instruction adds in an order of its own, rounds to nearest even, and takes denormal numbers, operands and
// results, as 0. docs/kernels.md has what this gains and what the rounding costs.
#pragma once
#include "../simd.h"

namespace langevin::LANGEVIN_ISA {

/// `channels` neighbouring channels at a time, by one instruction for each vector of sums.
template <class T>
struct Factors {
  static constexpr int channels = 1;
  using Weights = Vec<T>;
  using Input = Vec<T>;
  static LANGEVIN_INLINE Weights weights(const T* p) { return Vec<T>::load(p); }
  static LANGEVIN_INLINE Input input(const T* p) { return Vec<T>::broadcast(*p); }
  static LANGEVIN_INLINE Vec<T> add(Input x, Weights w, Vec<T> sum) { return fma(x, w, sum); }
};

#if defined(__AVX512BF16__)

/// Weights lie as [pair of channels][output channel][2].
template <>
struct Factors<bf16> {
  static constexpr int channels = 2;
  using Weights = __m512bh;
  using Input = __m512bh;
  static LANGEVIN_INLINE Weights weights(const bf16* p) { return (__m512bh)_mm512_loadu_si512(p); }
  static LANGEVIN_INLINE Input input(const bf16* p) {
    int pair;
    std::memcpy(&pair, p, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
  }
  static LANGEVIN_INLINE Vec<float> add(Input x, Weights w, Vec<float> sum) {
    return {(Vec<float>::Register)_mm512_dpbf16_ps((__m512)sum.v, x, w)};
  }
};

/// p[i][0] = even[i], p[i][1] = odd[i], rounded to nearest even.
LANGEVIN_INLINE void storePairs(Vec<float> even, Vec<float> odd, bf16* p) {
  typedef uint16_t Words __attribute__((vector_size(64)));
  Words order;
  for (int i = 0; i < 32; ++i) order[i] = i % 2 * 16 + i / 2;
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd.v, (__m512)even.v);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi16((__m512i)order, halves));
}

/// What Winograd's transformed tiles and weights are stored and multiplied as.
template <class S>
using FactorOf = S;

#else

template <class S>
using FactorOf = ComputeOf<S>;

#endif

}  // namespace langevin::LANGEVIN_ISA
