// Clusters, registers of warpgroups, dependent launches, and what must be over when a thread ends.
#include <algorithm>

#include "asynchronous.h"
#include "multiprocessor.h"

namespace emulator {

// ---- the cluster's barrier ----

uint32_t clusterRank() { return self->block->rank; }

namespace {

void endClusterPhaseIfComplete(Multiprocessor& processor) {
  auto& barrier = processor.clusterBarrier;
  if (barrier.arrived + barrier.ended < processor.threadCount()) return;
  ++barrier.phase;
  barrier.arrived = 0;
  barrier.ended += barrier.endedAfterArrival;
  barrier.endedAfterArrival = 0;
  for (Thread* thread : barrier.waiting) wake(*thread);
  barrier.waiting.clear();
}

}  // namespace

void arriveCluster() {
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  if (self->async().arrivedAtCluster) fail("barrier.cluster.arrive twice without a wait between");
  self->async().arrivedAtCluster = true;
  self->async().clusterPhase = processor.clusterBarrier.phase;
  ++processor.clusterBarrier.arrived;
  endClusterPhaseIfComplete(processor);
}

void waitCluster() {
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  ThreadAsync& mine = self->async();
  if (!mine.arrivedAtCluster) fail("barrier.cluster.wait without an arrival");
  while (processor.clusterBarrier.phase == mine.clusterPhase) {
    processor.clusterBarrier.waiting.push_back(self);
    waitAt("barrier.cluster.wait", nullptr);
  }
  mine.arrivedAtCluster = false;
}

// ---- registers ----

namespace {

/// What a block has: what the compiler may give each thread at most when all must fit.
unsigned registersAtLaunch(const Block& block) {
  const auto threads = static_cast<unsigned>((block.threads.size() + 31) / 32 * 32);
  return std::min(65536u / threads / 8 * 8, 256u);
}

unsigned registersInUse(const Block& block) {
  unsigned sum = 0;
  for (const Warp& warp : block.warps) sum += warp.registers == 0 ? registersAtLaunch(block) : warp.registers;
  return sum;
}

}  // namespace

void setRegisters(unsigned registers, bool increase) {
  Block& block = *self->block;
  Warp& warp = *self->warp;
  if (block.threads.size() % 128 != 0) fail("setmaxnreg in a block of %zu threads", block.threads.size());
  meet(increase ? "setmaxnreg.inc" : "setmaxnreg.dec", 0xffffffffu, nullptr, [](void* const*) {});
  const unsigned all = registersAtLaunch(block) * static_cast<unsigned>(block.warps.size());
  while (warp.registers != registers) {
    const unsigned now = warp.registers == 0 ? registersAtLaunch(block) : warp.registers;
    if (warp.registers != 0 && (increase ? registers < now : registers > now)) {
      fail("setmaxnreg.%s to %u registers from %u", increase ? "inc" : "dec", registers, now);
    }
    if (registersInUse(block) - now + registers <= all) {
      warp.registers = registers;
      for (Thread* thread : block.registerWaiters) wake(*thread);
      block.registerWaiters.clear();
      return;
    }
    block.registerWaiters.push_back(self);
    waitAt(increase ? "setmaxnreg.inc" : "setmaxnreg.dec", nullptr);
  }
}

// ---- dependent launches ----

void waitForPrevious() { Multiprocessor::ofThisThread().waitForPrevious(); }
void allowNext() { Multiprocessor::ofThisThread().allowNext(); }

// ---- the end of a thread ----

void leaveAsync(Thread& thread) {
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  Block& block = *thread.block;
  if (!block.async.empty()) {
    const ThreadAsync& mine = thread.async();
    if (!mine.copies.empty()) fail("the thread ends with %zu cp.async under way", mine.copies.size());
    if (!block.warpgroups.empty() && block.warpgroups[thread.linear / 128].computed < mine.productsIssued) {
      fail("the thread ends with matrix products (wgmma) under way");
    }
    for (const BoxStore& store : processor.stores) {
      if (store.thread == &thread && !store.read)
        fail("the thread ends with TMA stores that may still read shared memory");
    }
  }
  if (processor.blockCount() > 1) {
    auto& barrier = processor.clusterBarrier;
    const bool arrived =
        !block.async.empty() && thread.async().arrivedAtCluster && thread.async().clusterPhase == barrier.phase;
    ++(arrived ? barrier.endedAfterArrival : barrier.ended);
    endClusterPhaseIfComplete(processor);
  }
  if (block.exited + 1 < block.threads.size()) return;
  for (const BoxLoad& load : processor.loads) {
    if ((load.blocks >> block.rank) & 1) fail("the block ends with TMA loads under way");
  }
}

}  // namespace emulator
