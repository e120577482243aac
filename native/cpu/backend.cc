// The CPU backend: picks the kernels of the best instruction set that the machine has, and ties them to an executor.
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../core/executor.h"
#include "../core/graph_memory.h"
#include "graphs.h"
#include "kernels.h"
#if defined(__linux__)
#  include <sched.h>
#  include <sys/mman.h>
#endif

namespace langevin {

namespace {

struct Variant {
  const char* name;
  bool supported;
  void (*fill)(OpTable&);
};

// Best last.
const std::vector<Variant>& allVariants() {
#if defined(__x86_64__)
  const bool hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool hasAvx512 = hasAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
  static const std::vector<Variant> variants = {
    {"base", true, base::fillOpTable},
#if defined(__x86_64__)
    {"avx2", hasAvx2, avx2::fillOpTable},
    {"avx512", hasAvx512, avx512::fillOpTable},
    {"avx512bf16", hasAvx512 && __builtin_cpu_supports("avx512bf16"), avx512bf16::fillOpTable},
#endif
  };
  return variants;
}

constexpr size_t kHugePage = size_t{2} << 20;

// Large blocks are aligned to huge pages: fewer TLB misses and page faults in tensors of many megabytes.
void* allocateBlock(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes) != 0) return nullptr;
#if defined(__linux__)
  if (alignment == kHugePage) madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return block;
}

void releaseBlock(void* block, size_t) { std::free(block); }

int availableCores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned n = std::thread::hardware_concurrency();
  return n == 0 ? 1 : static_cast<int>(n);
}

class CpuDevice final : public Device {
 public:
  CpuDevice() : pool_(allocateBlock, releaseBlock), stream_(availableCores()), executor_(stream_) {
    const char* wanted = std::getenv("LANGEVIN_ISA");
    if (wanted && *wanted) {
      if (!setVariant(wanted)) {
        throw DeviceUnavailable(
            "LANGEVIN_ISA=" + std::string(wanted) + " is not one that this machine has: " + variants(),
            "set it to one of these, or leave it unset");
      }
      return;
    }
    for (const Variant& v : allVariants()) {
      if (v.supported) setVariant(v.name);
    }
  }

  void* reserve() override { return captured_ ? captured_->reserve() : executor_.reserve(); }
  void submit(const Call& call) override { captured_ ? captured_->submit(call) : executor_.submit(call); }
  void waitUntilIdle() override { executor_.waitUntilIdle(); }
  std::string takeFault() override { return executor_.takeFault(); }

  void copyToHost(Stream&, void* host, const void* device, size_t bytes, Copied copied, void* context) override {
    if (bytes > 0) std::memcpy(host, device, bytes);
    copied(context, takeFault());
  }
  void copyFromHost(Stream&, void* device, const void* host, size_t bytes) override {
    if (bytes > 0) std::memcpy(device, host, bytes);
  }

  void* allocate(size_t bytes) override {
    void* block = graphMemory_.take(bytes);
    if (!block && pool_.cachedBytes() > 0) {
      executor_.waitUntilIdle();
      pool_.trim();
      block = graphMemory_.take(bytes);
    }
    return block;
  }
  void release(void* block, size_t bytes) override { graphMemory_.give(block, bytes); }
  Memory memory() override {
    return {pool_.liveBytes(), pool_.peakBytes(), pool_.cachedBytes(), stream_.scratchBytes()};
  }
  void resetPeak() override { pool_.resetPeak(); }
  void setMemoryLimit(size_t bytes) override { pool_.setLimit(bytes); }

  bool setPrecision(const std::string& name) override {
    if (name != "fp32" && name != "tf32" && name != "strict") return false;
    strict_ = name == "strict";
    if (captured_) setStrict(*captured_);
    setStrict(executor_);
    return true;
  }

  bool captures() override { return true; }
  bool captureWaits() override { return false; }  // nothing of it happens on the executor's thread
  void beginCapture() override {
    graphMemory_.beginCapture();
    captured_ = std::make_shared<Graph>(strict_);
  }
  int64_t endCapture() override {
    const int64_t graph = graphMemory_.endCapture();
    graphs_[graph] = std::move(captured_);
    captured_.reset();
    return graph;
  }
  void replay(int64_t graph, int64_t stepOffset) override {
    enqueue("replay",
            [graph = graphOf(graph), stepOffset](Stream& stream) { expectGraph(graph).run(stream, stepOffset, 0); });
  }
  // What was enqueued has its own hold of the graph, and its memory is used again in stream order.
  void disposeGraph(int64_t graph) override {
    graphs_.erase(graph);
    graphMemory_.dispose(graph);
  }

  bool hasLanes() override { return true; }
  void replayLanes(const std::vector<Lane>& lanes, int64_t times, int64_t steps) override {
    std::vector<GraphLane> own;
    for (const Lane& lane : lanes) own.push_back({graphOf(lane.graph), lane.stepOffset, lane.firstElement});
    enqueue("replay", [own = std::move(own), times, steps](Stream& stream) { runLanes(stream, own, times, steps); });
  }

  const OpTable& ops() override { return ops_; }
  std::string variant() override { return variant_; }
  std::string variants() override {
    std::string names;
    for (const Variant& v : allVariants()) {
      if (v.supported) names += (names.empty() ? "" : ",") + std::string(v.name);
    }
    return names;
  }
  bool setVariant(const std::string& name) override {
    for (const Variant& v : allVariants()) {
      if (v.supported && name == v.name) {
        executor_.waitUntilIdle();
        v.fill(ops_);
        variant_ = name;
        return true;
      }
    }
    return false;
  }
  int threads() override { return stream_.threads(); }
  void setThreads(int threads) override {
    executor_.waitUntilIdle();
    stream_.setThreads(threads > 0 ? threads : availableCores());
  }

 private:
  /// Enqueues a function of the stream.
  template <class F>
  void enqueue(const char* name, F f) {
    static_assert(sizeof(F) <= kTaskBytes, "the function does not fit the queue");
    new (executor_.reserve()) F(std::move(f));
    executor_.submit({name, [](Stream& stream, void* arguments) { (*static_cast<F*>(arguments))(stream); },
                      [](void* arguments) { static_cast<F*>(arguments)->~F(); }});
  }

  /// The setting as a call of `queue`, the executor's or a graph's.
  template <class Queue>
  void setStrict(Queue& queue) {
    new (queue.reserve()) bool(strict_);
    queue.submit({"setting", [](Stream& stream, void* value) { stream.setStrict(*static_cast<const bool*>(value)); },
                  [](void*) {}});
  }

  /// nullptr: a fault of the call that wants it.
  std::shared_ptr<Graph> graphOf(int64_t number) const {
    const auto found = graphs_.find(number);
    return found == graphs_.end() ? nullptr : found->second;
  }

  OpTable ops_{};
  std::string variant_;
  bool strict_ = false;  // of the calls that are enqueued next
  Pool pool_;            // outlives the executor, whose calls use its blocks
  GraphMemory graphMemory_{pool_};
  std::map<int64_t, std::shared_ptr<Graph>> graphs_;
  std::shared_ptr<Graph> captured_;  // while calls are captured
  Stream stream_;
  Executor executor_;
};

}  // namespace

std::unique_ptr<Device> openDevice() { return std::unique_ptr<Device>(new CpuDevice()); }
const char* backendName() { return "cpu"; }

}  // namespace langevin
