// The CUDA runtime's functions: devices, memory, streams and events.
#include "runtime.h"

#include <cstring>
#include <map>

#include "machine.h"
#include "memory.h"

namespace emulator {

namespace {
thread_local cudaError_t lastError = cudaSuccess;

long fromEnvironment(const char* name, long otherwise) {
  const char* const text = std::getenv(name);
  return text && *text ? std::strtol(text, nullptr, 10) : otherwise;
}
}  // namespace

cudaError_t remember(cudaError_t status) {
  if (status != cudaSuccess) lastError = status;
  return status;
}

int deviceCount() {
  static const long count = fromEnvironment("LANGEVIN_EMULATOR_DEVICES", 1);
  return count > 0 ? 1 : 0;
}

int driverVersion() {
  static const long version = fromEnvironment("LANGEVIN_EMULATOR_DRIVER", CUDART_VERSION);
  return static_cast<int>(version);
}

int architecture() {
  static const long value = fromEnvironment("LANGEVIN_EMULATOR_ARCHITECTURE", 90);
  return static_cast<int>(value);
}

size_t mostSharedBytes() { return architecture() >= 90 ? kMostSharedBytes : 163 * 1024; }

cudaError_t readiness() {
  if (driverVersion() < CUDART_VERSION) return cudaErrorInsufficientDriver;
  if (deviceCount() == 0) return cudaErrorNoDevice;
  if (inHostFunction) return cudaErrorNotPermitted;
  return Machine::get().sticky();
}

}  // namespace emulator

using namespace emulator;

/// What every function that needs a device begins with.
#define EMULATOR_READY()                                               \
  if (const cudaError_t status = readiness(); status != cudaSuccess) { \
    return remember(status);                                           \
  }

// ---- errors ----

namespace {
struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};
#define EMULATOR_ERROR(name, text) \
  { name, #name, text }
constexpr ErrorText kErrors[] = {
    EMULATOR_ERROR(cudaSuccess, "no error"),
    EMULATOR_ERROR(cudaErrorInvalidValue, "invalid argument"),
    EMULATOR_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    EMULATOR_ERROR(cudaErrorInitializationError, "initialization error"),
    EMULATOR_ERROR(cudaErrorCudartUnloading, "driver shutting down"),
    EMULATOR_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    EMULATOR_ERROR(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    EMULATOR_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    EMULATOR_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    EMULATOR_ERROR(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable"),
    EMULATOR_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    EMULATOR_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    EMULATOR_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    EMULATOR_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    EMULATOR_ERROR(cudaErrorNotReady, "device not ready"),
    EMULATOR_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    EMULATOR_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    EMULATOR_ERROR(cudaErrorHardwareStackError, "hardware stack error"),
    EMULATOR_ERROR(cudaErrorIllegalInstruction, "an illegal instruction was encountered"),
    EMULATOR_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    EMULATOR_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    EMULATOR_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    EMULATOR_ERROR(cudaErrorNotSupported, "operation not supported"),
    EMULATOR_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    EMULATOR_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    EMULATOR_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    EMULATOR_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
    EMULATOR_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef EMULATOR_ERROR
}  // namespace

const char* cudaGetErrorString(cudaError_t error) {
  for (const ErrorText& e : kErrors) {
    if (e.error == error) return e.text;
  }
  return "unrecognized error code";
}
const char* cudaGetErrorName(cudaError_t error) {
  for (const ErrorText& e : kErrors) {
    if (e.error == error) return e.name;
  }
  return "unrecognized error code";
}
cudaError_t cudaPeekAtLastError() {
  const cudaError_t sticky = Machine::get().sticky();
  return sticky != cudaSuccess ? sticky : lastError;
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  lastError = cudaSuccess;
  return error;
}

// ---- the device ----

cudaError_t cudaGetDeviceCount(int* count) {
  *count = deviceCount();
  if (driverVersion() < CUDART_VERSION) return remember(cudaErrorInsufficientDriver);
  return remember(*count == 0 ? cudaErrorNoDevice : cudaSuccess);
}
cudaError_t cudaGetDevice(int* device) {
  EMULATOR_READY();
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  EMULATOR_READY();
  return remember(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaSetDeviceFlags(unsigned) {
  EMULATOR_READY();
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  EMULATOR_READY();
  if (device != 0) return remember(cudaErrorInvalidDevice);
  cudaDeviceProp p{};
  std::strcpy(p.name, "langevin emulator");
  p.totalGlobalMem = totalMemory();
  p.sharedMemPerBlock = kDefaultSharedBytes;
  p.sharedMemPerBlockOptin = mostSharedBytes();
  p.sharedMemPerMultiprocessor = mostSharedBytes() + 1024;
  p.reservedSharedMemPerBlock = 1024;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 2147483647;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.major = architecture() / 10;
  p.minor = architecture() % 10;
  p.multiProcessorCount = 8;
  p.maxThreadsPerMultiProcessor = 2048;
  p.l2CacheSize = 50 << 20;
  p.memoryBusWidth = 5120;
  p.concurrentKernels = 1;
  p.asyncEngineCount = 1;
  *properties = p;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t status = cudaGetDeviceProperties(&p, device); status != cudaSuccess) return status;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrClockRate:
      *value = 1000000;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 1000000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    default:
      return remember(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = driverVersion();
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  EMULATOR_READY();
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  machine.synchronizeAll(lock);
  return remember(machine.sticky());
}

cudaError_t cudaDeviceReset() {
  Machine& machine = Machine::get();
  auto lock = machine.lock();
  machine.synchronizeAll(lock);
  machine.reset();
  lastError = cudaSuccess;
  return cudaSuccess;
}

// ---- memory ----

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

// ---- streams ----

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
