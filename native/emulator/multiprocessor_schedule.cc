// Which thread of a cluster runs next, and on which fiber.
#include "multiprocessor.h"

namespace emulator {

Thread* Multiprocessor::nextFresh() {
  if (started_ == total_ || failed_) return nullptr;
  const size_t perBlock = total_ / blockCount_;
  Thread* const thread = &blocks_[fresh_ / perBlock].threads[fresh_ % perBlock];
  fresh_ = (fresh_ + freshStride_) % total_;
  ++started_;
  return thread;
}

namespace {
void enter(Thread& thread) {
  self = &thread;
  thread.state = Thread::State::running;
  threadIdx = thread.index;
  blockIdx = thread.block->index;
}
}  // namespace

/// What a fiber does: threads that have not started yet, until one waits (then another fiber goes on with the next).
void Multiprocessor::runThreads(Fiber& fiber) {
  for (;;) {
    while (Thread* const thread = nextFresh()) {
      thread->fiber = &fiber;
      enter(*thread);
      launch_->body();
      leaveAsync(*thread);
      leaveBarriers(*thread);
      thread->state = Thread::State::exited;
      ++exited_;
    }
    self = nullptr;
    idle_.push_back(&fiber);
    fiber.suspend();
  }
}

void Multiprocessor::resume(Fiber& fiber) {
  running_ = &fiber;
  fiber.resume();
  running_ = nullptr;
  self = nullptr;
  if (failed_) throw failure_;
}

/// Whether a thread that can go on is next, rather than one that has not started.
bool Multiprocessor::resumesNext() {
  if (ready_.empty() || started_ == total_) return !ready_.empty();
  return prefer_ == Prefer::any ? random_.oneIn(2) : prefer_ == Prefer::started;
}

void Multiprocessor::schedule() {
  while (exited_ < total_) {
    if (!(loads.empty() && stores.empty()) && completesEarly()) completeSome();
    if (resumesNext()) {
      const size_t pick = latestFirst_ ? ready_.size() - 1 : random_.below(static_cast<uint32_t>(ready_.size()));
      Thread* const thread = ready_[pick];
      ready_[pick] = ready_.back();
      ready_.pop_back();
      enter(*thread);
      resume(*thread->fiber);
    } else if (started_ < total_) {
      Fiber& fiber = idleFiber();
      fiber.prepare(
          [](void* argument) {
            auto* const mine = static_cast<Fiber*>(argument);
            ofThisThread().runThreads(*mine);
          },
          &fiber);
      resume(fiber);
    } else if (previous_) {
      if (random_.oneIn(2) || !completeSome()) runPrevious();
    } else if (!completeSome()) {
      reportDeadlock();
    }
  }
}

void Multiprocessor::waitAt(const char* what, const void* object) {
  Thread& thread = *self;
  thread.state = Thread::State::waiting;
  thread.waitsAt = what;
  thread.waitsFor = object;
  thread.fiber->suspend();
  thread.waitsAt = nullptr;
}

void Multiprocessor::wake(Thread& thread) {
  thread.state = Thread::State::ready;
  ready_.push_back(&thread);
}

void Multiprocessor::yield() {
  Thread& thread = *self;
  // Who yields waits for another: from here on every thread gets its turn.
  prefer_ = Prefer::any;
  latestFirst_ = false;
  wake(thread);
  thread.fiber->suspend();
}

void waitAt(const char* what, const void* object) { Multiprocessor::ofThisThread().waitAt(what, object); }
void wake(Thread& thread) { Multiprocessor::ofThisThread().wake(thread); }
void yield() { Multiprocessor::ofThisThread().yield(); }

}  // namespace emulator
