// Element types and the views of buffers that kernels receive.
// Everything here is compiled into translation units of several instruction sets, so every function is forced inline:
// no out-of-line copy built for AVX-512 may ever be linked into code that runs on an older machine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#  define LANGEVIN_INLINE __host__ __device__ __forceinline__
#else
#  define LANGEVIN_INLINE inline __attribute__((always_inline))
#endif
/// For functions that may fault, which kernels on a GPU cannot.
#define LANGEVIN_HOST_INLINE inline __attribute__((always_inline))

namespace langevin {

enum class DType : uint8_t { f32, f64, bf16, i32, u8 };

LANGEVIN_INLINE constexpr size_t sizeOf(DType t) {
  return t == DType::f64 ? 8 : t == DType::f32 || t == DType::i32 ? 4 : t == DType::bf16 ? 2 : 1;
}

/// bfloat16: the upper half of an IEEE float32, rounded to nearest even; NaN stays NaN.
struct bf16 {
  uint16_t bits;
};
LANGEVIN_INLINE float toFloat(bf16 v) {
  const uint32_t word = static_cast<uint32_t>(v.bits) << 16;
  float f;
  std::memcpy(&f, &word, 4);
  return f;
}
LANGEVIN_INLINE bf16 toBf16(float f) {
  uint32_t word;
  std::memcpy(&word, &f, 4);
  if ((word & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((word >> 16) | 0x40)};
  return {static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1)) >> 16)};
}

/// What elements are computed with: themselves, but bf16 in float.
template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<bf16> {
  using type = float;
};
template <class T>
using ComputeOf = typename ComputeType<T>::type;

template <class T>
LANGEVIN_INLINE T widen(T v) {
  return v;
}
LANGEVIN_INLINE float widen(bf16 v) { return toFloat(v); }

template <class T>
LANGEVIN_INLINE T narrow(ComputeOf<T> v) {
  return v;
}
template <>
LANGEVIN_INLINE bf16 narrow<bf16>(float v) {
  return toBf16(v);
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};

/// Throws an error that surfaces at the next read of the device, prefixed by the op's name. Defined in core/fault.cc.
[[noreturn]] void fault(const char* format, ...) __attribute__((format(printf, 1, 2)));
const char* nameOf(DType t);

/// A buffer as a kernel sees it. `as<T>(n)` is the only way to its elements: it checks dtype and size, so that no
/// call, however wrong, reads or writes out of bounds. An absent optional buffer has data == nullptr.
struct Buffer {
  void* data = nullptr;
  int64_t count = 0;
  DType dtype = DType::f32;

  LANGEVIN_HOST_INLINE explicit operator bool() const { return data != nullptr; }

 protected:
  template <class T>
  LANGEVIN_HOST_INLINE T* checked(int64_t n) const {
    if (dtype != DTypeOf<T>::value)
      fault("a buffer of %s where %s is needed", nameOf(dtype), nameOf(DTypeOf<T>::value));
    if (n < 0 || n > count) {
      fault("a buffer of %lld elements where %lld are needed", static_cast<long long>(count),
            static_cast<long long>(n));
    }
    return static_cast<T*>(data);
  }
};

/// Read only. `OptIn` may be absent: as<T>() then gives nullptr.
struct In : Buffer {
  template <class T>
  LANGEVIN_HOST_INLINE const T* as(int64_t n) const {
    return checked<T>(n);
  }
};
struct OptIn : Buffer {
  template <class T>
  LANGEVIN_HOST_INLINE const T* as(int64_t n) const {
    return data ? checked<T>(n) : nullptr;
  }
  /// As an input that must be there: an absent one has no elements.
  LANGEVIN_HOST_INLINE In required() const { return {*this}; }
};
/// Written (Out: old contents ignored; InOut: updated in place).
struct Out : Buffer {
  template <class T>
  LANGEVIN_HOST_INLINE T* as(int64_t n) const {
    return checked<T>(n);
  }
};
struct OptOut : Buffer {
  template <class T>
  LANGEVIN_HOST_INLINE T* as(int64_t n) const {
    return data ? checked<T>(n) : nullptr;
  }
};
struct InOut : Out {};

/// Several buffers, as the optimizers take them.
template <class B>
struct List {
  const B* items = nullptr;
  int64_t count = 0;
  LANGEVIN_INLINE const B& operator[](int64_t i) const { return items[i]; }
};
using InList = List<In>;
using InOutList = List<InOut>;

/// Extents or strides of up to six axes, outermost first, padded in front with 1 (extents) or 0 (strides).
constexpr int kMaxRank = 6;
struct Dims {
  int64_t d[kMaxRank];
  LANGEVIN_INLINE int64_t operator[](int i) const { return d[i]; }
};

}  // namespace langevin
