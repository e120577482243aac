#include "stream.h"

#include <stdexcept>
#include <string>

#include "../core/device.h"
#include "kernel_faults.h"

namespace langevin {

namespace {

/// Errors after which the driver refuses every further call of the process.
bool endsTheDevice(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the runtime keeps it and would tell it again
  const std::string message =
      std::string(what) + ": " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")";
  if (endsTheDevice(status)) throw DeviceLost(message);
  throw std::runtime_error(message);
}

Stream::Stream(const GpuProperties& gpu) : gpu_(gpu) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
  check(cudaMalloc(reinterpret_cast<void**>(&stepOffset_), sizeof *stepOffset_), "memory for the random step");
  check(cudaMemset(stepOffset_, 0, sizeof *stepOffset_), "memory for the random step");
  check(cudaDeviceSynchronize(), "a stream");
}

Stream::~Stream() {
  cudaStreamSynchronize(stream_);
  for (void* block : slots_) cudaFree(block);
  for (void* block : outgrown_) cudaFree(block);
  cudaFree(stepOffset_);
  cudaStreamDestroy(stream_);
}

KernelFault* Stream::faults() const { return faults_->placeOf(*running_); }

void* Stream::workspace(int slot, size_t bytes) {
  if (slotBytes_[slot] >= bytes && slots_[slot] != nullptr) return slots_[slot];
  if (keepOutgrown_) {
    outgrown_.push_back(slots_[slot]);
  } else {
    check(cudaFree(slots_[slot]), "workspace");  // waits for the kernels that use it
  }
  workspaceBytes_ -= slotBytes_[slot];
  slots_[slot] = nullptr;
  slotBytes_[slot] = 0;
  const size_t size = (bytes + 1023) / 1024 * 1024 + (bytes == 0 ? 1024 : 0);
  const cudaError_t status = cudaMalloc(&slots_[slot], size);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    slots_[slot] = nullptr;
    fault("out of memory: %zu bytes of workspace", bytes);
  }
  check(status, "workspace");
  slotBytes_[slot] = size;
  workspaceBytes_ += size;
  return slots_[slot];
}

void Stream::allowShared(const void* kernel, size_t bytes) {
  constexpr size_t kAlwaysAllowed = 48 << 10;
  size_t& allowed = allowedShared_[kernel];
  if (bytes <= kAlwaysAllowed || bytes <= allowed) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        "shared memory of a kernel");
  allowed = bytes;
}

cudaLaunchConfig_t Stream::configOf(const LaunchShape& shape, cudaLaunchAttribute* attributes) const {
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.sharedBytes;
  config.stream = stream_;
  config.attrs = attributes;
  if (gpu_.architecture < 90) return config;
  if (shape.cluster > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs].val.clusterDim.x = shape.cluster;
    attributes[config.numAttrs].val.clusterDim.y = 1;
    attributes[config.numAttrs].val.clusterDim.z = 1;
    ++config.numAttrs;
  }
  if (shape.overlapPrevious) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs].val.programmaticStreamSerializationAllowed = 1;
    ++config.numAttrs;
  }
  return config;
}

}  // namespace langevin
