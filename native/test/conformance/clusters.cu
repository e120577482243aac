// Clusters: ranks, arrivals at another block's barrier, and boxes sent to several blocks.
#include "conformance.h"

namespace langevin::conformance {
namespace {

using test::Array;
using test::launch;
using test::Shape;

/// Each block of a cluster of four loads a quarter of a box for two blocks, by a mask that depends on its rank.
__global__ void sendQuarters(const __grid_constant__ CUtensorMap map, unsigned char* out) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_DYNAMIC_SHARED(memory);
  LANGEVIN_SHARED(uint64_t, full);
  LANGEVIN_SHARED(uint64_t, turn);
  const uint32_t rank = ptx::clusterRank();
  for (unsigned i = threadIdx.x; i < 2048; i += 32) memory[i] = static_cast<unsigned char>(rank);
  ptx::fenceAsyncShared();
  if (threadIdx.x == 0) {
    ptx::initBarrier(&full, 1);
    ptx::initBarrier(&turn, 1);
    ptx::fenceBarrierInit();
  }
  __syncthreads();
  ptx::arriveCluster();
  ptx::waitCluster();
  if (threadIdx.x == 0) {
    // Each block gets its own quarter and that of the block before it.
    ptx::arriveExpecting(&full, 2 * 512);
    const auto blocks = static_cast<uint16_t>(1u << rank | 1u << (rank + 1) % 4);
    ptx::loadBoxMulticast(memory + 512 * rank, &map, &full, blocks, 0, 4 * static_cast<int>(rank), 0);
    if (rank > 0) ptx::waitClusterBarrier(&turn, 0);
    if (rank < 3) ptx::arriveAt(&turn, rank + 1);
  }
  ptx::waitClusterBarrier(&full, 0);
  for (unsigned i = threadIdx.x; i < 2048; i += 32) out[2048 * blockIdx.x + i] = memory[i];
  ptx::arriveCluster();
  ptx::waitCluster();
#endif
}

CONFORMANCE("TMA load to two blocks of a cluster of four, arrivals from block to block", 90) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) ==
        cudaSuccess);
  CHECK(found == cudaDriverEntryPointSuccess);
  const Array<unsigned char> in(noise(2048, 300)), out(4 * 2048);
  const cuuint64_t extents[] = {64, 16, 1}, strides[] = {128, 2048};
  const cuuint32_t box[] = {64, 4, 1}, steps[] = {1, 1, 1};
  CUtensorMap map;
  CHECK(reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function)(
            &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, in.data(), extents, strides, box, steps,
            CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE,
            CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  Shape shape{dim3(4), dim3(32)};
  shape.sharedBytes = 2048;
  shape.cluster = 4;
  CHECK(launch(sendQuarters, shape, map, out.data()) == cudaSuccess);
  return out.read();
}

}  // namespace
}  // namespace langevin::conformance
