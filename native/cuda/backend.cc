// The CUDA backend: one GPU, its stream, and an executor whose thread launches the kernels.
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "../core/executor.h"
#include "../core/graph_memory.h"
#include "graphs.h"
#include "kernel_faults.h"
#include "kernels.h"
#include "transfers.h"

#if !defined(LANGEVIN_CUDA_ARCHITECTURES)
#  define LANGEVIN_CUDA_ARCHITECTURES "the emulator"
#endif

namespace langevin {

namespace {

constexpr int kOldestArchitecture = 80;

struct LevelName {
  Level level;
  const char* name;
};
// Best last.
constexpr LevelName kLevels[] = {{Level::simt, "simt"}, {Level::sm80, "sm80"}, {Level::sm90, "sm90"}};

/// wgmma and the TMA instructions that the kernels use are those of compute capability 9.0 alone.
Level bestLevel(int architecture) { return architecture == 90 ? Level::sm90 : Level::sm80; }

std::string cudaVersion(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, 0), "the GPU's properties");
  return value;
}

/// The GPU's properties. Throws DeviceUnavailable with the reason where there is none that can be used.
GpuProperties findGpu() {
  int driver = 0, runtime = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) {
    throw DeviceUnavailable("no NVIDIA driver is loaded", "install the driver, or use --device cpu");
  }
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    throw DeviceUnavailable("the NVIDIA driver is too old: it supports CUDA " + cudaVersion(driver) +
                                ", this addon needs CUDA " + cudaVersion(runtime),
                            "update the driver, or build with an older CUDA toolkit: npm run build:cuda");
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    throw DeviceUnavailable(
        visible ? "no GPU is visible with CUDA_VISIBLE_DEVICES=" + std::string(visible) : "the driver finds no GPU",
        visible ? "unset CUDA_VISIBLE_DEVICES, or use --device cpu" : "use --device cpu");
  }
  if (status != cudaSuccess) {
    throw DeviceUnavailable(std::string("the GPU cannot be opened: ") + cudaGetErrorString(status),
                            "see whether nvidia-smi lists it");
  }
  GpuProperties gpu;
  gpu.architecture = 10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
  gpu.multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
  gpu.sharedPerBlock = static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  gpu.l2Bytes = static_cast<size_t>(attribute(cudaDevAttrL2CacheSize));
  if (gpu.architecture < kOldestArchitecture) {
    throw DeviceUnavailable("the GPU has compute capability " + std::to_string(gpu.architecture / 10) + "." +
                                std::to_string(gpu.architecture % 10) + ", the kernels need 8.0 (Ampere) or later",
                            "use --device cpu");
  }
  return gpu;
}

void* allocateBlock(size_t bytes) {
  void* block = nullptr;
  const cudaError_t status = cudaMalloc(&block, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "memory");
  return block;
}

void releaseBlock(void* block, size_t) { cudaFree(block); }

}  // namespace

class CudaDevice final : public Device {
 public:
  CudaDevice()
      : stream_(findGpu()),
        pool_(allocateBlock, releaseBlock),
        transfers_(faults_, [this](const std::string& message) { executor_.lose(message); }),
        executor_(stream_) {
    stream_.faults_ = &faults_;
    stream_.running_ = &executor_.running();
    cuda::fillOpTable(ops_);
    setVariant(kLevels[static_cast<int>(bestLevel(stream_.gpu_.architecture))].name);
  }

  void* reserve() override { return executor_.reserve(); }
  void submit(const Call& call) override { executor_.submit(call); }

  void waitUntilIdle() override {
    enqueue("synchronize", [this](Stream& stream) { finish(stream); });
    executor_.waitUntilIdle();
  }

  std::string takeFault() override {
    std::string fault = executor_.takeFault();
    std::lock_guard<std::mutex> lock(kernelFaultMutex_);
    if (fault.empty()) fault.swap(kernelFault_);
    kernelFault_.clear();
    return fault;
  }

  bool lost() override { return executor_.lost(); }

  void copyToHost(Stream& stream, void* host, const void* device, size_t bytes, Copied copied, void* context) override {
    if (stream.capturing()) fault("a read while calls are captured");
    transfers_.read(stream.handle(), host, device, bytes, takeFault(), copied, context);
  }
  void copyFromHost(Stream& stream, void* device, const void* host, size_t bytes) override {
    if (stream.capturing()) fault("a write while calls are captured");
    transfers_.write(stream.handle(), device, host, bytes);
  }

  void* allocate(size_t bytes) override {
    if (executor_.lost()) throw DeviceLost(executor_.takeFault());
    void* block = graphMemory_.take(bytes);
    if (!block && pool_.cachedBytes() > 0 && !graphMemory_.capturing()) {
      executor_.waitUntilIdle();
      pool_.trim();  // waits for the GPU
      block = graphMemory_.take(bytes);
    }
    return block;
  }
  void release(void* block, size_t bytes) override { graphMemory_.give(block, bytes); }
  Memory memory() override {
    return {pool_.liveBytes(), pool_.peakBytes(), pool_.cachedBytes(), stream_.workspaceBytes_.load()};
  }
  void resetPeak() override { pool_.resetPeak(); }
  void setMemoryLimit(size_t bytes) override { pool_.setLimit(bytes); }

  bool captures() override { return true; }
  void beginCapture() override {
    graphMemory_.beginCapture();
    enqueue("capture", [this](Stream& stream) { graphs_.begin(stream); });
  }
  int64_t endCapture() override {
    const int64_t graph = graphMemory_.endCapture();
    enqueue("capture", [this, graph](Stream& stream) { graphs_.end(stream, graph); });
    executor_.waitUntilIdle();
    return graph;
  }
  void replay(int64_t graph, int64_t stepOffset) override {
    enqueue("replay", [this, graph, stepOffset](Stream& stream) {
      graphs_.replay(stream, graph, stepOffset);
      faults_.expect();
    });
  }
  void disposeGraph(int64_t graph) override {
    enqueue("replay", [this, graph](Stream& stream) { graphs_.dispose(stream, graph); });
    executor_.waitUntilIdle();
    graphMemory_.dispose(graph);
  }

  bool setPrecision(const std::string& name) override {
    if (name != "fp32" && name != "tf32" && name != "strict") return false;
    set(&Stream::precision_, name == "tf32" ? Precision::tf32 : Precision::fp32);
    return true;
  }

  std::vector<std::pair<std::string, std::string>> properties() override;

  const OpTable& ops() override { return ops_; }
  std::string variant() override { return variant_; }
  std::string variants() override {
    std::string names;
    for (const LevelName& level : kLevels) {
      if (level.level <= bestLevel(stream_.gpu_.architecture)) {
        names += (names.empty() ? "" : ",") + std::string(level.name);
      }
    }
    return names;
  }
  bool setVariant(const std::string& name) override {
    for (const LevelName& level : kLevels) {
      if (name != level.name || level.level > bestLevel(stream_.gpu_.architecture)) continue;
      variant_ = name;
      set(&Stream::level_, level.level);
      return true;
    }
    return false;
  }
  int threads() override { return 1; }
  void setThreads(int) override {}

 private:
  /// Enqueues a function of the stream.
  template <class F>
  void enqueue(const char* name, const F& f) {
    new (executor_.reserve()) F(f);
    executor_.submit({name, [](Stream& stream, void* arguments) { (*static_cast<F*>(arguments))(stream); },
                      [](void* arguments) { static_cast<F*>(arguments)->~F(); }});
  }

  /// Sets a property of the stream for the calls that follow.
  template <class T>
  void set(T Stream::*property, T value) {
    enqueue("setting", [property, value](Stream& stream) { stream.*property = value; });
  }

  /// Waits for the GPU, and keeps what its kernels report for takeFault().
  void finish(Stream& stream) {
    if (stream.capturing()) return;  // nothing runs
    std::vector<unsigned char> reported(KernelFaults::kBytes);
    const bool any = faults_.collect(stream.handle(), reported.data());
    check(cudaStreamSynchronize(stream.handle()), "a kernel before it");
    if (!any) return;
    std::lock_guard<std::mutex> lock(kernelFaultMutex_);
    if (kernelFault_.empty()) kernelFault_ = faults_.describe(reported.data());
  }

  OpTable ops_{};
  std::string variant_;
  Stream stream_;  // opens the GPU
  Pool pool_;
  GraphMemory graphMemory_{pool_};
  Graphs graphs_;
  KernelFaults faults_;
  std::mutex kernelFaultMutex_;
  std::string kernelFault_;
  Transfers transfers_;
  Executor executor_;  // ends first: its calls use all of these
};

std::vector<std::pair<std::string, std::string>> CudaDevice::properties() {
  cudaDeviceProp gpu;
  int driver = 0, runtime = 0;
  check(cudaGetDeviceProperties(&gpu, 0), "the GPU's properties");
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return {
      {"name", gpu.name},
      {"computeCapability", std::to_string(gpu.major) + "." + std::to_string(gpu.minor)},
      {"multiprocessors", std::to_string(gpu.multiProcessorCount)},
      {"memoryBytes", std::to_string(gpu.totalGlobalMem)},
      {"driver", "CUDA " + cudaVersion(driver)},
      {"runtime", "CUDA " + cudaVersion(runtime)},
      {"compiledFor", LANGEVIN_CUDA_ARCHITECTURES},
  };
}

std::unique_ptr<Device> openDevice() { return std::unique_ptr<Device>(new CudaDevice()); }
const char* backendName() { return "cuda"; }

}  // namespace langevin
