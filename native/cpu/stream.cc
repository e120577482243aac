#include "stream.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../core/spin.h"

namespace langevin {

namespace {
constexpr int kSlots = 4;
}  // namespace

struct Stream::Team {
  struct Scratch {
    void* data = nullptr;
    size_t bytes = 0;
  };

  std::vector<std::thread> workers;  // threads 1 …; thread 0 is the caller's
  std::vector<Scratch> scratch;
  std::shared_ptr<std::atomic<size_t>> scratchBytes;  // also of the streams below
  std::vector<std::unique_ptr<Stream>> alone;         // each thread's stream of its own, where it had need of one

  // The current parallel loop. Workers wait for `epoch` to change: they spin briefly, then sleep.
  LoopBody body = nullptr;
  const void* argument = nullptr;
  int64_t blocks = 0;
  std::atomic<int64_t> nextBlock{0};
  std::atomic<int> busy{0};
  std::atomic<uint64_t> epoch{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<int> sleeping{0};
  std::mutex faultMutex;
  std::string fault;

  void start(int threads) {
    const uint64_t seen = epoch.load();
    for (int thread = 1; thread < threads; ++thread) {
      workers.emplace_back([this, thread, seen] { workerLoop(thread, seen); });
    }
  }

  void stopWorkers() {
    stop.store(true);
    {
      std::lock_guard<std::mutex> lock(mutex);
      epoch.fetch_add(1);
    }
    wake.notify_all();
    for (std::thread& worker : workers) worker.join();
    workers.clear();
    stop.store(false);
  }

  void work(int thread) {
    try {
      for (int64_t block; (block = nextBlock.fetch_add(1, std::memory_order_relaxed)) < blocks;) {
        body(argument, block, thread);
      }
    } catch (const std::exception& error) {
      nextBlock.store(blocks, std::memory_order_relaxed);
      std::lock_guard<std::mutex> lock(faultMutex);
      if (fault.empty()) fault = error.what();
    }
  }

  void workerLoop(int thread, uint64_t seen) {
    for (;;) {
      for (int spins = 0; spins < kSpins && epoch.load(std::memory_order_acquire) == seen; ++spins) pauseCore();
      if (epoch.load() == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        sleeping.fetch_add(1);
        wake.wait(lock, [&] { return epoch.load() != seen; });
        sleeping.fetch_sub(1);
      }
      seen = epoch.load(std::memory_order_acquire);
      if (stop.load()) return;
      work(thread);
      busy.fetch_sub(1, std::memory_order_release);
    }
  }
};

Stream::Stream(int threads) : team_(new Team) {
  team_->scratchBytes = std::make_shared<std::atomic<size_t>>(0);
  setThreads(threads);
}

Stream::~Stream() {
  team_->stopWorkers();
  freeScratch(0);
  delete team_;
}

Stream& Stream::alone(int thread) {
  std::unique_ptr<Stream>& stream = team_->alone[static_cast<size_t>(thread)];
  if (!stream) {
    Team* const team = new Team;
    team->scratchBytes = team_->scratchBytes;
    stream.reset(new Stream(team));
    stream->setThreads(1);
  }
  return *stream;
}

void Stream::setThreads(int threads) {
  if (threads < 1) threads = 1;
  team_->stopWorkers();
  threads_ = threads;
  const size_t slots = static_cast<size_t>(threads) * kSlots;
  freeScratch(slots);
  team_->scratch.resize(slots);
  team_->alone.resize(static_cast<size_t>(threads));
}

void Stream::freeScratch(size_t from) {
  for (size_t i = from; i < team_->scratch.size(); ++i) {
    team_->scratchBytes->fetch_sub(team_->scratch[i].bytes);
    std::free(team_->scratch[i].data);
  }
}

void* Stream::scratch(int thread, int slot, size_t bytes) {
  Team::Scratch& s = team_->scratch[static_cast<size_t>(thread) * kSlots + slot];
  if (s.bytes < bytes) {
    std::free(s.data);
    team_->scratchBytes->fetch_sub(s.bytes);
    s.bytes = (bytes + 4095) / 4096 * 4096;
    s.data = std::aligned_alloc(4096, s.bytes);
    if (!s.data) {
      s.bytes = 0;
      fault("out of memory: %zu bytes of scratch", bytes);
    }
    team_->scratchBytes->fetch_add(s.bytes);
  }
  return s.data;
}

size_t Stream::scratchBytes() const { return team_->scratchBytes->load(std::memory_order_relaxed); }

void Stream::run(int64_t blocks, LoopBody body, const void* argument) {
  if (threads_ == 1 || blocks <= 1) {
    for (int64_t block = 0; block < blocks; ++block) body(argument, block, 0);
    return;
  }
  Team& team = *team_;
  if (team.workers.empty()) team.start(threads_);
  team.body = body;
  team.argument = argument;
  team.blocks = blocks;
  team.nextBlock.store(0, std::memory_order_relaxed);
  team.busy.store(threads_ - 1, std::memory_order_relaxed);
  team.epoch.fetch_add(1);
  if (team.sleeping.load() > 0) {
    { std::lock_guard<std::mutex> lock(team.mutex); }
    team.wake.notify_all();
  }
  team.work(0);
  for (int spins = 0; team.busy.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins * 8) {
      pauseCore();
    } else {
      std::this_thread::yield();
    }
  }
  if (!team.fault.empty()) {
    std::string message;
    message.swap(team.fault);
    throw std::runtime_error(message);
  }
}

}  // namespace langevin
