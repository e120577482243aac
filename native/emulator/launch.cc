// Launches: what a configuration may be, and kernels on the stream.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "machine.h"
#include "runtime.h"

using namespace emulator;

namespace {

/// The largest parameters that a kernel may have (CUDA 12.1 and later, from Volta on).
constexpr size_t kMostParameterBytes = 32764;
constexpr unsigned kMostClusterBlocks = 8;

struct KernelSettings {
  size_t dynamicBytes = kDefaultSharedBytes;
  bool anyCluster = false;
};
std::mutex settingsMutex;
std::map<const void*, KernelSettings>& settings() {
  static auto* const all = new std::map<const void*, KernelSettings>;
  return *all;
}
KernelSettings settingsOf(const void* kernel) {
  const std::lock_guard<std::mutex> lock(settingsMutex);
  const auto found = settings().find(kernel);
  return found == settings().end() ? KernelSettings() : found->second;
}

/// The launch of a configuration, or why there is none.
cudaError_t read(const cudaLaunchConfig_t& config, const void* kernel, Launch& launch) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (block.x == 0 || block.y == 0 || block.z == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 ||
      static_cast<size_t>(block.x) * block.y * block.z > 1024) {
    return cudaErrorInvalidConfiguration;
  }
  const KernelSettings kernelSettings = settingsOf(kernel);
  if (config.dynamicSmemBytes > kernelSettings.dynamicBytes) return cudaErrorInvalidValue;
  launch.kernel = kernel;
  launch.grid = grid;
  launch.block = block;
  launch.dynamicBytes = config.dynamicSmemBytes;
  launch.sharedLimit = kernelSettings.dynamicBytes > kDefaultSharedBytes ? mostSharedBytes() : kDefaultSharedBytes;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& cluster = attribute.val.clusterDim;
      if (architecture() < 90) return cudaErrorInvalidValue;
      if (cluster.x == 0 || cluster.y != 1 || cluster.z != 1 || grid.x % cluster.x != 0) {
        return cudaErrorInvalidConfiguration;
      }
      if (cluster.x > (kernelSettings.anyCluster ? 16 : kMostClusterBlocks)) return cudaErrorInvalidConfiguration;
      launch.cluster = cluster.x;
    } else if (attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization) {
      launch.overlapsPrevious = attribute.val.programmaticStreamSerializationAllowed != 0 && architecture() >= 90;
    } else if (attribute.id != cudaLaunchAttributeIgnore) {
      return cudaErrorNotSupported;
    }
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  if (!kernel) return remember(cudaErrorInvalidDeviceFunction);
  const std::lock_guard<std::mutex> lock(settingsMutex);
  KernelSettings& kernelSettings = settings()[kernel];
  if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (value < 0 || static_cast<size_t>(value) > mostSharedBytes()) return remember(cudaErrorInvalidValue);
    kernelSettings.dynamicBytes = std::max(static_cast<size_t>(value), kDefaultSharedBytes);
  } else if (attribute == cudaFuncAttributeNonPortableClusterSizeAllowed) {
    kernelSettings.anyCluster = value != 0;
  }
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  cudaFuncAttributes a{};
  a.maxThreadsPerBlock = 1024;
  a.ptxVersion = a.binaryVersion = architecture();
  a.maxDynamicSharedSizeBytes = static_cast<int>(settingsOf(kernel).dynamicBytes);
  *attributes = a;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads, size_t dynamicBytes) {
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  if (threads <= 0 || threads > 1024) return remember(cudaErrorInvalidValue);
  const int byThreads = 2048 / ((threads + 31) / 32 * 32);
  const auto byShared = static_cast<int>((mostSharedBytes() + 1024) / (dynamicBytes + 1024));
  *blocks = std::min({byThreads, byShared, 32});
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* kernel, const cudaLaunchConfig_t* config) {
  Launch launch;
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  if (const cudaError_t status = read(*config, kernel, launch); status != cudaSuccess) return remember(status);
  *clusters = 8 / static_cast<int>(launch.cluster);
  return cudaSuccess;
}

uint64_t emulator::launchToFail() {
  static const char* const text = std::getenv("LANGEVIN_EMULATOR_FAIL_LAUNCH");
  static const uint64_t number = text && *text ? std::strtoull(text, nullptr, 10) : 0;
  return number;
}

cudaError_t emulator::enqueueKernel(const cudaLaunchConfig_t& config, const void* kernel, size_t parameterBytes,
                                    std::function<void()> body) {
  if (const cudaError_t status = readiness(); status != cudaSuccess) return remember(status);
  if (parameterBytes > kMostParameterBytes) return remember(cudaErrorInvalidValue);
  auto launch = std::make_shared<Launch>();
  if (const cudaError_t status = read(config, kernel, *launch); status != cudaSuccess) return remember(status);
  launch->body = std::move(body);
  Work work;
  work.launch = std::move(launch);
  return enqueueWork(config.stream, std::move(work));
}
