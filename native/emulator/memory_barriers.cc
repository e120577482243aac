// mbarriers: phases that end when so many arrivals and so many bytes have come.
#include "memory_barriers.h"

#include "asynchronous.h"
#include "multiprocessor.h"

namespace emulator {

namespace {

constexpr uint32_t kMostArrivals = (1u << 20) - 1;

uint64_t markOf(const uint64_t* barrier) { return 0x6d62617272696572u ^ reinterpret_cast<uintptr_t>(barrier); }

void endPhaseIfComplete(MemoryBarrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  barrier.phase ^= 1;
  barrier.pending = barrier.expected;
  for (Thread* thread : barrier.waiting) wake(*thread);
  barrier.waiting.clear();
}

void arriveOnce(MemoryBarrier& barrier) {
  if (barrier.pending == 0) {
    fail("mbarrier at %u: one arrival more than the %u that it takes in a phase", sharedAddress(barrier.at),
         barrier.expected);
  }
  --barrier.pending;
  endPhaseIfComplete(barrier);
}

}  // namespace

MemoryBarrier& memoryBarrier(Block& block, const uint64_t* at) {
  for (MemoryBarrier& barrier : block.memoryBarriers) {
    if (barrier.at != at) continue;
    if (*at != markOf(at)) fail("mbarrier: its 8 bytes of shared memory were overwritten");
    return barrier;
  }
  fail("mbarrier: used before initBarrier");
}

void initBarrier(uint64_t* at, uint32_t arrivals) {
  Block& block = *self->block;
  if (reinterpret_cast<uintptr_t>(at) % 8 != 0 || !block.contains(at, 8)) {
    fail("mbarrier.init: %p is no 8-byte aligned place in shared memory", static_cast<const void*>(at));
  }
  if (arrivals == 0 || arrivals > kMostArrivals) fail("mbarrier.init: %u arrivals", arrivals);
  MemoryBarrier* barrier = nullptr;
  for (MemoryBarrier& each : block.memoryBarriers) {
    if (each.at == at) barrier = &each;
  }
  if (!barrier) {
    block.memoryBarriers.emplace_back();
    barrier = &block.memoryBarriers.back();
  } else if (!barrier->waiting.empty()) {
    fail("mbarrier.init: threads wait at the barrier");
  }
  *barrier = MemoryBarrier();
  barrier->at = at;
  barrier->expected = barrier->pending = arrivals;
  barrier->initialisedBy = self;
  *at = markOf(at);
}

void fenceBarrierInit() {
  for (MemoryBarrier& barrier : self->block->memoryBarriers) {
    if (barrier.initialisedBy == self) barrier.visible = true;
  }
}

void arrive(uint64_t* at, uint32_t expectedBytes) {
  MemoryBarrier& barrier = memoryBarrier(*self->block, at);
  if (expectedBytes > kMostArrivals) fail("mbarrier: %u bytes expected at once", expectedBytes);
  barrier.bytes += expectedBytes;
  arriveOnce(barrier);
}

void arriveAt(uint64_t* at, uint32_t rank) {
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  Block& own = *self->block;
  if (rank >= processor.blockCount()) fail("mbarrier: block %u of a cluster of %zu", rank, processor.blockCount());
  Block& other = processor.block(rank);
  if (other.hasEnded()) fail("mbarrier: an arrival at block %u of the cluster, which has ended", rank);
  const auto* const there =
      reinterpret_cast<const uint64_t*>(other.dynamic + (reinterpret_cast<unsigned char*>(at) - own.dynamic));
  const bool inDynamic = own.dynamicBytes > 0 && reinterpret_cast<unsigned char*>(at) >= own.dynamic;
  arriveOnce(memoryBarrier(other, inDynamic ? there
                                            : reinterpret_cast<const uint64_t*>(
                                                  other.shared + (reinterpret_cast<unsigned char*>(at) - own.shared))));
}

void waitBarrier(uint64_t* at, uint32_t parity) {
  Block& block = *self->block;
  if (parity > 1) fail("mbarrier: parity %u", parity);
  while (memoryBarrier(block, at).phase == parity) {
    memoryBarrier(block, at).waiting.push_back(self);
    waitAt(parity == 0 ? "an mbarrier, parity 0" : "an mbarrier, parity 1",
           reinterpret_cast<const void*>(static_cast<uintptr_t>(sharedAddress(at))));
  }
}

void bytesCame(MemoryBarrier& barrier, size_t bytes) {
  barrier.bytes -= static_cast<int64_t>(bytes);
  endPhaseIfComplete(barrier);
}

}  // namespace emulator
