// The emulated device: its streams, and when their work runs. Nothing runs when it is enqueued. Work runs on the thread
// that waits for it (or asks about it), as late as that; where host functions are enqueued, a thread of the machine
// runs what leads to them, so that nobody need wait. Several streams interleave at random.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "block.h"

/// One recording of an event.
struct EventRecord {
  CUstream_st* stream = nullptr;
  bool done = false;
  std::chrono::steady_clock::time_point time;
};

struct CUevent_st {
  bool timing = true;
  bool captured = false;
  std::shared_ptr<EventRecord> latest;  // null: never recorded
};

/// One piece of a stream's work: something to run, a kernel, an event to mark, or an event to wait for.
struct Work {
  std::function<void()> run;
  std::shared_ptr<const emulator::Launch> launch;
  std::shared_ptr<EventRecord> mark;
  std::shared_ptr<EventRecord> waitFor;
  bool isHostFunction = false;
};

struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};

struct CUstream_st {
  std::deque<Work> queue;
  uint64_t enqueued = 0, finished = 0;
  size_t hostFunctions = 0;  // in the queue
  bool busy = false;         // some thread runs a piece
  bool nonBlocking = false;  // of the legacy default stream
  std::unique_ptr<CUgraph_st> capture;
  cudaStreamCaptureMode captureMode = cudaStreamCaptureModeGlobal;
  bool captureBroken = false;
};

namespace emulator {

class Machine {
 public:
  using Lock = std::unique_lock<std::mutex>;

  /// The process's device. Never destroyed: work may still run while the process ends.
  static Machine& get();
  Lock lock() { return Lock(mutex_); }

  CUstream_st* createStream(bool nonBlocking);
  void destroyStream(Lock& lock, CUstream_st* stream);
  /// null: the legacy default stream. A handle that is none is an error of the caller's.
  CUstream_st* find(cudaStream_t handle);

  /// Adds work to a stream, or to the graph that it captures.
  void enqueue(Lock& lock, CUstream_st& stream, Work work);
  void synchronize(Lock& lock, CUstream_st& stream);
  void synchronizeAll(Lock& lock);
  void waitFor(Lock& lock, EventRecord& record);
  /// Perhaps runs some work of the stream, as time that passes would.
  void letTimePass(Lock& lock, CUstream_st& stream);

  /// The error that a kernel left; every later call gives it.
  cudaError_t sticky() const { return sticky_; }
  void setSticky(cudaError_t status, const std::string& report);
  void reset() { sticky_ = cudaSuccess; }

 private:
  Machine();
  void runOne(Lock& lock, CUstream_st& stream);
  /// Runs a kernel, and with it the one after it, where that may start early.
  void runKernel(const Launch& launch, const Launch* next);
  void advance(Lock& lock, CUstream_st& stream);
  void finish(CUstream_st& stream);
  void runForHostFunctions();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<CUstream_st>> streams_;  // the first is the legacy default one
  Random random_;
  std::atomic<cudaError_t> sticky_{cudaSuccess};
  std::atomic<uint64_t> launches_{0};
  bool hostThread_ = false;
};

/// Adds work to a stream, or to the graph that it captures.
cudaError_t enqueueWork(cudaStream_t stream, Work work);
/// The number of the launch that LANGEVIN_EMULATOR_FAIL_LAUNCH makes fail; 0: none.
uint64_t launchToFail();

/// Set while a host function runs on this thread: it must not call the runtime.
extern thread_local bool inHostFunction;

}  // namespace emulator
