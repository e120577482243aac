// Runs the blocks of a launch, one cluster at a time, on the OS thread that asks for it. Each CUDA thread is a fiber,
// but threads that never wait run one after another on the same fiber, so that they cost little more than a call.
#pragma once
#include <memory>
#include <vector>

#include "block.h"

namespace emulator {

class Multiprocessor {
 public:
  /// The calling OS thread's own; its stacks and memory are kept between launches.
  static Multiprocessor& ofThisThread();
  ~Multiprocessor();

  /// Runs a whole grid. Throws LaunchError where the kernel breaks a rule. With `previous`, the launch before it, a
  /// cluster of this one starts first and goes as far as it can: until then nothing of `previous` has happened.
  void run(const Launch& launch, const Launch* previous = nullptr);
  /// Whether a kernel has been seen to let the next launch start before its own end.
  static bool letsNextStartEarly(const void* kernel);

  // ---- for what runs inside ----
  void waitAt(const char* what, const void* object);
  void wake(Thread& thread);
  void yield();
  [[noreturn]] void fail(cudaError_t status, const std::string& message);
  void* sharedVariable(const void* declaration, size_t bytes, size_t alignment);
  Random& random() { return random_; }
  /// Whether asynchronous work that could complete now does; how often is chosen for each launch.
  bool completesEarly() { return random_.oneIn(asyncDelay_); }
  void waitForPrevious();
  void allowNext() { allowsNext_ = true; }
  size_t blockCount() const { return blockCount_; }
  Block& block(size_t rank) { return blocks_[rank]; }
  size_t threadCount() const { return total_; }

  // ---- boxes under way (bulk_copies.cc) ----
  std::vector<BoxLoad> loads;
  std::vector<BoxStore> stores;
  void complete(const BoxLoad& load);
  void readShared(BoxStore& store);
  void write(BoxStore& store);
  bool completeSome();

  // ---- the cluster's barrier (clusters.cc) ----
  struct {
    size_t arrived = 0;
    size_t ended = 0;              // threads that need not arrive any more …
    size_t endedAfterArrival = 0;  // … and those of which that holds from the next phase on
    uint64_t phase = 0;
    std::vector<Thread*> waiting;
  } clusterBarrier;

  const Launch& launch() const { return *launch_; }
  /// The message of a fault that a signal found, on the fiber that it stopped.
  void failAfterSignal();
  cudaError_t signalStatus = cudaSuccess;
  std::string signalMessage;
  /// Whether an address is the guard of a fiber's stack.
  bool isStackGuard(const void* address) const;

 private:
  struct Stacks {
    unsigned char* memory;
    size_t bytes;
  };

  Multiprocessor();
  void runPrevious();
  void runCluster(uint3 firstBlock);
  void startBlock(Block& block, uint3 index, unsigned rank);
  void finishBlock(Block& block);
  void schedule();
  bool resumesNext();
  void resume(Fiber& fiber);
  void runThreads(Fiber& fiber);
  Thread* nextFresh();
  Fiber& idleFiber();
  void growStacks();
  void growShared(size_t blocks);
  [[noreturn]] void reportDeadlock();
  std::string describe(const Thread* thread) const;

  const Launch* launch_ = nullptr;
  const Launch* previous_ = nullptr;  // still to be run
  std::vector<Thread*> waitForPrevious_;
  bool allowsNext_ = false;
  Random random_{0};
  uint32_t asyncDelay_ = 1;
  // How the next thread is chosen, drawn for each cluster, so that some run far ahead of others now and then.
  enum class Prefer { any, started, fresh } prefer_ = Prefer::any;
  bool latestFirst_ = false;   // of those that can go on
  std::vector<Block> blocks_;  // of the cluster that runs
  size_t blockCount_ = 0;
  std::vector<Thread*> ready_;
  size_t fresh_ = 0, started_ = 0, freshStart_ = 0, freshStride_ = 1, total_ = 0, exited_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  std::vector<Stacks> stacks_;
  Fiber* running_ = nullptr;
  bool failed_ = false;
  LaunchError failure_{cudaSuccess, ""};
};

}  // namespace emulator
