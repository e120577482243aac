// TMA: what a box looks like in shared memory, byte by byte, and what a store writes.
#include <initializer_list>

#include "conformance.h"

namespace langevin::conformance {
namespace {

using test::Array;
using test::launch;
using test::Shape;

struct View {
  CUtensorMapDataType type;
  std::initializer_list<cuuint64_t> extents;
  std::initializer_list<cuuint64_t> strides;  // bytes, of all but the first
  std::initializer_list<cuuint32_t> box;
  std::initializer_list<cuuint32_t> steps;
  CUtensorMapSwizzle swizzle;
};

CUtensorMap mapOf(const View& view, void* base) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) ==
        cudaSuccess);
  CHECK(found == cudaDriverEntryPointSuccess);
  CUtensorMap map;
  CHECK(reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function)(
            &map, view.type, static_cast<cuuint32_t>(view.extents.size()), base, view.extents.begin(),
            view.strides.begin(), view.box.begin(), view.steps.begin(), CU_TENSOR_MAP_INTERLEAVE_NONE, view.swizzle,
            CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  return map;
}

constexpr int kShared = 8192;

struct Place {
  int start;  // of the box in shared memory, bytes
  int bytes;
  int at[5];
};

template <int rank>
__global__ void load(const __grid_constant__ CUtensorMap map, Place place, unsigned char* out) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_DYNAMIC_SHARED(memory);
  LANGEVIN_SHARED(uint64_t, full);
  for (int i = static_cast<int>(threadIdx.x); i < kShared; i += 32) memory[i] = 0xA5;
  ptx::fenceAsyncShared();
  if (threadIdx.x == 0) {
    ptx::initBarrier(&full, 1);
    ptx::fenceBarrierInit();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    const int* const at = place.at;
    ptx::arriveExpecting(&full, static_cast<uint32_t>(place.bytes));
    if constexpr (rank == 2) ptx::loadBox(memory + place.start, &map, &full, at[0], at[1]);
    if constexpr (rank == 3) ptx::loadBox(memory + place.start, &map, &full, at[0], at[1], at[2]);
    if constexpr (rank == 4) ptx::loadBox(memory + place.start, &map, &full, at[0], at[1], at[2], at[3]);
    if constexpr (rank == 5) ptx::loadBox(memory + place.start, &map, &full, at[0], at[1], at[2], at[3], at[4]);
  }
  ptx::waitBarrier(&full, 0);
  for (int i = static_cast<int>(threadIdx.x); i < kShared; i += 32) out[i] = memory[i];
#endif
}

template <int rank>
Bytes loaded(const View& view, const Place& place, const Bytes& tensor) {
  const Array<unsigned char> in(tensor), out(kShared);
  Shape shape{dim3(1), dim3(32)};
  shape.sharedBytes = kShared;
  CHECK(launch(load<rank>, shape, mapOf(view, in.data()), place, out.data()) == cudaSuccess);
  return out.read();
}

constexpr auto kBf16 = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;

CONFORMANCE("TMA load, no swizzle", 90) {
  return loaded<2>({kBf16, {64, 40}, {128}, {64, 16}, {1, 1}, CU_TENSOR_MAP_SWIZZLE_NONE}, {0, 2048, {0, 3}},
                   noise(5120, 100));
}
CONFORMANCE("TMA load, swizzle of 32 bytes", 90) {
  return loaded<2>({kBf16, {16, 60}, {32}, {16, 48}, {1, 1}, CU_TENSOR_MAP_SWIZZLE_32B}, {0, 1536, {0, 5}},
                   noise(1920, 101));
}
CONFORMANCE("TMA load, swizzle of 64 bytes", 90) {
  return loaded<2>({kBf16, {32, 60}, {64}, {32, 40}, {1, 1}, CU_TENSOR_MAP_SWIZZLE_64B}, {0, 2560, {0, 5}},
                   noise(3840, 102));
}
CONFORMANCE("TMA load, swizzle of 128 bytes", 90) {
  return loaded<2>({kBf16, {64, 40}, {128}, {64, 24}, {1, 1}, CU_TENSOR_MAP_SWIZZLE_128B}, {0, 3072, {0, 3}},
                   noise(5120, 103));
}
CONFORMANCE("TMA load, swizzle of 128 bytes, 384 bytes after a multiple of 1024", 90) {
  return loaded<2>({kBf16, {64, 40}, {128}, {64, 24}, {1, 1}, CU_TENSOR_MAP_SWIZZLE_128B}, {1408, 3072, {0, 3}},
                   noise(5120, 104));
}
CONFORMANCE("TMA load, swizzle of 64 bytes, 128 bytes after a multiple of 512", 90) {
  return loaded<2>({kBf16, {32, 60}, {64}, {32, 40}, {1, 1}, CU_TENSOR_MAP_SWIZZLE_64B}, {640, 2560, {0, 5}},
                   noise(3840, 105));
}

const View kImages{kBf16, {40, 10, 6, 3}, {80, 800, 4800}, {32, 4, 3, 2}, {1, 1, 1, 1}, CU_TENSOR_MAP_SWIZZLE_64B};
CONFORMANCE("TMA load across the low edges of four dimensions", 90) {
  return loaded<4>(kImages, {0, 1536, {-5, -1, -2, -1}}, noise(14400, 110));
}
CONFORMANCE("TMA load across the high edges of four dimensions", 90) {
  return loaded<4>(kImages, {0, 1536, {20, 8, 5, 2}}, noise(14400, 111));
}
CONFORMANCE("TMA load of a box wholly outside", 90) {
  return loaded<4>(kImages, {0, 1536, {0, 10, 0, 0}}, noise(14400, 112));
}
CONFORMANCE("TMA load with element strides of two", 90) {
  return loaded<4>({kBf16, {40, 10, 6, 3}, {80, 800, 4800}, {32, 8, 5, 2}, {1, 2, 2, 1}, CU_TENSOR_MAP_SWIZZLE_64B},
                   {0, 32 * 4 * 3 * 2 * 2, {0, -1, 1, 0}}, noise(14400, 113));
}
CONFORMANCE("TMA load by the parity of rows and columns, five dimensions", 90) {
  // [2][8][8][16] as {2C, W/2, 2, H/2, N}
  return loaded<5>(
      {kBf16, {32, 4, 2, 4, 2}, {64, 256, 512, 2048}, {16, 4, 1, 4, 1}, {1, 1, 1, 1, 1}, CU_TENSOR_MAP_SWIZZLE_32B},
      {0, 512, {16, -1, 1, 0, 1}}, noise(4096, 114));
}
CONFORMANCE("TMA load of float32 as TF32", 90) {
  const std::vector<uint32_t> words = numbers<uint32_t>(512, 115, false);
  return loaded<2>({CU_TENSOR_MAP_DATA_TYPE_TFLOAT32, {32, 16}, {128}, {32, 8}, {1, 1}, CU_TENSOR_MAP_SWIZZLE_NONE},
                   {0, 1024, {0, 2}}, bytesOf(words));
}

template <int rank>
__global__ void store(const __grid_constant__ CUtensorMap map, Place place, const unsigned char* in) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_DYNAMIC_SHARED(memory);
  for (int i = static_cast<int>(threadIdx.x); i < kShared; i += 32) memory[i] = in[i];
  ptx::fenceAsyncShared();
  __syncthreads();
  if (threadIdx.x == 0) {
    const int* const at = place.at;
    if constexpr (rank == 4) ptx::storeBox(&map, memory + place.start, at[0], at[1], at[2], at[3]);
    if constexpr (rank == 5) ptx::storeBox(&map, memory + place.start, at[0], at[1], at[2], at[3], at[4]);
    ptx::commitStores();
    ptx::waitStores<0>();
  }
#endif
}

template <int rank>
Bytes stored(const View& view, const Place& place, size_t tensorBytes, uint64_t seed) {
  const Array<unsigned char> in(noise(kShared, seed)), out(Bytes(tensorBytes, 0x5A));
  Shape shape{dim3(1), dim3(32)};
  shape.sharedBytes = kShared;
  CHECK(launch(store<rank>, shape, mapOf(view, out.data()), place, in.data()) == cudaSuccess);
  return out.read();
}

CONFORMANCE("TMA store across edges, swizzle of 64 bytes", 90) {
  return stored<4>(kImages, {1024, 1536, {20, -1, 4, 1}}, 14400, 120);
}
CONFORMANCE("TMA store by the parity of rows and columns, swizzle of 32 bytes", 90) {
  return stored<5>(
      {kBf16, {32, 4, 2, 4, 2}, {64, 256, 512, 2048}, {16, 4, 1, 4, 1}, {1, 1, 1, 1, 1}, CU_TENSOR_MAP_SWIZZLE_32B},
      {0, 512, {16, 0, 1, 0, 1}}, 4096, 121);
}

}  // namespace
}  // namespace langevin::conformance
