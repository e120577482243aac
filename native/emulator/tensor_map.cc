#include "tensor_map.h"

#include <cstring>

#include "block.h"
#include "memory.h"
#include "runtime.h"

using namespace emulator;

namespace {

int elementBytes(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8:
      return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
      return 2;
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32:
      return 4;
    case CU_TENSOR_MAP_DATA_TYPE_UINT64:
    case CU_TENSOR_MAP_DATA_TYPE_INT64:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

// The limits are those of the driver's documentation of the function.
CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                                const cuuint64_t* extents, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* elementStrides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill outside) {
  if (architecture() < 90) return CUDA_ERROR_NOT_SUPPORTED;
  const int bytes = elementBytes(type);
  if (bytes == 0 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || swizzle > CU_TENSOR_MAP_SWIZZLE_128B ||
      outside != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (!map || reinterpret_cast<uintptr_t>(map) % 64 != 0 || rank < 1 || rank > kMostDimensions || !base ||
      reinterpret_cast<uintptr_t>(base) % 16 != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  TensorMap m{};
  m.magic = kTensorMapMagic;
  m.type = static_cast<uint8_t>(type);
  m.rank = static_cast<uint8_t>(rank);
  m.elementBytes = static_cast<uint8_t>(bytes);
  m.swizzle = static_cast<uint8_t>(swizzle);
  m.base = static_cast<unsigned char*>(base);
  for (int i = 0; i < kMostDimensions; ++i) {
    m.box[i] = m.step[i] = 1;
    if (i >= static_cast<int>(rank)) continue;
    if (extents[i] == 0 || extents[i] > uint64_t{1} << 32 || box[i] == 0 || box[i] > 256 || elementStrides[i] == 0 ||
        elementStrides[i] > 8) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    m.extent[i] = static_cast<uint32_t>(extents[i] - 1);
    m.box[i] = static_cast<uint16_t>(box[i]);
    m.step[i] = i == 0 ? 1 : static_cast<uint8_t>(elementStrides[i]);
    if (i == 0) continue;
    if (strides[i - 1] % 16 != 0 || strides[i - 1] >= uint64_t{1} << 40) return CUDA_ERROR_INVALID_VALUE;
    m.stride[i - 1] = strides[i - 1];
  }
  const uint32_t inner = m.box[0] * static_cast<uint32_t>(bytes);
  if (inner % 16 != 0) return CUDA_ERROR_INVALID_VALUE;
  if (swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && inner > 16u << swizzle) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(map->opaque, &m, sizeof m);
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  *function = nullptr;
  if (result) *result = cudaDriverEntryPointSymbolNotFound;
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  if (std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0) {
    *function = reinterpret_cast<void*>(&cuTensorMapEncodeTiled);
    if (result) *result = cudaDriverEntryPointSuccess;
  }
  return cudaSuccess;
}

namespace emulator {

TensorMap readTensorMap(const CUtensorMap* map) {
  if (reinterpret_cast<uintptr_t>(map) % 64 != 0) fail("a tensor map that is not 64-byte aligned");
  TensorMap m;
  std::memcpy(&m, map, sizeof m);
  if (m.magic != kTensorMapMagic) fail("the bytes given as a tensor map are none");
  return m;
}

size_t boxBytes(const TensorMap& map) {
  size_t bytes = map.elementBytes;
  for (int i = 0; i < kMostDimensions; ++i) bytes *= static_cast<size_t>(boxCount(map, i));
  return bytes;
}

namespace {

/// The coordinates of a box's elements along one dimension that lie in the tensor: [first, last) of its count.
struct Range {
  int64_t first, last;
};
Range inside(const TensorMap& map, int i, int at) {
  const int64_t count = boxCount(map, i), extent = int64_t{map.extent[i]} + 1, step = map.step[i];
  const int64_t first = at >= 0 ? 0 : (-int64_t{at} + step - 1) / step;
  const int64_t last = at >= extent ? 0 : (extent - at + step - 1) / step;
  return {first < count ? first : count, last < count ? (last < 0 ? 0 : last) : count};
}

/// f(global address, offset in the box, bytes) for each run of elements inside the tensor.
template <class F>
void forEachRun(const TensorMap& map, const int* at, const F& f) {
  Range in[kMostDimensions];
  int64_t counts[kMostDimensions];
  for (int i = 0; i < kMostDimensions; ++i) {
    counts[i] = boxCount(map, i);
    in[i] = i < map.rank ? inside(map, i, at[i]) : Range{0, 1};
    if (in[i].first >= in[i].last) return;
  }
  const auto coordinate = [&](int i, int64_t n) { return i < map.rank ? at[i] + n * map.step[i] : 0; };
  const auto offset = [&](int i, int64_t n) {
    return i < map.rank ? coordinate(i, n) * static_cast<int64_t>(map.stride[i - 1]) : 0;
  };
  const int64_t bytes = map.elementBytes, width = (in[0].last - in[0].first) * bytes;
  for (int64_t e = in[4].first; e < in[4].last; ++e) {
    for (int64_t d = in[3].first; d < in[3].last; ++d) {
      for (int64_t c = in[2].first; c < in[2].last; ++c) {
        for (int64_t b = in[1].first; b < in[1].last; ++b) {
          const int64_t from =
              coordinate(0, in[0].first) * bytes + offset(1, b) + offset(2, c) + offset(3, d) + offset(4, e);
          const int64_t row = ((e * counts[3] + d) * counts[2] + c) * counts[1] + b;
          f(map.base + from, (row * counts[0] + in[0].first) * bytes, width);
        }
      }
    }
  }
}

/// f32 → TF32, to nearest, ties away from zero.
void roundToTf32(unsigned char* bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t word;
    std::memcpy(&word, bytes + 4 * i, 4);
    if ((word & 0x7f800000u) != 0x7f800000u) word = (word + 0x1000u) & 0xffffe000u;
    std::memcpy(bytes + 4 * i, &word, 4);
  }
}

}  // namespace

bool isBoxInMemory(const TensorMap& map, const int* at) {
  bool ok = true;
  const unsigned char* low = nullptr;
  const unsigned char* high = nullptr;
  forEachRun(map, at, [&](const unsigned char* global, int64_t, int64_t bytes) {
    if (!low || global < low) low = global;
    if (!high || global + bytes > high) high = global + bytes;
  });
  if (low && !isDeviceMemory(low, static_cast<size_t>(high - low))) {
    // A view whose rows lie in several allocations is odd but legal.
    forEachRun(map, at, [&](const unsigned char* global, int64_t, int64_t bytes) {
      ok = ok && isDeviceMemory(global, static_cast<size_t>(bytes));
    });
  }
  return ok;
}

void readBox(const TensorMap& map, const int* at, unsigned char* bytes) {
  const size_t size = boxBytes(map);
  std::memset(bytes, 0, size);
  forEachRun(map, at, [&](const unsigned char* global, int64_t offset, int64_t width) {
    std::memcpy(bytes + offset, global, static_cast<size_t>(width));
  });
  if (map.type == CU_TENSOR_MAP_DATA_TYPE_TFLOAT32) roundToTf32(bytes, size / 4);
}

void writeBox(const TensorMap& map, const int* at, const unsigned char* bytes) {
  forEachRun(map, at, [&](unsigned char* global, int64_t offset, int64_t width) {
    std::memcpy(global, bytes + offset, static_cast<size_t>(width));
  });
}

}  // namespace emulator
