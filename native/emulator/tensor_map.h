// Tensor maps as the emulated TMA unit reads them.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda.h"

namespace emulator {

constexpr int kMostDimensions = 5;

/// What CUtensorMap's 128 bytes hold here.
struct TensorMap {
  uint32_t magic;
  uint8_t type, rank, elementBytes, swizzle;  // CUtensorMapDataType; CUtensorMapSwizzle
  unsigned char* base;
  uint32_t extent[kMostDimensions];      // less 1: 2^32 is allowed
  uint64_t stride[kMostDimensions - 1];  // bytes, of dimensions 1 and up
  uint16_t box[kMostDimensions];
  uint8_t step[kMostDimensions];
};
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap), "an encoded map fits");
constexpr uint32_t kTensorMapMagic = 0x7e4507ab;

/// A copy of a map; a fault of the kernel where the bytes are none.
TensorMap readTensorMap(const CUtensorMap* map);

/// A box's elements along dimension i.
inline int64_t boxCount(const TensorMap& map, int i) { return (map.box[i] + map.step[i] - 1) / map.step[i]; }
size_t boxBytes(const TensorMap& map);
/// Whether every element of the box at `at` that lies in the tensor lies in device memory.
bool isBoxInMemory(const TensorMap& map, const int* at);

/// The swizzled place of a byte: chunks of 16 bytes change places by the bits of the address above.
inline uint32_t swizzled(uint32_t address, int swizzle) {
  const uint32_t mask = swizzle == CU_TENSOR_MAP_SWIZZLE_128B  ? 7
                        : swizzle == CU_TENSOR_MAP_SWIZZLE_64B ? 3
                        : swizzle == CU_TENSOR_MAP_SWIZZLE_32B ? 1
                                                               : 0;
  return address ^ (((address >> 7) & mask) << 4);
}

/// Global → `bytes` (dense, as the box lies in shared memory before the swizzle); zeros outside the tensor.
void readBox(const TensorMap& map, const int* at, unsigned char* bytes);
/// `bytes` → global; nothing outside the tensor.
void writeBox(const TensorMap& map, const int* at, const unsigned char* bytes);

}  // namespace emulator
