// A device's queue: calls run one after another on a thread of its own, off the JavaScript thread.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "device.h"

namespace langevin {

/// One producer: the JavaScript thread that owns the device. The stream must outlive the executor.
class Executor {
 public:
  explicit Executor(Stream& stream);
  ~Executor();  // waits for the task in progress and drops the rest

  /// A place for the next call's arguments; blocks while the queue is full. Follow with submit().
  void* reserve();
  void submit(const Call& call);
  void waitUntilIdle();

  /// The first fault since the last call, empty if none: "conv2d: a buffer of …". Of a lost device always the loss.
  std::string takeFault();
  bool lost() const { return lost_.load(); }
  /// Marks the device as lost; the first message stays.
  void lose(const std::string& message) { keepFault(message, true); }
  /// The op that runs now; to be asked on the executor's thread only.
  const char* const& running() const { return running_; }

  static constexpr uint64_t kCapacity = 1024;
  static constexpr uint64_t kNever = UINT64_MAX;

 private:
  void loop();
  void waitFor(uint64_t head);
  void keepFault(const std::string& message, bool lost);

  Stream& stream_;
  std::unique_ptr<Task[]> tasks_;
  std::atomic<uint64_t> head_{0};  // next to run
  std::atomic<uint64_t> tail_{0};  // next to fill
  std::atomic<bool> stop_{false};
  std::atomic<bool> sleeping_{false};
  std::atomic<uint64_t> awaited_{kNever};  // the head that the producer waits for: it is woken then, and not before
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable progress_;
  std::mutex faultMutex_;
  std::string fault_;
  std::atomic<bool> lost_{false};
  const char* running_ = "";
  std::thread thread_;
};

}  // namespace langevin
