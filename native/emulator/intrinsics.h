// CUDA's device functions beyond <math.h>: bits, conversions, rounded arithmetic, cached loads, atomics on integers.
// There are no atomics on floating-point numbers: the order of their additions, and so the result, would vary.
#pragma once
#include <math.h>

#include <cstdint>
#include <cstring>

// ---- minima and maxima, as CUDA overloads them ----
#define EMULATOR_EXTREMES(type)                             \
  inline type min(type a, type b) { return b < a ? b : a; } \
  inline type max(type a, type b) { return a < b ? b : a; }
EMULATOR_EXTREMES(int)
EMULATOR_EXTREMES(unsigned)
EMULATOR_EXTREMES(long)
EMULATOR_EXTREMES(unsigned long)
EMULATOR_EXTREMES(long long)
EMULATOR_EXTREMES(unsigned long long)
#undef EMULATOR_EXTREMES
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

// ---- bits ----
namespace emulator {
template <class To, class From>
To bitsAs(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace emulator
inline unsigned __float_as_uint(float v) { return emulator::bitsAs<unsigned>(v); }
inline int __float_as_int(float v) { return emulator::bitsAs<int>(v); }
inline float __uint_as_float(unsigned v) { return emulator::bitsAs<float>(v); }
inline float __int_as_float(int v) { return emulator::bitsAs<float>(v); }
inline long long __double_as_longlong(double v) { return emulator::bitsAs<long long>(v); }
inline double __longlong_as_double(long long v) { return emulator::bitsAs<double>(v); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __ffsll(long long v) { return __builtin_ffsll(v); }
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz(static_cast<unsigned>(v)); }
inline int __clzll(long long v) { return v == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(v)); }
inline unsigned __brev(unsigned v) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i) r |= ((v >> i) & 1u) << (31 - i);
  return r;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32); }
inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<int64_t>(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const uint64_t bytes = static_cast<uint64_t>(high) << 32 | low;
  unsigned r = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned pick = (selector >> (4 * i)) & 0xf;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (pick & 7))) & 0xff;
    if (pick & 8) byte = byte & 0x80 ? 0xff : 0;
    r |= byte << (8 * i);
  }
  return r;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((static_cast<uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}

// ---- conversions; out of range saturates and NaN becomes 0, as the hardware does ----
namespace emulator {
inline int saturatedInt(float v) {
  if (v != v) return 0;
  return v >= 2147483648.0f ? 2147483647 : v < -2147483648.0f ? -2147483647 - 1 : static_cast<int>(v);
}
inline unsigned saturatedUnsigned(float v) {
  if (v != v || v <= 0) return 0;
  return v >= 4294967296.0f ? 4294967295u : static_cast<unsigned>(v);
}
}  // namespace emulator
inline int __float2int_rz(float v) { return emulator::saturatedInt(v); }
inline int __float2int_rn(float v) { return emulator::saturatedInt(rintf(v)); }
inline int __float2int_rd(float v) { return emulator::saturatedInt(floorf(v)); }
inline int __float2int_ru(float v) { return emulator::saturatedInt(ceilf(v)); }
inline unsigned __float2uint_rz(float v) { return emulator::saturatedUnsigned(v); }
inline unsigned __float2uint_rn(float v) { return emulator::saturatedUnsigned(rintf(v)); }
inline float __int2float_rn(int v) { return static_cast<float>(v); }
inline float __uint2float_rn(unsigned v) { return static_cast<float>(v); }
inline float __double2float_rn(double v) { return static_cast<float>(v); }

// ---- rounded arithmetic, never contracted ----
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fsqrt_rn(float v) { return __builtin_sqrtf(v); }
inline float __frcp_rn(float v) { return 1.0f / v; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float rsqrtf(float v) { return 1.0f / __builtin_sqrtf(v); }
inline double rsqrt(double v) { return 1.0 / sqrt(v); }
inline float __saturatef(float v) { return v > 0 ? (v < 1 ? v : 1.0f) : 0.0f; }

// ---- loads and stores with cache hints ----
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcg(T* p, T v) {
  *p = v;
}
template <class T>
void __stcs(T* p, T v) {
  *p = v;
}

// ---- atomics: return the old value ----
namespace emulator {
template <class T, class F>
T atomically(T* p, const F& next) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, next(old), true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  return old;
}
}  // namespace emulator
#define EMULATOR_ATOMICS(type)                                                                    \
  inline type atomicAdd(type* p, type v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }   \
  inline type atomicExch(type* p, type v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); } \
  inline type atomicOr(type* p, type v) { return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); }     \
  inline type atomicAnd(type* p, type v) { return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST); }   \
  inline type atomicXor(type* p, type v) { return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST); }   \
  inline type atomicMax(type* p, type v) {                                                        \
    return emulator::atomically(p, [v](type old) { return old < v ? v : old; });                  \
  }                                                                                               \
  inline type atomicMin(type* p, type v) {                                                        \
    return emulator::atomically(p, [v](type old) { return v < old ? v : old; });                  \
  }                                                                                               \
  inline type atomicCAS(type* p, type expected, type v) {                                         \
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
    return expected;                                                                              \
  }
EMULATOR_ATOMICS(int)
EMULATOR_ATOMICS(unsigned)
EMULATOR_ATOMICS(unsigned long long)
#undef EMULATOR_ATOMICS
inline int atomicSub(int* p, int v) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); }
inline unsigned atomicSub(unsigned* p, unsigned v) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); }
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  return emulator::atomically(p, [limit](unsigned old) { return old >= limit ? 0u : old + 1u; });
}
float atomicAdd(float*, float) = delete;
double atomicAdd(double*, double) = delete;
