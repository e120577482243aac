// The elementary functions that kernels use, by overload for float and double, in numerically stable forms. The
// builtins instead of std:: keep these translation units free of shared inline functions (see core/dtype.h).
#pragma once
#include "elements.h"

namespace langevin::LANGEVIN_ISA {

LANGEVIN_INLINE float expOf(float x) { return __builtin_expf(x); }
LANGEVIN_INLINE double expOf(double x) { return __builtin_exp(x); }
LANGEVIN_INLINE float expm1Of(float x) { return __builtin_expm1f(x); }
LANGEVIN_INLINE double expm1Of(double x) { return __builtin_expm1(x); }
LANGEVIN_INLINE float naturalLogOf(float x) { return __builtin_logf(x); }
LANGEVIN_INLINE double naturalLogOf(double x) { return __builtin_log(x); }
LANGEVIN_INLINE float log1pOf(float x) { return __builtin_log1pf(x); }
LANGEVIN_INLINE double log1pOf(double x) { return __builtin_log1p(x); }
LANGEVIN_INLINE float tanhOf(float x) { return __builtin_tanhf(x); }
LANGEVIN_INLINE double tanhOf(double x) { return __builtin_tanh(x); }
LANGEVIN_INLINE float erfcOf(float x) { return __builtin_erfcf(x); }
LANGEVIN_INLINE double erfcOf(double x) { return __builtin_erfc(x); }
LANGEVIN_INLINE float powOf(float x, float y) { return __builtin_powf(x, y); }
LANGEVIN_INLINE double powOf(double x, double y) { return __builtin_pow(x, y); }
LANGEVIN_INLINE float sqrtOf(float x) { return __builtin_sqrtf(x); }
LANGEVIN_INLINE double sqrtOf(double x) { return __builtin_sqrt(x); }
LANGEVIN_INLINE float absOf(float x) { return __builtin_fabsf(x); }
LANGEVIN_INLINE double absOf(double x) { return __builtin_fabs(x); }

/// The larger of the two, or NaN where either is.
template <class C>
LANGEVIN_INLINE C maximumOf(C a, C b) {
  return (a > b) | (a != a) ? a : b;
}
template <class C>
LANGEVIN_INLINE C minimumOf(C a, C b) {
  return (a < b) | (a != a) ? a : b;
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
