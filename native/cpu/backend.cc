// The CPU backend: picks the kernels of the best instruction set that the machine has, and ties them to an executor.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "../core/executor.h"
#include "../core/pool.h"
#include "kernels.h"
#include "stream.h"
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
  static const std::vector<Variant> variants = {
    {"base", true, base::fillOpTable},
#if defined(__x86_64__)
    {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), avx2::fillOpTable},
    {"avx512",
     __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma"),
     avx512::fillOpTable},
    {"avx512bf16",
     __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma"),
     avx512bf16::fillOpTable},
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

  void* reserve() override { return executor_.reserve(); }
  void submit(const Call& call) override { executor_.submit(call); }
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
    void* block = pool_.take(bytes);
    if (!block && pool_.cachedBytes() > 0) {
      executor_.waitUntilIdle();
      pool_.trim();
      block = pool_.take(bytes);
    }
    return block;
  }
  void release(void* block, size_t bytes) override { pool_.give(block, bytes); }
  Memory memory() override {
    return {pool_.liveBytes(), pool_.peakBytes(), pool_.cachedBytes(), stream_.scratchBytes()};
  }
  void resetPeak() override { pool_.resetPeak(); }
  void setMemoryLimit(size_t bytes) override { pool_.setLimit(bytes); }

  bool setPrecision(const std::string& name) override {
    if (name != "fp32" && name != "tf32" && name != "strict") return false;
    const bool strict = name == "strict";
    new (executor_.reserve()) bool(strict);
    executor_.submit({"setting",
                      [](Stream& stream, void* value) { stream.setStrict(*static_cast<const bool*>(value)); },
                      [](void*) {}});
    return true;
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
  OpTable ops_{};
  std::string variant_;
  Pool pool_;  // outlives the executor, whose calls use its blocks
  Stream stream_;
  Executor executor_;
};

}  // namespace

std::unique_ptr<Device> openDevice() { return std::unique_ptr<Device>(new CpuDevice()); }
const char* backendName() { return "cpu"; }

}  // namespace langevin
