// A launch on the multiprocessor: its clusters one after another, and with it the launch before, where it may overlap
// it.
#include "multiprocessor.h"

#include <cstdlib>
#include <mutex>
#include <numeric>
#include <set>

#include "signals.h"

EMULATOR_THREAD_LOCAL uint3 threadIdx;
EMULATOR_THREAD_LOCAL uint3 blockIdx;
EMULATOR_THREAD_LOCAL uint3 blockDim;
EMULATOR_THREAD_LOCAL uint3 gridDim;

namespace emulator {

EMULATOR_THREAD_LOCAL Thread* self;

uint64_t seed() {
  static const uint64_t value = [] {
    const char* const text = std::getenv("LANGEVIN_EMULATOR_SEED");
    return text && *text ? std::strtoull(text, nullptr, 10) : 1;
  }();
  return value;
}

namespace {

EMULATOR_THREAD_LOCAL Multiprocessor* current;  // null: the thread's first

std::mutex earlyMutex;
std::set<const void*>& kernelsThatLetNextStart() {
  static auto* const all = new std::set<const void*>;
  return *all;
}

}  // namespace

Multiprocessor& Multiprocessor::ofThisThread() {
  if (current) return *current;
  thread_local Multiprocessor own;
  return own;
}

bool Multiprocessor::letsNextStartEarly(const void* kernel) {
  const std::lock_guard<std::mutex> lock(earlyMutex);
  return kernelsThatLetNextStart().count(kernel) > 0;
}

Multiprocessor::Multiprocessor() = default;

void Multiprocessor::run(const Launch& launch, const Launch* previous) {
  launch_ = &launch;
  previous_ = previous;
  waitForPrevious_.clear();
  allowsNext_ = false;
  random_ = Random(seed() * 0x100000001b3u + launch.number);
  blockDim = launch.block;
  gridDim = launch.grid;
  const uint64_t clusters = static_cast<uint64_t>(launch.grid.x) / launch.cluster * launch.grid.y * launch.grid.z;
  // Clusters in an order that no kernel may count on: every k-th from a random one on.
  constexpr uint32_t kDelays[] = {1, 4, 64, 1u << 31};
  asyncDelay_ = kDelays[random_.below(4)];
  uint64_t stride = 1 + random_.below(static_cast<uint32_t>(clusters < 97 ? clusters : 97));
  while (std::gcd(stride, clusters) != 1) ++stride;
  uint64_t cluster = random_.below(static_cast<uint32_t>(clusters < 0xffffffffu ? clusters : 0xffffffffu));
  const KernelSignals signals;
  for (uint64_t i = 0; i < clusters; ++i, cluster = (cluster + stride) % clusters) {
    const uint64_t across = launch.grid.x / launch.cluster;
    runCluster({static_cast<unsigned>(cluster % across * launch.cluster),
                static_cast<unsigned>(cluster / across % launch.grid.y),
                static_cast<unsigned>(cluster / across / launch.grid.y)});
  }
  launch_ = nullptr;
  if (allowsNext_) {
    const std::lock_guard<std::mutex> lock(earlyMutex);
    kernelsThatLetNextStart().insert(launch.kernel);
  }
}

void Multiprocessor::runPrevious() {
  thread_local Multiprocessor other;
  const Launch& previous = *previous_;
  previous_ = nullptr;
  Multiprocessor* const outer = current;
  current = &other;
  try {
    other.run(previous);
  } catch (const LaunchError&) {
    current = outer;
    throw;
  }
  current = outer;
  blockDim = launch_->block;
  gridDim = launch_->grid;
  for (Thread* thread : waitForPrevious_) wake(*thread);
  waitForPrevious_.clear();
}

void Multiprocessor::waitForPrevious() {
  self->block->waitedForPrevious = true;
  while (previous_) {
    waitForPrevious_.push_back(self);
    waitAt("waitForPrevious", nullptr);
  }
}

void Multiprocessor::runCluster(uint3 firstBlock) {
  blockCount_ = launch_->cluster;
  growShared(blockCount_);
  total_ = started_ = exited_ = 0;
  ready_.clear();
  failed_ = false;
  if (idle_.size() != fibers_.size()) {
    // What a kernel that failed had begun is given up with its stacks.
    idle_.clear();
    for (const auto& each : fibers_) idle_.push_back(each.get());
  }
  loads.clear();
  stores.clear();
  clusterBarrier.arrived = clusterBarrier.ended = clusterBarrier.endedAfterArrival = 0;
  clusterBarrier.waiting.clear();
  for (unsigned rank = 0; rank < blockCount_; ++rank) {
    startBlock(blocks_[rank], {firstBlock.x + rank, firstBlock.y, firstBlock.z}, rank);
    total_ += blocks_[rank].threads.size();
  }
  freshStart_ = random_.below(static_cast<uint32_t>(total_));
  // Neighbours one after another, or every k-th thread: both show bugs that the other hides.
  freshStride_ = random_.oneIn(4) ? 1 : 1 + random_.below(static_cast<uint32_t>(total_ < 64 ? total_ : 64));
  while (std::gcd(freshStride_, total_) != 1) ++freshStride_;
  fresh_ = freshStart_;
  prefer_ = static_cast<Prefer>(random_.below(3));
  latestFirst_ = random_.oneIn(3);
  schedule();
  while (completeSome()) {
  }
  for (size_t i = 0; i < blockCount_; ++i) finishBlock(blocks_[i]);
}

}  // namespace emulator
