// What is told of a kernel that broke a rule, and of one whose threads all wait.
#include <cinttypes>
#include <cstdarg>
#include <cstdio>

#include "multiprocessor.h"
#include "symbols.h"

namespace emulator {

namespace {

std::string format(const char* format, va_list arguments) {
  char text[1024];
  std::vsnprintf(text, sizeof text, format, arguments);
  return text;
}

}  // namespace

std::string Multiprocessor::describe(const Thread* thread) const {
  char text[256];
  std::snprintf(text, sizeof text, "in kernel %s, block (%u, %u, %u)", symbolName(launch_->kernel).c_str(), blockIdx.x,
                blockIdx.y, blockIdx.z);
  std::string line = text;
  if (thread) {
    std::snprintf(text, sizeof text, ", thread (%u, %u, %u)", thread->index.x, thread->index.y, thread->index.z);
    line += text;
  }
  std::snprintf(text, sizeof text, " (launch %" PRIu64 ", LANGEVIN_EMULATOR_SEED=%" PRIu64 ")", launch_->number,
                seed());
  return line + text;
}

void Multiprocessor::fail(cudaError_t status, const std::string& message) {
  failure_ = {status, message + "\n  " + describe(self)};
  failed_ = true;
  if (self) {
    self->fiber->suspend();  // never resumed
  }
  launch_ = nullptr;
  throw failure_;
}

void Multiprocessor::failAfterSignal() { fail(signalStatus, signalMessage); }

void Multiprocessor::reportDeadlock() {
  std::string message = "deadlock: no thread of the block can go on";
  size_t shown = 0, waiting = 0;
  for (size_t i = 0; i < blockCount_; ++i) {
    const Thread* previous = nullptr;
    for (const Thread& thread : blocks_[i].threads) {
      if (thread.state != Thread::State::waiting) continue;
      ++waiting;
      blockIdx = blocks_[i].index;
      // One line for neighbours that wait for the same.
      const bool same = previous && previous->waitsAt == thread.waitsAt && previous->waitsFor == thread.waitsFor;
      previous = &thread;
      if (same || ++shown > 24) continue;
      char line[256];
      std::snprintf(line, sizeof line, "\n  block (%u, %u, %u), thread (%u, %u, %u) and after: waits at %s [%p]",
                    blocks_[i].index.x, blocks_[i].index.y, blocks_[i].index.z, thread.index.x, thread.index.y,
                    thread.index.z, thread.waitsAt, thread.waitsFor);
      message += line;
    }
  }
  message += "\n  " + std::to_string(waiting) + " threads wait, " + std::to_string(exited_) + " have ended";
  fail(cudaErrorLaunchFailure, message);
}

void failWith(cudaError_t status, const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  const std::string message = format(text, arguments);
  va_end(arguments);
  Multiprocessor::ofThisThread().fail(status, message);
}

void fail(const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  const std::string message = format(text, arguments);
  va_end(arguments);
  Multiprocessor::ofThisThread().fail(cudaErrorLaunchFailure, message);
}

}  // namespace emulator
