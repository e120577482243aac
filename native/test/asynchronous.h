// What the tests of asynchronous copies share. A correct kernel gives the right results in whatever order its copies
// complete; one that waits too little gets wrong ones, now and then, or a report.
#pragma once
#include <algorithm>
#include <numeric>

#include "../cuda/ptx.h"
#include "emulator.h"

namespace langevin::test {

constexpr int kRepeats = 40;  // each launch draws other orders and delays

/// Whether any of some launches gives something else than `expected`.
template <class T, class F>
bool everDiffers(const std::vector<T>& expected, const F& run) {
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    if (run() != expected) return true;
  }
  return false;
}

inline std::vector<int> ascending(int n, int from = 0) {
  std::vector<int> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), from);
  return values;
}

/// A tensor map, by the parameters of cuTensorMapEncodeTiled.
struct MapOf {
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  std::vector<uint64_t> extents;
  std::vector<uint64_t> strides;  // bytes, of all but the first
  std::vector<uint32_t> box;
  std::vector<uint32_t> steps;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;

  CUresult tryEncode(void* base, CUtensorMap* map) const {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
    CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) ==
          cudaSuccess);
    CHECK(found == cudaDriverEntryPointSuccess);
    const std::vector<uint32_t> ones(extents.size(), 1);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function)(
        map, type, static_cast<cuuint32_t>(extents.size()), base, extents.data(), strides.data(), box.data(),
        steps.empty() ? ones.data() : steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
        CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }
  CUtensorMap encode(void* base) const {
    CUtensorMap map;
    CHECK(tryEncode(base, &map) == CUDA_SUCCESS);
    return map;
  }
};

}  // namespace langevin::test
