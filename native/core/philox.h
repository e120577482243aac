// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and Box–Muller.
//
// Everything is written with IEEE additions, multiplications, divisions and square roots only, never contracted to FMA
// (the builds set -ffp-contract=off, and -fmad=false for CUDA), so that the same words and the same normals come out on
// every instruction set and every device, bit for bit.
#pragma once
#include <cmath>

#include "dtype.h"

#if defined(__CUDA_ARCH__)
#  define LANGEVIN_SQRT(x) __fsqrt_rn(x)
#else
#  define LANGEVIN_SQRT(x) __builtin_sqrtf(x)
#endif

namespace langevin {

struct Words {
  uint32_t w[4];
};

LANGEVIN_INLINE Words philox4x32(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// Uniform on [0, 1): the upper 24 bits, exact in float32.
LANGEVIN_INLINE float uniformOf(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

/// Natural logarithm of u on (0, 1]: u = 2^e·m with m in [√½, √2), log m = 2·atanh((m − 1)/(m + 1)) by its odd series.
/// Relative error below 2e-7.
LANGEVIN_INLINE float logOf(float u) {
  uint32_t bits;
  std::memcpy(&bits, &u, 4);
  const uint32_t shifted = bits - 0x3f3504f3u;  // √½
  const int32_t exponent = static_cast<int32_t>(shifted) >> 23;
  const uint32_t mantissa = (shifted & 0x007fffffu) + 0x3f3504f3u;
  float m;
  std::memcpy(&m, &mantissa, 4);
  const float s = (m - 1.0f) / (m + 1.0f);
  const float s2 = s * s;
  float series = 0.22222222f;  // 2/9
  series = series * s2 + 0.28571429f;
  series = series * s2 + 0.4f;
  series = series * s2 + 0.66666667f;
  const float logm = 2.0f * s + s * (s2 * series);
  return static_cast<float>(exponent) * 0.69314718f + logm;
}

/// Two independent N(0, 1) from two words. r = √(−2·log u), u = (w0 >> 8 + 1)·2⁻²⁴ in (0, 1], so |normal| ≤ 5.77;
/// the angle 2π·v is reduced to an octant by v's upper three bits, exactly, and sine and cosine are Taylor polynomials.
LANGEVIN_INLINE void boxMuller(uint32_t w0, uint32_t w1, float& n0, float& n1) {
  const float u = static_cast<float>((w0 >> 8) + 1) * 0x1p-24f;
  const float r = LANGEVIN_SQRT(-2.0f * logOf(u));
  const uint32_t quadrant = w1 >> 30;  // angle = quadrant·π/2 + t
  const float v = static_cast<float>(static_cast<int32_t>((w1 >> 6) & 0xffffffu) - 0x800000) * 0x1p-24f;
  const float t = v * 1.57079633f;  // in [−π/4, π/4)
  const float t2 = t * t;
  float sine = 2.7557319e-6f;
  sine = sine * t2 - 1.9841270e-4f;
  sine = sine * t2 + 8.3333333e-3f;
  sine = sine * t2 - 1.6666667e-1f;
  sine = t + t * (t2 * sine);
  float cosine = 2.4801587e-5f;
  cosine = cosine * t2 - 1.3888889e-3f;
  cosine = cosine * t2 + 4.1666667e-2f;
  cosine = cosine * t2 - 0.5f;
  cosine = 1.0f + t2 * cosine;
  const bool odd = quadrant & 1;
  const float a = odd ? sine : cosine, b = odd ? cosine : sine;
  n0 = r * (quadrant == 1 || quadrant == 2 ? -a : a);
  n1 = r * (quadrant >= 2 ? -b : b);
}

}  // namespace langevin
