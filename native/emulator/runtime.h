// What the files of the runtime share.
#pragma once
#include <functional>

#include "cuda_runtime.h"

namespace emulator {

/// Keeps an error for cudaGetLastError, and gives it.
cudaError_t remember(cudaError_t status);
/// Why no call can be served now: no device, a failed kernel, a call from a host function.
cudaError_t readiness();
int architecture();
size_t mostSharedBytes();
/// Adds work to a stream, or to the graph that it captures.
cudaError_t enqueueOn(cudaStream_t stream, std::function<void()> run, bool isHostFunction = false);
bool isCapturing(cudaStream_t stream);

}  // namespace emulator

/// What every function that needs a device begins with.
#define EMULATOR_READY()                                               \
  if (const cudaError_t status = readiness(); status != cudaSuccess) { \
    return remember(status);                                           \
  }
