// The elementary functions that kernels use, by overload for float and double, in numerically stable forms.
//
// Those of float that activations need are written here without branches, so that loops over them vectorise, and with
// IEEE operations only, so that every instruction set gives the same bits; errors are below 1 unit in the last place
// for exp, 3 for the others, 8 for erfc. Those of double, and the rest, are libm's. Builtins instead of std:: keep
// these translation units free of shared inline functions (see core/dtype.h).
#pragma once
#include "elements.h"

namespace langevin::LANGEVIN_ISA {

LANGEVIN_INLINE float absOf(float x) { return __builtin_fabsf(x); }
LANGEVIN_INLINE double absOf(double x) { return __builtin_fabs(x); }
LANGEVIN_INLINE float sqrtOf(float x) { return __builtin_sqrtf(x); }
LANGEVIN_INLINE double sqrtOf(double x) { return __builtin_sqrt(x); }
LANGEVIN_INLINE float naturalLogOf(float x) { return __builtin_logf(x); }
LANGEVIN_INLINE double naturalLogOf(double x) { return __builtin_log(x); }
LANGEVIN_INLINE float powOf(float x, float y) { return __builtin_powf(x, y); }
LANGEVIN_INLINE double powOf(double x, double y) { return __builtin_pow(x, y); }
LANGEVIN_INLINE double expOf(double x) { return __builtin_exp(x); }
LANGEVIN_INLINE double expm1Of(double x) { return __builtin_expm1(x); }
LANGEVIN_INLINE double log1pOf(double x) { return __builtin_log1p(x); }
LANGEVIN_INLINE double tanhOf(double x) { return __builtin_tanh(x); }
LANGEVIN_INLINE double erfcOf(double x) { return __builtin_erfc(x); }

/// 2ⁿ for a whole n in [−126, 127].
LANGEVIN_INLINE float powerOfTwo(int32_t n) {
  const uint32_t bits = static_cast<uint32_t>(n + 127) << 23;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

/// x = n·log 2 + r, |r| ≤ ½·log 2, and the polynomial (eʳ − 1 − r)/r² (Cephes, expf.c).
struct ExpParts {
  int32_t n;
  float r, tail;
};
LANGEVIN_INLINE ExpParts expParts(float x, float low) {
  const float shifted = x * 1.44269504f + 0x1.8p23f;  // its lower bits hold the nearest whole number
  const float n = shifted - 0x1.8p23f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, 4);
  const float r = ((x - n * 0.693359375f) + n * 2.12194440e-4f) + low;
  float tail = 1.9875691500e-4f;
  tail = tail * r + 1.3981999507e-3f;
  tail = tail * r + 8.3334519073e-3f;
  tail = tail * r + 4.1665795894e-2f;
  tail = tail * r + 1.6666665459e-1f;
  tail = tail * r + 5.0000001201e-1f;
  return {static_cast<int32_t>(bits - 0x4b400000u), r, tail};
}
/// eˣ⁺ˡᵒʷ for |low| much below 1: a sum that one float cannot hold.
LANGEVIN_INLINE float expOfSum(float x, float low) {
  const float below = x > 89.0f ? 89.0f : x, limited = below < -104.0f ? -104.0f : below;  // NaN stays NaN
  const ExpParts p = expParts(limited, low);
  const int32_t half = p.n >> 1;
  return (1.0f + (p.r + p.r * p.r * p.tail)) * powerOfTwo(half) * powerOfTwo(p.n - half);
}
LANGEVIN_INLINE float expOf(float x) { return expOfSum(x, 0.0f); }

/// eˣ − 1 = 2ⁿ·(eʳ − 1) + (2ⁿ − 1), for x ≤ 0 (0 for others).
LANGEVIN_INLINE float expm1Of(float x) {
  const float below = x > 0.0f ? 0.0f : x, limited = below < -20.0f ? -20.0f : below;
  const ExpParts p = expParts(limited, 0.0f);
  const float scale = powerOfTwo(p.n);
  return scale * (p.r + p.r * p.r * p.tail) + (scale - 1.0f);
}

/// log(1 + z) for z in [0, 1]: 2·atanh(s), s = z/(2 + z) ≤ ⅓, by its odd series.
LANGEVIN_INLINE float log1pOf(float z) {
  const float s = z / (2.0f + z), s2 = s * s;
  float series = 0.15384615f;  // 2/13
  series = series * s2 + 0.18181818f;
  series = series * s2 + 0.22222222f;
  series = series * s2 + 0.28571429f;
  series = series * s2 + 0.4f;
  series = series * s2 + 0.66666667f;
  return 2.0f * s + s * (s2 * series);
}

/// −e/(2 + e), e = exp(−2|x|) − 1, with x's sign.
LANGEVIN_INLINE float tanhOf(float x) {
  const float e = expm1Of(-2.0f * absOf(x));
  const float magnitude = -e / (2.0f + e);
  return __builtin_copysignf(magnitude, x);
}

/// t·exp(−z² + P(t)), t = 1/(1 + z/2), z = |x| (Press et al., Numerical Recipes, erfcc); z² is split into an exact
/// square and a rest, so that the tail keeps its relative accuracy.
LANGEVIN_INLINE float erfcOf(float x) {
  const float distance = absOf(x), z = distance > 20.0f ? 20.0f : distance, t = 1.0f / (1.0f + 0.5f * z);
  uint32_t bits;
  std::memcpy(&bits, &z, 4);
  bits &= 0xfffff000u;
  float upper;
  std::memcpy(&upper, &bits, 4);
  float series = 0.17087277f;
  series = series * t - 0.82215223f;
  series = series * t + 1.48851587f;
  series = series * t - 1.13520398f;
  series = series * t + 0.27886807f;
  series = series * t - 0.18628806f;
  series = series * t + 0.09678418f;
  series = series * t + 0.37409196f;
  series = series * t + 1.00002368f;
  series = series * t - 1.26551223f;
  const float tail = t * expOf(-upper * upper) * expOf((upper - z) * (upper + z) + series);
  return x < 0 ? 2.0f - tail : tail;
}

/// The larger of the two, or NaN where either is.
template <class C>
LANGEVIN_INLINE C maximumOf(C a, C b) {
  const C larger = a > b ? a : b;  // b where either is NaN
  return a != a ? a : larger;
}
template <class C>
LANGEVIN_INLINE C minimumOf(C a, C b) {
  const C smaller = a < b ? a : b;
  return a != a ? a : smaller;
}
/// min(max(x, low), high); NaN stays NaN.
template <class C>
LANGEVIN_INLINE C clampOf(C x, C low, C high) {
  const C raised = x < low ? low : x;
  return raised > high ? high : raised;
}

/// 1/(1 + e⁻ˣ), by e^−|x|, so that nothing overflows and small values keep their relative accuracy.
template <class C>
LANGEVIN_INLINE C sigmoidOf(C x) {
  const C z = expOf(-absOf(x));
  return (x < 0 ? z : C(1)) / (1 + z);
}
/// log(1 + eˣ)
template <class C>
LANGEVIN_INLINE C softplusOf(C x) {
  return (x < 0 ? C(0) : x) + log1pOf(expOf(-absOf(x)));
}
/// The standard normal distribution function, accurate in both tails.
template <class C>
LANGEVIN_INLINE C normalCdf(C x) {
  return C(0.5) * erfcOf(x * C(-0.70710678118654752440));
}
template <class C>
LANGEVIN_INLINE C normalPdf(C x) {
  return C(0.39894228040143267794) * expOf(C(-0.5) * x * x);
}

}  // namespace langevin::LANGEVIN_ISA
