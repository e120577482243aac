// The CUDA runtime's functions: allocations, copies and fills.
#include <cstring>

#include "machine.h"
#include "memory.h"
#include "runtime.h"

using namespace emulator;

namespace {

cudaError_t allocateFor(void** pointer, size_t bytes, MemoryKind kind) {
  EMULATOR_READY();
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = allocate(bytes, kind);
  return remember(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}

/// Frees after all work, as the runtime's blocking functions do.
cudaError_t freeAfterAll(void* pointer, MemoryKind kind) {
  EMULATOR_READY();
  if (!pointer) return cudaSuccess;
  if (!isAllocation(pointer, kind)) return remember(cudaErrorInvalidValue);
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  machine.synchronizeAll(lock);
  const std::string report = release(pointer);
  if (!report.empty()) machine.setSticky(cudaErrorIllegalAddress, report);
  return remember(machine.sticky());
}

/// Whether [p, p + bytes) may be that side of a copy.
bool isSide(const void* p, size_t bytes, bool device) {
  // Host memory that is not pinned is not known here; what lies in a device allocation is not host memory.
  return device ? isDeviceMemory(p, bytes) : p != nullptr && !isDeviceMemory(p, 1);
}

cudaError_t checkCopy(const void* to, const void* from, size_t bytes, cudaMemcpyKind& kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (kind == cudaMemcpyDefault) {
    const int fromDevice = isDeviceMemory(from, 1), toDevice = isDeviceMemory(to, 1);
    kind = static_cast<cudaMemcpyKind>(2 * fromDevice + toDevice);
  }
  const bool toDevice = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool fromDevice = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return isSide(to, bytes, toDevice) && isSide(from, bytes, fromDevice) ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, size_t bytes) { return allocateFor(pointer, bytes, MemoryKind::device); }
cudaError_t cudaFree(void* pointer) { return freeAfterAll(pointer, MemoryKind::device); }
cudaError_t cudaMallocHost(void** pointer, size_t bytes) { return allocateFor(pointer, bytes, MemoryKind::pinned); }
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return allocateFor(pointer, bytes, MemoryKind::pinned);
}
cudaError_t cudaFreeHost(void* pointer) { return freeAfterAll(pointer, MemoryKind::pinned); }

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) {
  return allocateFor(pointer, bytes, MemoryKind::device);
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) {
  EMULATOR_READY();
  if (!pointer) return cudaSuccess;
  if (!isAllocation(pointer, MemoryKind::device)) return remember(cudaErrorInvalidValue);
  return remember(enqueueOn(handle, [pointer] {
    const std::string report = release(pointer);
    if (!report.empty()) throw LaunchError{cudaErrorIllegalAddress, report};
  }));
}

cudaError_t cudaMemGetInfo(size_t* freeBytes, size_t* totalBytes) {
  EMULATOR_READY();
  *freeBytes = freeMemory();
  *totalBytes = totalMemory();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  EMULATOR_READY();
  if (bytes == 0) return cudaSuccess;
  if (const cudaError_t status = checkCopy(to, from, bytes, kind); status != cudaSuccess) return remember(status);
  const bool capturing = isCapturing(handle);
  if (!capturing && kind == cudaMemcpyHostToDevice && !isPinned(from)) {
    // Pageable memory is staged before the call returns.
    const auto* const first = static_cast<const unsigned char*>(from);
    auto staged = std::make_shared<std::vector<unsigned char>>(first, first + bytes);
    return remember(enqueueOn(handle, [to, staged, bytes] { std::memcpy(to, staged->data(), bytes); }));
  }
  const cudaError_t status = enqueueOn(handle, [to, from, bytes] { std::memmove(to, from, bytes); });
  if (status != cudaSuccess || capturing) return remember(status);
  const bool intoPageable = (kind == cudaMemcpyDeviceToHost && !isPinned(to)) || kind == cudaMemcpyHostToHost;
  return intoPageable ? cudaStreamSynchronize(handle) : cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t status = cudaMemcpyAsync(to, from, bytes, kind, nullptr); status != cudaSuccess) return status;
  return cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t handle) {
  EMULATOR_READY();
  if (bytes == 0) return cudaSuccess;
  if (!isDeviceMemory(to, bytes)) return remember(cudaErrorInvalidValue);
  return remember(enqueueOn(handle, [to, value, bytes] { std::memset(to, value, bytes); }));
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) { return cudaMemsetAsync(to, value, bytes, nullptr); }
