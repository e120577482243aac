// What every kernel file needs: types by dtype, counts that cannot overflow, and loops over fixed blocks.
//
// The speeds that kernel files state were measured on one thread of an AMD EPYC (Zen 4, 2 cores, AVX-512) on
// 2026-11-22, GCC 12, by timing calls of the addon's ops in processor time, best of 7: on 802,816 f32 (3.2 MB, in L3; a
// copy by `convert` runs at 80 GB/s, read and written bytes together) and on 16.8 million (DRAM; a copy runs at 27
// GB/s).
#pragma once
#include "../core/counts.h"
#include "simd.h"
#include "stream.h"

/// Before a loop whose iterations are independent even where an output is one of the inputs (element by element).
#if defined(__clang__)
#  define LANGEVIN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#  define LANGEVIN_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace langevin::LANGEVIN_ISA {

// ---- element types by dtype ----

/// Calls f(T{}) with the element type of a floating-point dtype; another dtype is a fault.
template <class F>
LANGEVIN_INLINE void withFloat(DType t, const F& f) {
  if (t == DType::f32) return f(float{});
  if (t == DType::f64) return f(double{});
  if (t == DType::bf16) return f(bf16{});
  fault("a buffer of %s where f32, f64 or bf16 is needed", nameOf(t));
}
/// … of f32, f64, bf16 or i32 …
template <class F>
LANGEVIN_INLINE void withNumber(DType t, const F& f) {
  if (t == DType::i32) return f(int32_t{});
  withFloat(t, f);
}
/// … of any dtype.
template <class F>
LANGEVIN_INLINE void withAny(DType t, const F& f) {
  if (t == DType::u8) return f(uint8_t{});
  withNumber(t, f);
}

// ---- indices ----

LANGEVIN_INLINE void checkIndices(const int32_t* index, int64_t count, int64_t limit) {
  for (int64_t i = 0; i < count; ++i) {
    if (index[i] < 0 || index[i] >= limit) {
      fault("index %d at %lld is outside [0, %lld)", index[i], static_cast<long long>(i),
            static_cast<long long>(limit));
    }
  }
}

// ---- loops ----

/// Elements per block of an element-wise loop: 64 KiB of f32, small beside L2, large beside the cost of a block. A
/// multiple of 64, so that no byte of sign bits and no batch of random numbers is shared by two blocks.
constexpr int64_t kBlock = 16384;

/// body(begin, end) for fixed blocks of [0, n), on any thread.
template <class Body>
LANGEVIN_INLINE void forBlocks(Stream& stream, int64_t n, const Body& body, int64_t block = kBlock) {
  stream.parallel(ceilDiv(n, block), [&](int64_t b, int) { body(b * block, smaller(n, (b + 1) * block)); });
}

/// body(first, last) for groups of rows that hold about `elements` elements each.
template <class Body>
LANGEVIN_INLINE void forRows(Stream& stream, int64_t rows, int64_t rowSize, const Body& body,
                             int64_t elements = kBlock) {
  forBlocks(stream, rows, body, larger(1, elements / larger(1, rowSize)));
}

}  // namespace langevin::LANGEVIN_ISA
