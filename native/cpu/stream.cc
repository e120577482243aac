#include "stream.h"

#include <cstdlib>
#include <exception>
#include <stdexcept>

namespace langevin {

namespace {

// Spinning this long (about 20 µs) bridges the gap between two ops; beyond it a sleep costs less than the core.
constexpr int kSpins = 600;

LANGEVIN_INLINE void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Stream::Stream(int threads) { setThreads(threads); }

Stream::~Stream() {
  stopWorkers();
  for (Scratch& s : scratch_) std::free(s.data);
}

void Stream::stopWorkers() {
  stop_.store(true);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    epoch_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  stop_.store(false);
}

void Stream::setThreads(int threads) {
  if (threads < 1) threads = 1;
  stopWorkers();
  threads_ = threads;
  for (size_t i = static_cast<size_t>(threads) * kSlots; i < scratch_.size(); ++i) {
    scratchBytes_.fetch_sub(scratch_[i].bytes);
    std::free(scratch_[i].data);
  }
  scratch_.resize(static_cast<size_t>(threads) * kSlots);
}

void* Stream::scratch(int thread, int slot, size_t bytes) {
  Scratch& s = scratch_[static_cast<size_t>(thread) * kSlots + slot];
  if (s.bytes < bytes) {
    std::free(s.data);
    scratchBytes_.fetch_sub(s.bytes);
    s.bytes = (bytes + 4095) / 4096 * 4096;
    s.data = std::aligned_alloc(4096, s.bytes);
    if (!s.data) {
      s.bytes = 0;
      fault("out of memory: %zu bytes of scratch", bytes);
    }
    scratchBytes_.fetch_add(s.bytes);
  }
  return s.data;
}

void Stream::run(int64_t blocks, void (*body)(const void*, int64_t, int), const void* argument) {
  if (threads_ == 1 || blocks <= 1) {
    for (int64_t block = 0; block < blocks; ++block) body(argument, block, 0);
    return;
  }
  if (workers_.empty()) {
    const uint64_t seen = epoch_.load();
    for (int thread = 1; thread < threads_; ++thread) {
      workers_.emplace_back([this, thread, seen] { workerLoop(thread, seen); });
    }
  }
  body_ = body;
  argument_ = argument;
  blocks_ = blocks;
  nextBlock_.store(0, std::memory_order_relaxed);
  busy_.store(threads_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1);
  if (sleeping_.load() > 0) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  work(0);
  for (int spins = 0; busy_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins * 8) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
  if (!fault_.empty()) {
    std::string message;
    message.swap(fault_);
    throw std::runtime_error(message);
  }
}

void Stream::work(int thread) {
  try {
    for (int64_t block; (block = nextBlock_.fetch_add(1, std::memory_order_relaxed)) < blocks_;) {
      body_(argument_, block, thread);
    }
  } catch (const std::exception& error) {
    nextBlock_.store(blocks_, std::memory_order_relaxed);
    std::lock_guard<std::mutex> lock(faultMutex_);
    if (fault_.empty()) fault_ = error.what();
  }
}

void Stream::workerLoop(int thread, uint64_t seen) {
  for (;;) {
    for (int spins = 0; spins < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++spins) pause();
    if (epoch_.load() == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return epoch_.load() != seen; });
      sleeping_.fetch_sub(1);
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    work(thread);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

Executor::Executor(int threads)
    : tasks_(new Task[kCapacity]), stream_(threads), thread_([this] { loop(); }) {}

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
  if (tail - head_.load(std::memory_order_acquire) >= kCapacity) {
    std::unique_lock<std::mutex> lock(mutex_);
    waiting_.store(true);
    progress_.wait(lock, [&] { return tail - head_.load() < kCapacity; });
    waiting_.store(false);
  }
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

void Executor::waitUntilIdle() {
  const uint64_t tail = tail_.load();
  std::unique_lock<std::mutex> lock(mutex_);
  waiting_.store(true);
  progress_.wait(lock, [&] { return head_.load() >= tail; });
  waiting_.store(false);
}

std::string Executor::takeFault() {
  std::lock_guard<std::mutex> lock(faultMutex_);
  std::string message;
  message.swap(fault_);
  return message;
}

void Executor::loop() {
  for (;;) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    for (int spins = 0; spins < kSpins && tail_.load(std::memory_order_acquire) == head && !stop_.load(); ++spins) {
      pause();
    }
    if (tail_.load() == head) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.store(true);
      wake_.wait(lock, [&] { return tail_.load() != head || stop_.load(); });
      sleeping_.store(false);
    }
    if (stop_.load()) return;
    Task& task = tasks_[head % kCapacity];
    try {
      task.call.run(stream_, task.arguments);
    } catch (const std::exception& error) {
      std::lock_guard<std::mutex> lock(faultMutex_);
      if (fault_.empty()) fault_ = std::string(task.call.name) + ": " + error.what();
    }
    task.call.drop(task.arguments);
    head_.fetch_add(1);
    if (waiting_.load()) {
      std::lock_guard<std::mutex> lock(mutex_);
      progress_.notify_all();
    }
  }
}

}  // namespace langevin
