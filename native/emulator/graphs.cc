// Capture of a stream's work into a graph, and its replay. One stream is captured at a time: work that forks to
// another stream within a capture is refused.
#include "machine.h"
#include "runtime.h"

using namespace emulator;

namespace {

template <class F>
cudaError_t onStream(cudaStream_t handle, const F& f) {
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  CUstream_st* const stream = machine.find(handle);
  return remember(stream ? f(*stream) : cudaErrorInvalidResourceHandle);
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  if (!handle) return remember(cudaErrorStreamCaptureUnsupported);
  return onStream(handle, [mode](CUstream_st& stream) {
    if (stream.capture) return cudaErrorInvalidValue;
    stream.capture = std::make_unique<CUgraph_st>();
    stream.captureMode = mode;
    stream.captureBroken = false;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return onStream(handle, [graph](CUstream_st& stream) {
    *graph = nullptr;
    if (!stream.capture) return cudaErrorInvalidValue;
    const bool broken = stream.captureBroken;
    if (!broken) *graph = stream.capture.release();
    stream.capture.reset();
    return broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* captureStatus) {
  return onStream(handle, [captureStatus](CUstream_st& stream) {
    *captureStatus = !stream.capture        ? cudaStreamCaptureStatusNone
                     : stream.captureBroken ? cudaStreamCaptureStatusInvalidated
                                            : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  if (!graph) return remember(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t handle) {
  if (!executable) return remember(cudaErrorInvalidValue);
  return onStream(handle, [](CUstream_st&) { return cudaSuccess; });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  if (!executable) return remember(cudaErrorInvalidValue);
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  CUstream_st* const stream = machine.find(handle);
  if (!stream) return remember(cudaErrorInvalidResourceHandle);
  for (const Work& work : executable->work) machine.enqueue(lock, *stream, work);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (!executable) return remember(cudaErrorInvalidValue);
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (!graph) return remember(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}
