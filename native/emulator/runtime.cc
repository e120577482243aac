// The CUDA runtime's functions: errors and the device. runtime_memory.cc and runtime_streams.cc have the others.
#include "runtime.h"

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
