#include "tensor_map.h"

#include <cstring>
#include <string>
#include <unordered_map>

namespace langevin::cuda {

TensorView& TensorView::axis(int64_t extentOfAxis, int64_t strideOfAxis, int boxOfAxis) {
  extent[dimensions] = extentOfAxis;
  stride[dimensions] = strideOfAxis;
  box[dimensions] = boxOfAxis;
  ++dimensions;
  return *this;
}

// cuTensorMapEncodeTiled is a function of the driver. It is asked for at run time: linking libcuda would keep the addon
// from loading where there is no driver.
using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                            const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static Encode findEncode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t status =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
  if (status != cudaSuccess || found != cudaDriverEntryPointSuccess) {
    cudaGetLastError();  // a driver that is too old is no error here: other kernels serve
    return nullptr;
  }
  return reinterpret_cast<Encode>(function);
}

static Encode encodeFunction() {
  static const Encode encode = findEncode();
  return encode;
}

bool canMapTensors() { return encodeFunction() != nullptr; }

static CUtensorMap encode(const TensorView& view) {
  CUtensorMap map;
  cuuint64_t extents[TensorView::kMostDimensions], strideBytes[TensorView::kMostDimensions];
  cuuint32_t box[TensorView::kMostDimensions], steps[TensorView::kMostDimensions];
  for (int i = 0; i < view.dimensions; ++i) {
    extents[i] = static_cast<cuuint64_t>(view.extent[i]);
    if (i > 0) strideBytes[i - 1] = static_cast<cuuint64_t>(view.stride[i]) * sizeof(bf16);
    box[i] = static_cast<cuuint32_t>(view.box[i]);
    steps[i] = 1;
  }
  const CUresult status =
      encodeFunction()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, static_cast<cuuint32_t>(view.dimensions),
                       const_cast<void*>(view.base), extents, strideBytes, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                       view.swizzleBytes == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
                       CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) fault("the driver refused a tensor map (CUresult %d)", static_cast<int>(status));
  return map;
}

CUtensorMap tensorMap(const TensorView& view) {
  constexpr size_t kMost = 4096;
  thread_local std::unordered_map<std::string, CUtensorMap> maps;
  // Views are built from zeros, so equal views have equal bytes but for padding, of which there is none inside.
  static_assert(sizeof(TensorView) == 8 + 8 + 16 * TensorView::kMostDimensions + 4 * TensorView::kMostDimensions + 4,
                "no padding: views are compared as bytes");
  const std::string key(reinterpret_cast<const char*>(&view), sizeof view);
  const auto known = maps.find(key);
  if (known != maps.end()) return known->second;
  if (maps.size() >= kMost) maps.clear();
  return maps[key] = encode(view);
}

}  // namespace langevin::cuda
