#include "executor.h"

#include <exception>

#include "spin.h"

namespace langevin {

Executor::Executor(Stream& stream) : stream_(stream), tasks_(new Task[kCapacity]), thread_([this] { loop(); }) {}

Executor::~Executor() {
  stop_.store(true);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  thread_.join();
  for (uint64_t i = head_.load(); i < tail_.load(); ++i) {
    Task& task = tasks_[i % kCapacity];
    task.call.drop(task.arguments);
  }
}

void* Executor::reserve() {
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  // A full queue is half emptied first: a producer that is woken for each call takes time from the calls' threads.
  if (tail - head_.load(std::memory_order_acquire) >= kCapacity) waitFor(tail - kCapacity / 2);
  return tasks_[tail % kCapacity].arguments;
}

void Executor::submit(const Call& call) {
  tasks_[tail_.load(std::memory_order_relaxed) % kCapacity].call = call;
  tail_.fetch_add(1);
  if (sleeping_.load()) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_one();
  }
}

void Executor::waitUntilIdle() { waitFor(tail_.load()); }

void Executor::waitFor(uint64_t head) {
  std::unique_lock<std::mutex> lock(mutex_);
  awaited_.store(head);
  progress_.wait(lock, [&] { return head_.load() >= head; });
  awaited_.store(kNever);
}

std::string Executor::takeFault() {
  std::lock_guard<std::mutex> lock(faultMutex_);
  if (lost_.load()) return fault_;
  std::string message;
  message.swap(fault_);
  return message;
}

void Executor::keepFault(const std::string& message, bool lost) {
  std::lock_guard<std::mutex> lock(faultMutex_);
  if (lost_.load() || (!lost && !fault_.empty())) return;
  fault_ = message;
  if (lost) lost_.store(true);
}

void Executor::loop() {
  for (;;) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    for (int spins = 0; spins < kSpins && tail_.load(std::memory_order_acquire) == head && !stop_.load(); ++spins) {
      pauseCore();
    }
    if (tail_.load() == head) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.store(true);
      wake_.wait(lock, [&] { return tail_.load() != head || stop_.load(); });
      sleeping_.store(false);
    }
    if (stop_.load()) return;
    Task& task = tasks_[head % kCapacity];
    running_ = task.call.name;
    try {
      task.call.run(stream_, task.arguments);
    } catch (const DeviceLost& error) {
      keepFault(std::string(task.call.name) + ": " + error.what(), true);
    } catch (const std::exception& error) {
      keepFault(std::string(task.call.name) + ": " + error.what(), false);
    }
    task.call.drop(task.arguments);
    if (head_.fetch_add(1) + 1 >= awaited_.load()) {
      std::lock_guard<std::mutex> lock(mutex_);
      progress_.notify_all();
    }
  }
}

}  // namespace langevin
