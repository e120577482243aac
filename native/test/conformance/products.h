// wgmma of eight columns, with everything that the instruction lets one choose: four sums a thread are few enough to be
// spelled out. Used by the conformance suite alone; kernels use native/cuda/wgmma.h.
#pragma once
#include "../../cuda/ptx.h"

#if defined(LANGEVIN_HOPPER)
namespace langevin::conformance {

template <int transposeA, int transposeB>
LANGEVIN_DEVICE void multiplyShared(float (&d)[4], uint64_t a, uint64_t b, bool accumulate) {
#  if defined(LANGEVIN_EMULATED)
  emulator::wgmma(d, 8, a, b, transposeA != 0, transposeB != 0, accumulate);
#  else
  asm volatile(
      "{ .reg .pred add; setp.ne.b32 add, %6, 0; "
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0, %1, %2, %3}, %4, %5, add, 1, 1, %7, %8; }"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "l"(a), "l"(b), "r"(accumulate ? 1 : 0), "n"(transposeA), "n"(transposeB));
#  endif
}

template <int transposeB>
LANGEVIN_DEVICE void multiplyRegisters(float (&d)[4], const uint32_t (&a)[4], uint64_t b) {
#  if defined(LANGEVIN_EMULATED)
  emulator::wgmmaFromRegisters(d, 8, a, b, transposeB != 0);
#  else
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0, %1, %2, %3}, {%4, %5, %6, %7}, %8, 1, 1, 1, %9;"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(transposeB));
#  endif
}

LANGEVIN_DEVICE void multiplyTf32(float (&d)[4], uint64_t a, uint64_t b) {
#  if defined(LANGEVIN_EMULATED)
  emulator::wgmmaTf32(d, 8, a, b);
#  else
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {%0, %1, %2, %3}, %4, %5, 1, 1, 1;"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "l"(a), "l"(b));
#  endif
}

}  // namespace langevin::conformance
#endif
