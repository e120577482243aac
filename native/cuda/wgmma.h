// Matrix products of a warpgroup (Hopper): 64×n += 64×16 · 16×n, bf16 operands in shared memory, f32 sums in registers.
//
// An operand is K-major where its elements of equal row (of A) or column (of B) are contiguous along k, and MN-major
// where those of equal k are. Both come as rows of 128 or 64 bytes, as TMA writes them with the swizzle of that width:
//
//   K-major, 128 bytes    rows of 64 k; row i lies at 128·i; a step of 16 k is 32 bytes further
//   MN-major, 128 or 64   rows of 64 or 32 elements of one k, a chunk; chunks lie one after another (`chunkBytes`
//                         apart); a step of 16 k is 16 rows further
//
// Descriptors are those of §9.7.15.5.1 (PTX ISA 9.0). Their leading offset is the distance of chunks (MN-major only);
// their stride is that of groups of eight rows (K-major) or of eight k (MN-major), which is eight swizzled rows both
// times. Start addresses are multiples of the swizzle's pattern (1024 or 512 bytes) or, K-major, inside its first row:
// so the base offset is always 0.
//
// Sums: thread t of the warpgroup has rows 16·(t/32) + (t%32)/4 + 8·h and columns 8·j + 2·(t%4) + e in d[4·j + 2·h +
// e].
#pragma once
#include "ptx.h"

#if defined(LANGEVIN_HOPPER)
#  if !defined(LANGEVIN_EMULATED)
#    include "wgmma_instructions.h"
#  endif

namespace langevin::ptx {

enum class Major { k, mn };

template <int swizzleBytes>
LANGEVIN_DEVICE uint64_t describe(const void* start, int chunkBytes = 16) {
  static_assert(swizzleBytes == 128 || swizzleBytes == 64, "swizzles of 128 and 64 bytes are described");
  constexpr uint64_t kLayout = swizzleBytes == 128 ? 1 : 2;
  return static_cast<uint64_t>((sharedAddress(start) & 0x3ffff) >> 4) |
         (static_cast<uint64_t>(static_cast<uint32_t>(chunkBytes) >> 4) << 16) |
         (static_cast<uint64_t>(8 * swizzleBytes / 16) << 32) | (kLayout << 62);
}

/// d += a·b, asynchronously: all 128 threads of a warpgroup together, between fenceProducts and commitProducts.
template <int n, Major a, Major b>
LANGEVIN_DEVICE void multiply(float (&d)[n / 2], uint64_t descriptorA, uint64_t descriptorB) {
#  if defined(LANGEVIN_EMULATED)
  ::emulator::wgmma(d, n, descriptorA, descriptorB, a == Major::mn, b == Major::mn);
#  else
  Wgmma<n>::template multiply<a == Major::mn ? 1 : 0, b == Major::mn ? 1 : 0>(d, descriptorA, descriptorB);
#  endif
}

}  // namespace langevin::ptx

#endif
