// The CUDA runtime's functions: streams and events.
#include "machine.h"
#include "runtime.h"

using namespace emulator;

namespace {

/// Finds a stream; with `whole`, one that does not capture, and the call waits for it.
template <class F>
cudaError_t withStream(cudaStream_t handle, const F& f) {
  EMULATOR_READY();
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  CUstream_st* const stream = machine.find(handle);
  if (!stream) return remember(cudaErrorInvalidResourceHandle);
  return remember(f(machine, lock, *stream));
}

/// Calls that would wait break a capture.
cudaError_t breakCapture(CUstream_st& stream) {
  stream.captureBroken = true;
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace

namespace emulator {

cudaError_t enqueueOn(cudaStream_t handle, std::function<void()> run, bool isHostFunction) {
  Work work;
  work.run = std::move(run);
  work.isHostFunction = isHostFunction;
  return enqueueWork(handle, std::move(work));
}

cudaError_t enqueueWork(cudaStream_t handle, Work work) {
  return withStream(handle, [&](Machine& machine, Machine::Lock& lock, CUstream_st& stream) {
    machine.enqueue(lock, stream, std::move(work));
    return cudaSuccess;
  });
}

bool isCapturing(cudaStream_t handle) {
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  CUstream_st* const stream = machine.find(handle);
  return stream && stream->capture;
}

}  // namespace emulator

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  EMULATOR_READY();
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  *handle = machine.createStream((flags & cudaStreamNonBlocking) != 0);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* handle) { return cudaStreamCreateWithFlags(handle, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int) {
  return cudaStreamCreateWithFlags(handle, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  if (!handle) return remember(cudaErrorInvalidResourceHandle);
  return withStream(handle, [](Machine& machine, Machine::Lock& lock, CUstream_st& stream) {
    machine.destroyStream(lock, &stream);
    return machine.sticky();
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return withStream(handle, [](Machine& machine, Machine::Lock& lock, CUstream_st& stream) {
    if (stream.capture) return breakCapture(stream);
    machine.synchronize(lock, stream);
    return machine.sticky();
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return withStream(handle, [](Machine& machine, Machine::Lock& lock, CUstream_st& stream) {
    if (stream.capture) return breakCapture(stream);
    const bool done = stream.finished == stream.enqueued;
    if (!done) machine.letTimePass(lock, stream);
    return machine.sticky() != cudaSuccess ? machine.sticky() : done ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  if (!function) return remember(cudaErrorInvalidValue);
  return enqueueOn(
      handle, [function, data] { function(data); }, true);
}

// ---- events ----

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  EMULATOR_READY();
  *event = new CUevent_st;
  (*event)->timing = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!event) return remember(cudaErrorInvalidResourceHandle);
  delete event;
  return remember(readiness());
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  if (!event) return remember(cudaErrorInvalidResourceHandle);
  return withStream(handle, [event](Machine& machine, Machine::Lock& lock, CUstream_st& stream) {
    auto record = std::make_shared<EventRecord>();
    record->stream = &stream;
    event->latest = record;
    event->captured = stream.capture != nullptr;
    Work work;
    work.mark = std::move(record);
    machine.enqueue(lock, stream, std::move(work));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  if (!event) return remember(cudaErrorInvalidResourceHandle);
  return withStream(handle, [event](Machine& machine, Machine::Lock& lock, CUstream_st& stream) {
    if (!event->latest) return cudaSuccess;
    const bool sameCapture = event->captured && stream.capture && event->latest->stream == &stream;
    if (sameCapture) return cudaSuccess;  // in order already
    if (event->captured || stream.capture) return cudaErrorStreamCaptureIsolation;
    Work work;
    work.waitFor = event->latest;
    machine.enqueue(lock, stream, std::move(work));
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (!event) return remember(cudaErrorInvalidResourceHandle);
  EMULATOR_READY();
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  const std::shared_ptr<EventRecord> record = event->latest;
  if (!record || record->done) return cudaSuccess;
  if (event->captured) return remember(cudaErrorCapturedEvent);
  machine.letTimePass(lock, *record->stream);
  return remember(machine.sticky() != cudaSuccess ? machine.sticky() : cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event) return remember(cudaErrorInvalidResourceHandle);
  EMULATOR_READY();
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  const std::shared_ptr<EventRecord> record = event->latest;
  if (event->captured) return remember(cudaErrorCapturedEvent);
  if (record) machine.waitFor(lock, *record);
  return remember(machine.sticky());
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start || !end || !start->latest || !end->latest || !start->timing || !end->timing) {
    return remember(cudaErrorInvalidResourceHandle);
  }
  EMULATOR_READY();
  Machine& machine = Machine::get();
  const auto lock = machine.lock();
  if (!start->latest->done || !end->latest->done) return remember(cudaErrorNotReady);
  const std::chrono::duration<float, std::milli> passed = end->latest->time - start->latest->time;
  *milliseconds = passed.count();
  return cudaSuccess;
}
