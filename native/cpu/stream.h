// The CPU device: an ordered stream of tasks, run by an executor thread of its own with a pool of worker threads.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../core/device.h"

namespace langevin {

/// What a kernel gets: parallel loops over fixed blocks, and scratch memory. Used on the executor thread only.
class Stream {
 public:
  explicit Stream(int threads);
  ~Stream();

  int threads() const { return threads_; }
  void setThreads(int threads);

  /// Calls body(block, thread) for every block in [0, blocks), on any thread, in any order. The blocks are fixed by the
  /// caller and never by the number of threads: that is what makes results independent of it. A fault thrown by a body
  /// is thrown again here.
  template <class Body>
  LANGEVIN_INLINE void parallel(int64_t blocks, const Body& body) {
    struct Call {
      static void run(const void* body, int64_t block, int thread) {
        (*static_cast<const Body*>(body))(block, thread);
      }
    };
    run(blocks, &Call::run, &body);
  }

  /// At least `bytes` of 64-byte aligned memory of this thread's own, contents undefined; valid until its next call
  /// with the same slot (0 to 3). Kept between ops.
  void* scratch(int thread, int slot, size_t bytes);

  /// Bytes of scratch memory held, for memory().
  size_t scratchBytes() const { return scratchBytes_.load(std::memory_order_relaxed); }

 private:
  struct Scratch {
    void* data = nullptr;
    size_t bytes = 0;
  };
  static constexpr int kSlots = 4;

  void run(int64_t blocks, void (*body)(const void*, int64_t, int), const void* argument);
  void work(int thread);
  void workerLoop(int thread, uint64_t seen);
  void stopWorkers();

  int threads_ = 1;
  std::vector<std::thread> workers_;
  std::vector<Scratch> scratch_;
  std::atomic<size_t> scratchBytes_{0};

  // The current parallel loop. Workers wait for `epoch_` to change: they spin briefly, then sleep.
  void (*body_)(const void*, int64_t, int) = nullptr;
  const void* argument_ = nullptr;
  int64_t blocks_ = 0;
  std::atomic<int64_t> nextBlock_{0};
  std::atomic<int> busy_{0};
  std::atomic<uint64_t> epoch_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleeping_{0};
  std::mutex faultMutex_;
  std::string fault_;
};

/// A call waiting in the queue. Its arguments live inline, so that enqueuing allocates nothing.
struct Task {
  Call call;
  alignas(16) unsigned char arguments[kTaskBytes];
};

/// Runs tasks one after another on its own thread. One producer: the JavaScript thread that owns the device.
class Executor {
 public:
  explicit Executor(int threads);
  ~Executor();  // waits for the task in progress and drops the rest

  /// A place for the next call's arguments; blocks while the queue is full. Follow with submit().
  void* reserve();
  void submit(const Call& call);
  void waitUntilIdle();

  /// The first fault since the last call, empty if none: "conv2d: a buffer of …".
  std::string takeFault();
  Stream& stream() { return stream_; }

 private:
  void loop();

  static constexpr uint64_t kCapacity = 1024;
  std::unique_ptr<Task[]> tasks_;
  std::atomic<uint64_t> head_{0};  // next to run
  std::atomic<uint64_t> tail_{0};  // next to fill
  std::atomic<bool> stop_{false};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> waiting_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable progress_;
  std::mutex faultMutex_;
  std::string fault_;
  Stream stream_;
  std::thread thread_;
};

}  // namespace langevin
