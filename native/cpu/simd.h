// One vector type per element type and instruction set: Vec<float> holds 16 lanes under AVX-512, 8 under AVX2, 4
// otherwise. Kernels are written once against it. Only the `fma` here fuses; plain + and * never do (the build sets
// -ffp-contract=off), so what a kernel computes is what it says, on every instruction set.
#pragma once
#include "../core/dtype.h"

#if defined(__x86_64__)
#  include <immintrin.h>
#elif defined(__aarch64__)
#  include <arm_neon.h>
#endif

namespace langevin::LANGEVIN_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct Vec {
  static constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(T));
  typedef T Register __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
  Register v;

  static LANGEVIN_INLINE Vec zero() { return {Register{}}; }
  static LANGEVIN_INLINE Vec broadcast(T x) { return {x - Register{}}; }
  static LANGEVIN_INLINE Vec load(const T* p) { return {*reinterpret_cast<const Unaligned*>(p)}; }
  LANGEVIN_INLINE void store(T* p) const { *reinterpret_cast<Unaligned*>(p) = v; }

  friend LANGEVIN_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
  friend LANGEVIN_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
  friend LANGEVIN_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
  friend LANGEVIN_INLINE Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
};

/// A vector of stored elements, as they are computed with: bf16 is widened.
template <class T>
LANGEVIN_INLINE Vec<T> loadWide(const T* p) {
  return Vec<T>::load(p);
}
/// … and back: a vector of results, rounded to nearest even where bf16 is stored.
template <class T>
LANGEVIN_INLINE void storeNarrow(Vec<T> v, T* p) {
  v.store(p);
}

typedef uint32_t FloatBits __attribute__((vector_size(kVectorBytes)));
typedef uint16_t Bf16Bits __attribute__((vector_size(kVectorBytes / 2)));

LANGEVIN_INLINE Vec<float> loadWide(const bf16* p) {
  Bf16Bits bits;
  std::memcpy(&bits, p, sizeof bits);
  return {(Vec<float>::Register)(__builtin_convertvector(bits, FloatBits) << 16)};
}
LANGEVIN_INLINE Bf16Bits roundToBf16(Vec<float> v) {
#if defined(__AVX512BF16__)
  return (Bf16Bits)_mm512_cvtneps_pbh((__m512)v.v);  // denormals become 0
#else
  const FloatBits word = (FloatBits)v.v, upper = word >> 16;
  const FloatBits rounded = (word + 0x7fffu + (upper & 1)) >> 16;
  return __builtin_convertvector((word & 0x7fffffffu) > 0x7f800000u ? upper | 0x40 : rounded, Bf16Bits);
#endif
}
LANGEVIN_INLINE void storeNarrow(Vec<float> v, bf16* p) {
  const Bf16Bits bits = roundToBf16(v);
  std::memcpy(p, &bits, sizeof bits);
}

/// a·b + c, rounded once where the machine can.
LANGEVIN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__AVX512F__)
  return {(Vec<float>::Register)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
#elif defined(__FMA__)
  return {(Vec<float>::Register)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v)};
#elif defined(__aarch64__)
  return {(Vec<float>::Register)vfmaq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v)};
#else
  return a * b + c;
#endif
}
LANGEVIN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
#if defined(__AVX512F__)
  return {(Vec<double>::Register)_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v)};
#elif defined(__FMA__)
  return {(Vec<double>::Register)_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v)};
#elif defined(__aarch64__)
  return {(Vec<double>::Register)vfmaq_f64((float64x2_t)c.v, (float64x2_t)a.v, (float64x2_t)b.v)};
#else
  return a * b + c;
#endif
}

/// Bit i is set where lane i is > 0.
LANGEVIN_INLINE uint32_t positiveBits(Vec<float> a) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a.v, _mm512_setzero_ps(), _CMP_GT_OQ);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)a.v, _mm256_setzero_ps(), _CMP_GT_OQ)));
#else
  uint32_t bits = 0;
  for (int i = 0; i < Vec<float>::lanes; ++i) bits |= static_cast<uint32_t>(a.v[i] > 0) << i;
  return bits;
#endif
}
LANGEVIN_INLINE uint32_t positiveBits(Vec<double> a) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask((__m512d)a.v, _mm512_setzero_pd(), _CMP_GT_OQ);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd((__m256d)a.v, _mm256_setzero_pd(), _CMP_GT_OQ)));
#else
  uint32_t bits = 0;
  for (int i = 0; i < Vec<double>::lanes; ++i) bits |= static_cast<uint32_t>(a.v[i] > 0) << i;
  return bits;
#endif
}

/// Lane i is a's where bit i is set, b's elsewhere.
LANGEVIN_INLINE Vec<float> select(uint32_t bits, Vec<float> a, Vec<float> b) {
#if defined(__AVX512F__)
  return {(Vec<float>::Register)_mm512_mask_blend_ps(static_cast<__mmask16>(bits), (__m512)b.v, (__m512)a.v)};
#elif defined(__AVX2__)
  const __m256i weights = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), weights);
  const __m256i mask = _mm256_cmpeq_epi32(set, weights);
  return {(Vec<float>::Register)_mm256_blendv_ps((__m256)b.v, (__m256)a.v, _mm256_castsi256_ps(mask))};
#else
  for (int i = 0; i < Vec<float>::lanes; ++i) a.v[i] = (bits >> i & 1) ? a.v[i] : b.v[i];
  return a;
#endif
}
LANGEVIN_INLINE Vec<double> select(uint32_t bits, Vec<double> a, Vec<double> b) {
#if defined(__AVX512F__)
  return {(Vec<double>::Register)_mm512_mask_blend_pd(static_cast<__mmask8>(bits), (__m512d)b.v, (__m512d)a.v)};
#else
  for (int i = 0; i < Vec<double>::lanes; ++i) a.v[i] = (bits >> i & 1) ? a.v[i] : b.v[i];
  return a;
#endif
}

}  // namespace langevin::LANGEVIN_ISA
