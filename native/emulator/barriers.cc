// Threads that wait for each other: barriers of the block, and lanes of a warp at instructions that they execute
// together.
#include <cstring>

#include "block.h"

namespace emulator {

namespace {

void release(NamedBarrier& barrier) {
  for (Thread* thread : barrier.waiting) wake(*thread);
  barrier.waiting.clear();
  barrier.expected = barrier.arrived = 0;
}

}  // namespace

void blockBarrier(int id, unsigned threads, bool wait) {
  Thread& me = *self;
  Block& block = *me.block;
  const auto size = static_cast<unsigned>(block.threads.size());
  if (id < 0 || id > 15) fail("barrier %d: a block has barriers 0 to 15", id);
  if (threads % 32 != 0) fail("barrier %d: %u threads, which is no multiple of 32", id, threads);
  const unsigned expected = threads == 0 ? size : threads;
  if (expected > (size + 31) / 32 * 32) fail("barrier %d: waits for %u threads of a block of %u", id, expected, size);
  if (threads == 0 && block.exited > 0) {
    fail("__syncthreads where %u threads of the block have already ended", block.exited);
  }
  NamedBarrier& barrier = block.barriers[id];
  if (barrier.expected != 0 && barrier.expected != expected) {
    fail("barrier %d: %u threads here, but those that arrived before said %u", id, expected, barrier.expected);
  }
  barrier.expected = expected;
  if (++barrier.arrived == expected) {
    block.voteResult = block.votes;
    block.votes = 0;
    release(barrier);
  } else if (wait) {
    barrier.waiting.push_back(&me);
    waitAt(id == 0 ? "__syncthreads" : "a named barrier", reinterpret_cast<const void*>(static_cast<intptr_t>(id)));
  }
}

int voteOfBlock(bool predicate) {
  Block& block = *self->block;
  block.votes += predicate;
  blockBarrier(0, 0, true);
  return block.voteResult;  // the next vote cannot end before all threads have come to it
}

unsigned laneOf() { return self->lane; }

unsigned activeLanes() { return self->warp->present & ~self->warp->exited; }

namespace {

/// Completes a meeting to which all lanes have come that still can.
bool finish(Warp& warp, unsigned slot) {
  const Warp::Meeting& meeting = warp.meetings[slot];
  const uint32_t needed = meeting.lanes & warp.present & ~warp.exited, arrived = meeting.arrived;
  if ((needed & ~arrived) != 0) return false;
  void* operands[32];
  for (unsigned lane = 0; lane < 32; ++lane) operands[lane] = (arrived >> lane) & 1 ? warp.operands[lane] : nullptr;
  meeting.complete(operands);
  warp.meetingsUnderWay &= ~(1u << slot);
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((arrived >> lane) & 1 && &warp.lanes[lane] != self) wake(warp.lanes[lane]);
  }
  return true;
}

/// The meeting under way of exactly these lanes, or a new one.
unsigned slotFor(Warp& warp, uint32_t lanes, const char* instruction, Complete complete) {
  for (uint32_t left = warp.meetingsUnderWay; left != 0; left &= left - 1) {
    const auto slot = static_cast<unsigned>(__builtin_ctz(left));
    const Warp::Meeting& meeting = warp.meetings[slot];
    if (meeting.lanes != lanes) continue;
    if (std::strcmp(meeting.instruction, instruction) != 0) {
      fail("%s of lanes %08x, but lanes %08x of the warp wait at %s", instruction, lanes, meeting.arrived,
           meeting.instruction);
    }
    return slot;
  }
  const auto slot = static_cast<unsigned>(__builtin_ctz(~warp.meetingsUnderWay));
  warp.meetingsUnderWay |= 1u << slot;
  warp.meetings[slot] = {lanes, 0, instruction, complete};
  return slot;
}

}  // namespace

void meet(const char* instruction, uint32_t lanes, void* operand, Complete complete) {
  Thread& me = *self;
  Warp& warp = *me.warp;
  const uint32_t bit = 1u << me.lane;
  if ((lanes & bit) == 0) fail("%s: lane %u is not in its own mask %08x", instruction, me.lane, lanes);
  const unsigned slot = slotFor(warp, lanes, instruction, complete);
  warp.operands[me.lane] = operand;
  warp.meetings[slot].arrived |= bit;
  if (!finish(warp, slot)) waitAt(instruction, reinterpret_cast<const void*>(static_cast<uintptr_t>(lanes)));
}

void leaveBarriers(Thread& thread) {
  Block& block = *thread.block;
  ++block.exited;
  if (block.barriers[0].arrived > 0 && block.barriers[0].expected == block.threads.size()) {
    fail("the thread ends while %u threads of the block wait at __syncthreads", block.barriers[0].arrived);
  }
  Warp& warp = *thread.warp;
  warp.exited |= 1u << thread.lane;
  for (uint32_t left = warp.meetingsUnderWay; left != 0; left &= left - 1) {
    finish(warp, static_cast<unsigned>(__builtin_ctz(left)));
  }
}

void completeShuffle(void* const* operands) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    auto* const mine = static_cast<Shuffle*>(operands[lane]);
    if (!mine) continue;
    // A lane that does not take part gives an undefined value.
    const auto* const source = static_cast<const Shuffle*>(operands[mine->source & 31]);
    mine->result = source ? source->value : 0xcdcdcdcdcdcdcdcdu;
  }
}

namespace {
struct Vote {
  bool predicate;
  uint32_t result;
};
}  // namespace

uint32_t vote(const char* instruction, uint32_t lanes, bool predicate) {
  Vote mine{predicate, 0};
  meet(instruction, lanes, &mine, [](void* const* operands) {
    uint32_t result = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
      const auto* const vote = static_cast<const Vote*>(operands[lane]);
      if (vote && vote->predicate) result |= 1u << lane;
    }
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (auto* const vote = static_cast<Vote*>(operands[lane])) vote->result = result;
    }
  });
  return mine.result;
}

}  // namespace emulator
