#include "machine.h"

#include <algorithm>
#include <cstdio>
#include <thread>

#include "multiprocessor.h"
#include "runtime.h"

namespace emulator {

thread_local bool inHostFunction = false;

namespace {
/// More than this is run without anybody's waiting, so that queues stay short.
constexpr size_t kLongestQueue = 4096;
}  // namespace

Machine& Machine::get() {
  static Machine* const machine = new Machine;
  return *machine;
}

Machine::Machine() : random_(seed()) { streams_.push_back(std::make_shared<CUstream_st>()); }

CUstream_st* Machine::createStream(bool nonBlocking) {
  streams_.push_back(std::make_shared<CUstream_st>());
  streams_.back()->nonBlocking = nonBlocking;
  return streams_.back().get();
}

void Machine::destroyStream(Lock& lock, CUstream_st* stream) {
  synchronize(lock, *stream);
  streams_.erase(std::find_if(streams_.begin(), streams_.end(), [&](const auto& s) { return s.get() == stream; }));
}

CUstream_st* Machine::find(cudaStream_t handle) {
  if (!handle) return streams_.front().get();
  const auto found = std::find_if(streams_.begin(), streams_.end(), [&](const auto& s) { return s.get() == handle; });
  return found == streams_.end() ? nullptr : found->get();
}

void Machine::enqueue(Lock& lock, CUstream_st& stream, Work work) {
  if (stream.capture) {
    stream.capture->work.push_back(std::move(work));
    return;
  }
  // The legacy default stream and the blocking ones wait for each other.
  CUstream_st& legacy = *streams_.front();
  if (&stream == &legacy) {
    for (const auto& other : std::vector(streams_)) {
      if (other.get() != &legacy && !other->nonBlocking) synchronize(lock, *other);
    }
  } else if (!stream.nonBlocking) {
    synchronize(lock, legacy);
  }
  if (work.isHostFunction) {
    ++stream.hostFunctions;
    if (!hostThread_) {
      hostThread_ = true;
      std::thread([this] { runForHostFunctions(); }).detach();
    }
  }
  stream.queue.push_back(std::move(work));
  ++stream.enqueued;
  if (stream.hostFunctions > 0) changed_.notify_all();
  while (stream.queue.size() > kLongestQueue) advance(lock, stream);
}

void Machine::finish(CUstream_st& stream) {
  ++stream.finished;
  changed_.notify_all();
}

/// Runs the first piece of a stream that is not busy and has work, or what that piece waits for.
void Machine::runOne(Lock& lock, CUstream_st& stream) {
  Work& first = stream.queue.front();
  if (first.waitFor && !first.waitFor->done && sticky_ == cudaSuccess) {
    advance(lock, *first.waitFor->stream);
    return;
  }
  Work work = std::move(first);
  stream.queue.pop_front();
  if (work.isHostFunction) --stream.hostFunctions;
  // A kernel that may start before the end of the one before it sometimes does.
  Work next;
  if (work.launch && !stream.queue.empty() && stream.queue.front().launch &&
      stream.queue.front().launch->overlapsPrevious && Multiprocessor::letsNextStartEarly(work.launch->kernel) &&
      random_.oneIn(2)) {
    next = std::move(stream.queue.front());
    stream.queue.pop_front();
  }
  if ((work.run || work.launch) && sticky_ == cudaSuccess) {
    stream.busy = true;
    lock.unlock();
    cudaError_t status = cudaSuccess;
    std::string report;
    try {
      inHostFunction = work.isHostFunction;
      if (work.launch) {
        runKernel(*work.launch, next.launch.get());
      } else {
        work.run();
      }
    } catch (const LaunchError& error) {
      status = error.status;
      report = error.report;
    }
    inHostFunction = false;
    work.run = nullptr;
    lock.lock();
    stream.busy = false;
    if (status != cudaSuccess) setSticky(status, report);
  }
  if (work.mark) {
    work.mark->done = true;
    work.mark->time = std::chrono::steady_clock::now();
  }
  if (next.launch) finish(stream);
  finish(stream);
}

void Machine::runKernel(const Launch& launch, const Launch* next) {
  Launch numbered = launch;
  numbered.number = ++launches_;
  if (numbered.number == launchToFail()) throw LaunchError{cudaErrorIllegalAddress, "a launch was made to fail"};
  if (!next) return Multiprocessor::ofThisThread().run(numbered);
  Launch after = *next;
  after.number = ++launches_;
  Multiprocessor::ofThisThread().run(after, &numbered);
}

void Machine::advance(Lock& lock, CUstream_st& stream) {
  if (random_.oneIn(4)) {
    CUstream_st& other = *streams_[random_.below(static_cast<uint32_t>(streams_.size()))];
    if (!other.busy && !other.queue.empty()) {
      runOne(lock, other);
      return;
    }
  }
  if (stream.busy || stream.queue.empty()) {
    changed_.wait(lock);
  } else {
    runOne(lock, stream);
  }
}

void Machine::synchronize(Lock& lock, CUstream_st& stream) {
  const uint64_t target = stream.enqueued;
  while (stream.finished < target) advance(lock, stream);
}

void Machine::synchronizeAll(Lock& lock) {
  for (const auto& stream : std::vector(streams_)) synchronize(lock, *stream);  // streams may come and go meanwhile
}

void Machine::waitFor(Lock& lock, EventRecord& record) {
  while (!record.done) advance(lock, *record.stream);
}

void Machine::letTimePass(Lock& lock, CUstream_st& stream) {
  if (!stream.busy && !stream.queue.empty() && random_.oneIn(2)) runOne(lock, stream);
}

void Machine::setSticky(cudaError_t status, const std::string& report) {
  std::fprintf(stderr, "emulator: %s\n", report.c_str());
  std::fflush(stderr);
  if (sticky_ == cudaSuccess) sticky_ = status;
}

void Machine::runForHostFunctions() {
  Lock lock(mutex_);
  for (;;) {
    std::shared_ptr<CUstream_st> stream;
    for (const auto& s : streams_) {
      if (s->hostFunctions > 0 && !s->busy) stream = s;
    }
    if (!stream) {
      changed_.wait(lock);
      continue;
    }
    const auto delay = std::chrono::microseconds(random_.below(200));
    lock.unlock();
    std::this_thread::sleep_for(delay);
    lock.lock();
    if (stream->hostFunctions > 0 && !stream->busy) runOne(lock, *stream);
  }
}

}  // namespace emulator
