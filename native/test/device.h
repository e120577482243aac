// What tests of kernels need on any device, the emulated one and a real one: launches, and arrays in its memory.
#pragma once
#include <vector>

#include "../cuda/platform.h"
#include "check.h"

namespace langevin::test {

struct Shape {
  dim3 grid = dim3(1);
  dim3 block = dim3(1);
  size_t sharedBytes = 0;
  unsigned cluster = 1;
  bool overlapPrevious = false;
  cudaStream_t stream = nullptr;
};

/// Launches and gives the launch's own error.
template <class... Ps, class... As>
cudaError_t tryLaunch(void (*kernel)(Ps...), const Shape& shape, As... arguments) {
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim.x = shape.cluster;
  attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = shape.overlapPrevious;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.sharedBytes;
  config.stream = shape.stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Ps>(arguments)...);
}

/// Launches and waits; gives the error of either.
template <class... Ps, class... As>
cudaError_t launch(void (*kernel)(Ps...), const Shape& shape, As... arguments) {
  if (shape.sharedBytes > 48 * 1024) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.sharedBytes));
  }
  const cudaError_t status = tryLaunch(kernel, shape, arguments...);
  return status != cudaSuccess ? status : cudaStreamSynchronize(shape.stream);
}

/// An array on the device.
template <class T>
class Array {
 public:
  explicit Array(size_t count) : count_(count) { CHECK(cudaMalloc(&data_, count * sizeof(T)) == cudaSuccess); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    CHECK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    CHECK(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  size_t count_;
  T* data_ = nullptr;
};

}  // namespace langevin::test
