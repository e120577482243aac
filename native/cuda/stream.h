// What an op of the CUDA device gets: the stream that everything is enqueued on, the device's properties, workspace,
// and the device-side places of faults and of the random step.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "platform.h"

namespace langevin {

class KernelFaults;

/// How f32 convolutions and matrix products are computed. fp32: FFMA throughout. tf32: operands rounded to TF32 (10
/// bits of mantissa), f32 accumulation. bf16 tensors are always multiplied as bf16 with f32 accumulation.
enum class Precision { fp32, tf32 };

/// Which kernels may be chosen: each level includes those before it. simt: the plain ones, on every GPU; sm80:
/// cp.async, ldmatrix and mma.sync; sm90: TMA, wgmma and clusters. What a GPU cannot run is never chosen.
enum class Level { simt, sm80, sm90 };

/// A fault that a kernel found in its data. The first one of an op is kept (Stream::faults); the kernel goes on without
/// touching memory that it must not.
struct KernelFault {
  int32_t kind;  // FaultKind; 0: none
  int32_t value;
  int64_t position;
  int64_t limit;
  int64_t order;      // how many other ops of the stream had faulted before
  int32_t* opsSoFar;  // the stream's count of those
};
enum class FaultKind : int32_t { none, index };

struct GpuProperties {
  int architecture = 0;  // 90 on Hopper
  int multiprocessors = 0;
  size_t sharedPerBlock = 0;  // most dynamic shared memory of a block, opted in
  size_t l2Bytes = 0;
};

struct LaunchShape {
  dim3 grid = dim3(1);
  dim3 block = dim3(1);
  size_t sharedBytes = 0;  // dynamic
  unsigned cluster = 1;    // blocks along x that form a cluster (Hopper)
  /// The kernel calls ptx::waitForPrevious() before it touches what the launch before it writes (Hopper; elsewhere
  /// without effect).
  bool overlapPrevious = false;
  /// What the kernel writes, where that is all (but for sign bits) and it calls ptx::allowNext() only after its
  /// ptx::waitForPrevious(): then the next kernel may read anything else before its own wait. Null: unknown.
  const void* writes[2] = {};
};

/// Used on the executor's thread only.
class Stream {
 public:
  explicit Stream(const GpuProperties& gpu);
  ~Stream();  // waits for the GPU
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t handle() const { return stream_; }
  const GpuProperties& gpu() const { return gpu_; }
  Precision precision() const { return precision_; }
  Level level() const { return level_; }

  /// At least `bytes` of device memory, 1024-byte aligned, contents undefined, valid until the op returns (in stream
  /// order: until the kernels that it launched have run). Kept between ops; slots 0 to 3. Faults where memory is out.
  void* workspace(int slot, size_t bytes);

  /// Device memory, the running op's own; kernels report to it with reportFault (elements.h).
  KernelFault* faults() const;
  /// Device memory: what kernels add to Philox::step (0, but in the replay of a captured graph).
  const int64_t* stepOffset() const { return stepOffset_; }

  /// Whether calls are recorded into a graph at the moment, and not run.
  bool capturing() const { return capturing_; }

  /// Enqueues kernel(arguments…). A kernel whose grid is empty is not started. Throws a fault where the launch fails.
  template <class... Ps, class... As>
  void launch(void (*kernel)(Ps...), const LaunchShape& shape, As&&... arguments) {
    if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
    allowShared(reinterpret_cast<const void*>(kernel), shape.sharedBytes);
    cudaLaunchAttribute attributes[2];
    cudaLaunchConfig_t config = configOf(shape, attributes);
    check(cudaLaunchKernelEx(&config, kernel, static_cast<Ps>(arguments)...), "launch");
    lastWrites_[0] = shape.writes[0];
    lastWrites_[1] = shape.writes[1];
  }

  /// Whether the next kernel may read what lies at `p`, the start of a buffer, before its ptx::waitForPrevious().
  bool settled(const void* p) const { return lastWrites_[0] != nullptr && p != lastWrites_[0] && p != lastWrites_[1]; }

 private:
  friend class CudaDevice;
  friend class Graphs;
  /// Raises the kernel's limit of dynamic shared memory, once, where it needs more than 48 KiB.
  void allowShared(const void* kernel, size_t bytes);
  cudaLaunchConfig_t configOf(const LaunchShape& shape, cudaLaunchAttribute* attributes) const;

  cudaStream_t stream_ = nullptr;
  GpuProperties gpu_;
  Precision precision_ = Precision::fp32;
  Level level_ = Level::simt;
  KernelFaults* faults_ = nullptr;
  const char* const* running_ = nullptr;  // the op's name
  int64_t* stepOffset_ = nullptr;
  const void* lastWrites_[2] = {};
  static constexpr int kSlots = 4;
  void* slots_[kSlots] = {};
  size_t slotBytes_[kSlots] = {};
  std::atomic<size_t> workspaceBytes_{0};
  std::unordered_map<const void*, size_t> allowedShared_;
  /// Outgrown workspace that captured graphs may still use; kept while there are such.
  std::vector<void*> outgrown_;
  bool keepOutgrown_ = false;
  bool capturing_ = false;
};

}  // namespace langevin
