// Instructions beyond CUDA C++, each one function: asynchronous copies, barriers in shared memory, matrix instructions,
// clusters, and dependent launches. native/emulator/ptx.h has the same functions in plain C++; the conformance suite
// (native/test/conformance) compares the two, one tiny kernel per instruction.
//
// Section numbers are those of the PTX ISA 9.0. Functions marked [sm90] exist only where LANGEVIN_HOPPER is defined.
// Shared memory is given by generic pointers; addresses within a cluster by mapShared.
#pragma once
#include "platform.h"

#if defined(LANGEVIN_EMULATED)
#  include "../emulator/ptx.h"
#else

#  include <cuda.h>
#  include <cuda_bf16.h>

namespace langevin::ptx {

#  define LANGEVIN_PTX __device__ __forceinline__

LANGEVIN_PTX uint32_t sharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

/// Two floats as bf16, rounded to nearest even; `low` in the lower half.
LANGEVIN_PTX uint32_t packBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
LANGEVIN_PTX float lowBf16(uint32_t packed) { return __uint_as_float(packed << 16); }
LANGEVIN_PTX float highBf16(uint32_t packed) { return __uint_as_float(packed & 0xffff0000u); }
/// f32 → TF32, rounded to nearest, ties away (cvt.rna); the bits of a float.
LANGEVIN_PTX uint32_t toTf32(float v) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
  return bits;
}

// ---- named barriers (§9.7.13.1): `threads` (a multiple of 32) threads of the block; ids 1 to 15 ----
LANGEVIN_PTX void syncBarrier(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
LANGEVIN_PTX void arriveBarrier(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- cp.async (§9.7.9.25.3): global → shared, 16 bytes (both 16-byte aligned) or 4; zeros where !valid ----
LANGEVIN_PTX void copyAsync16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
LANGEVIN_PTX void copyAsync4(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(sharedAddress(shared)), "l"(global),
               "r"(valid ? 4 : 0)
               : "memory");
}
LANGEVIN_PTX void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `pending` of this thread's groups are unfinished; other threads see the data after a barrier.
template <int pending>
LANGEVIN_PTX void waitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// ---- ldmatrix (§9.7.14.5.15): four 8×8 tiles of 16-bit elements; lane 8i + r gives the address of row r of tile i
// ----
LANGEVIN_PTX void loadMatrix4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(row))
               : "memory");
}
LANGEVIN_PTX void loadMatrix4Transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(row))
               : "memory");
}

// ---- mma.sync (§9.7.14.5): d += a·b; fragments as the ISA numbers them ----
LANGEVIN_PTX void mmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {  // m16n8k16
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
LANGEVIN_PTX void mmaTf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {  // m16n8k8
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#  if defined(LANGEVIN_HOPPER)

// ---- [sm90] mbarrier (§9.7.13.15): 8 bytes of shared memory ----
LANGEVIN_PTX void initBarrier(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(sharedAddress(barrier)), "r"(arrivals) : "memory");
}
/// Makes initBarrier visible to the cluster and to asynchronous copies.
LANGEVIN_PTX void fenceBarrierInit() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
/// One arrival, and `bytes` more that the phase waits for.
LANGEVIN_PTX void arriveExpecting(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(sharedAddress(barrier)), "r"(bytes)
               : "memory");
}
LANGEVIN_PTX void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(sharedAddress(barrier)) : "memory");
}
/// Arrives at the same barrier of block `rank` of the cluster.
LANGEVIN_PTX void arriveAt(uint64_t* barrier, uint32_t rank) {
  asm volatile(
      "{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1; "
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote]; }" ::"r"(sharedAddress(barrier)),
      "r"(rank)
      : "memory");
}
/// Waits until the phase of this parity is complete.
LANGEVIN_PTX void waitBarrier(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{ .reg .pred done; again: mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1; "
      "@done bra over; bra again; over: }" ::"r"(sharedAddress(barrier)),
      "r"(parity)
      : "memory");
}
/// … where arrivals come from other blocks of the cluster.
LANGEVIN_PTX void waitClusterBarrier(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{ .reg .pred done; again: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1; "
      "@done bra over; bra again; over: }" ::"r"(sharedAddress(barrier)),
      "r"(parity)
      : "memory");
}

// ---- [sm90] proxy fences (§9.7.13.4): ordinary accesses before, asynchronous copies and wgmma after ----
LANGEVIN_PTX void fenceAsyncShared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
LANGEVIN_PTX void fenceAsyncGlobal() { asm volatile("fence.proxy.async.global;" ::: "memory"); }

// ---- [sm90] TMA (§9.7.9.27): boxes of a tensor map; coordinates innermost first; outside the tensor: zeros ----
LANGEVIN_PTX void prefetchMap(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(map)) : "memory");
}
LANGEVIN_PTX void loadBox(void* shared, const CUtensorMap* map, uint64_t* barrier, int c0, int c1) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], "
      "[%2];" ::"r"(sharedAddress(shared)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(sharedAddress(barrier)), "r"(c0), "r"(c1)
      : "memory");
}
LANGEVIN_PTX void loadBox(void* shared, const CUtensorMap* map, uint64_t* barrier, int c0, int c1, int c2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(sharedAddress(shared)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(sharedAddress(barrier)), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
}
LANGEVIN_PTX void loadBox(void* shared, const CUtensorMap* map, uint64_t* barrier, int c0, int c1, int c2, int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5, %6}], [%2];" ::"r"(sharedAddress(shared)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(sharedAddress(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
LANGEVIN_PTX void loadBox(void* shared, const CUtensorMap* map, uint64_t* barrier, int c0, int c1, int c2, int c3,
                          int c4) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(sharedAddress(shared)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(sharedAddress(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
      : "memory");
}
/// To the same place of every block of the cluster whose bit of `blocks` is set; each one's barrier counts the bytes.
LANGEVIN_PTX void loadBoxMulticast(void* shared, const CUtensorMap* map, uint64_t* barrier, uint16_t blocks, int c0,
                                   int c1, int c2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%4, %5, %6}], [%2], %3;" ::"r"(sharedAddress(shared)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(sharedAddress(barrier)), "h"(blocks), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
}
LANGEVIN_PTX void loadBoxMulticast(void* shared, const CUtensorMap* map, uint64_t* barrier, uint16_t blocks, int c0,
                                   int c1, int c2, int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%4, %5, %6, %7}], [%2], %3;" ::"r"(sharedAddress(shared)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(sharedAddress(barrier)), "h"(blocks), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
LANGEVIN_PTX void loadBoxMulticast(void* shared, const CUtensorMap* map, uint64_t* barrier, uint16_t blocks, int c0,
                                   int c1, int c2, int c3, int c4) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%4, %5, %6, %7, %8}], [%2], %3;" ::"r"(sharedAddress(shared)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(sharedAddress(barrier)), "h"(blocks), "r"(c0), "r"(c1), "r"(c2),
      "r"(c3), "r"(c4)
      : "memory");
}
/// Shared → global; what lies outside the tensor is not written. In the thread's bulk group.
LANGEVIN_PTX void storeBox(const CUtensorMap* map, const void* shared, int c0, int c1, int c2, int c3) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
                   reinterpret_cast<uint64_t>(map)),
               "r"(sharedAddress(shared)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
               : "memory");
}
LANGEVIN_PTX void storeBox(const CUtensorMap* map, const void* shared, int c0, int c1, int c2, int c3, int c4) {
  asm volatile("cp.async.bulk.tensor.5d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5, %6}], [%1];" ::"l"(
                   reinterpret_cast<uint64_t>(map)),
               "r"(sharedAddress(shared)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
               : "memory");
}
LANGEVIN_PTX void commitStores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/// Waits until at most `pending` groups have not yet read shared memory (it may then be overwritten) …
template <int pending>
LANGEVIN_PTX void waitStoresRead() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}
/// … or are not complete.
template <int pending>
LANGEVIN_PTX void waitStores() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(pending) : "memory");
}

// ---- [sm90] stmatrix (§9.7.14.5.16): the inverse of loadMatrix4 ----
LANGEVIN_PTX void storeMatrix4(void* row, const uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(sharedAddress(row)), "r"(r[0]),
               "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

// ---- [sm90] wgmma (§9.7.15): the products themselves are in wgmma.h ----
/// Before the first product of a batch, and wherever registers of an accumulator were touched since.
LANGEVIN_PTX void fenceProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
LANGEVIN_PTX void commitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int pending>
LANGEVIN_PTX void waitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}
template <int registers>
LANGEVIN_PTX void increaseRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
LANGEVIN_PTX void decreaseRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

// ---- [sm90] clusters (§9.7.13.3) ----
LANGEVIN_PTX uint32_t clusterRank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
LANGEVIN_PTX void arriveCluster() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
LANGEVIN_PTX void waitCluster() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

#  endif  // LANGEVIN_HOPPER

// ---- dependent launches (§9.7.13.13): without effect before Hopper ----
/// Waits until the launches before this one are complete and their writes visible.
LANGEVIN_PTX void waitForPrevious() {
#  if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#  endif
}
/// The next launch may start once every block has said so or ended.
LANGEVIN_PTX void allowNext() {
#  if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#  endif
}

}  // namespace langevin::ptx

#endif
