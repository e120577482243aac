// The instructions behind ptx.h: copies and matrix products that complete later, barriers in shared memory, clusters.
//
// Asynchronous work completes as late as the program allows or at any moment before, by random choice. What it reads is
// read then: global memory, and for products and stores the asynchronous proxy's view of shared memory, in which
// ordinary writes show only after fenceAsyncShared.
#pragma once
#include <cstdint>
#include <initializer_list>

#include "cuda.h"

namespace emulator {

/// The address in the block's window of shared memory, as instructions and descriptors take it.
uint32_t sharedAddress(const void* shared);

uint32_t roundedToTf32(float v);

// ---- cp.async ----
void copyAsync(void* shared, const void* global, unsigned bytes, bool valid);
void commitCopies();
void waitCopies(int pending);

// ---- ldmatrix, stmatrix, mma.sync ----
void loadMatrices(uint32_t* r, const void* row, bool transposed);
void storeMatrices(void* row, const uint32_t* r);
void mmaBf16(float* d, const uint32_t* a, const uint32_t* b);
void mmaTf32(float* d, const uint32_t* a, const uint32_t* b);

// ---- mbarrier ----
void initBarrier(uint64_t* barrier, uint32_t arrivals);
void fenceBarrierInit();
void arrive(uint64_t* barrier, uint32_t expectedBytes);
void arriveAt(uint64_t* barrier, uint32_t rank);
void waitBarrier(uint64_t* barrier, uint32_t parity);

// ---- TMA ----
void fenceAsyncShared();
void prefetchMap(const CUtensorMap* map);
/// `blocks`: those of the cluster that get the box; null: the own.
void loadBox(void* shared, const CUtensorMap* map, uint64_t* barrier, const uint16_t* blocks,
             std::initializer_list<int> at);
void storeBox(const CUtensorMap* map, const void* shared, std::initializer_list<int> at);
void commitStores();
/// Until at most `pending` groups have still to read shared memory or, with `written`, to be complete.
void waitStores(int pending, bool written);

// ---- wgmma: D (64×n, f32) += A (64×k) · B (k×n), k = 16 for bf16 and 8 for TF32 ----
void fenceProducts();
/// bf16, both operands in shared memory, given by descriptors; `…MnMajor`: transposed there.
void wgmma(float* d, int n, uint64_t a, uint64_t b, bool aMnMajor, bool bMnMajor, bool accumulate = true);
/// bf16, A from four registers, which must stay as they are until the products are waited for.
void wgmmaFromRegisters(float* d, int n, const uint32_t* a, uint64_t b, bool bMnMajor, bool accumulate = true);
/// TF32, both operands K-major in shared memory.
void wgmmaTf32(float* d, int n, uint64_t a, uint64_t b, bool accumulate = true);
void commitProducts();
void waitProducts(int pending);
void setRegisters(unsigned registers, bool increase);

// ---- clusters and dependent launches ----
uint32_t clusterRank();
void arriveCluster();
void waitCluster();
void waitForPrevious();
void allowNext();

}  // namespace emulator
