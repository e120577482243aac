// The state of blocks that run: threads, warps, barriers, shared memory.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "async_state.h"
#include "cuda_runtime.h"
#include "fiber.h"
#include "random.h"

namespace emulator {

struct Block;
struct Warp;

/// One CUDA thread of a block that runs.
struct Thread {
  enum class State : uint8_t { fresh, running, ready, waiting, exited };
  uint3 index{};
  unsigned linear = 0;
  unsigned lane = 0;
  State state = State::fresh;
  Fiber* fiber = nullptr;
  Block* block = nullptr;
  Warp* warp = nullptr;
  // What a waiting thread waits for, for reports.
  const char* waitsAt = nullptr;
  const void* waitsFor = nullptr;

  ThreadAsync& async() const;
};

struct Warp {
  /// Lanes that have come to an instruction that lanes execute together.
  struct Meeting {
    uint32_t lanes = 0;
    uint32_t arrived = 0;
    const char* instruction = nullptr;
    Complete complete = nullptr;
  };
  Thread* lanes = nullptr;  // of lane 0
  uint32_t present = 0;
  uint32_t exited = 0;
  Meeting meetings[32];
  uint32_t meetingsUnderWay = 0;  // a bit for each that is
  void* operands[32];
  unsigned registers = 0;  // per thread, as setmaxnreg left them
};

struct NamedBarrier {
  unsigned expected = 0;  // 0: nobody has arrived
  unsigned arrived = 0;
  std::vector<Thread*> waiting;
};

/// Bytes of static shared memory that a block may declare.
constexpr size_t kStaticSharedBytes = 48 * 1024;
/// What Hopper lets a block have in all, and what it has without opting in.
constexpr size_t kMostSharedBytes = 227 * 1024;
constexpr size_t kDefaultSharedBytes = 48 * 1024;
/// Between variables, so that small overruns are seen when the block ends.
constexpr size_t kSharedGap = 64;
constexpr unsigned char kSharedPoison = 0xCD;

struct SharedVariable {
  const void* declaration;
  size_t offset, bytes;
};

struct Block {
  uint3 index{};
  unsigned rank = 0;  // in its cluster
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  NamedBarrier barriers[16];
  unsigned exited = 0;
  int votes = 0;
  int voteResult = 0;
  // Memory: statics grow up from `shared`; the dynamic part follows at a fixed place, ending at a guard page.
  unsigned char* shared = nullptr;
  unsigned char* dynamic = nullptr;
  size_t dynamicBytes = 0;
  size_t staticBytes = 0;
  std::vector<SharedVariable> variables;
  unsigned char* asyncView = nullptr;  // the asynchronous proxy's view of `shared`
  // Work under way.
  std::vector<ThreadAsync> async;  // by thread, once one needs it
  std::vector<MemoryBarrier> memoryBarriers;
  std::vector<Warpgroup> warpgroups;
  std::vector<Thread*> registerWaiters;
  bool waitedForPrevious = false;

  bool hasEnded() const { return exited == threads.size(); }
  /// Whether [p, p + bytes) lies in one variable or in the dynamic part.
  bool contains(const void* p, size_t bytes) const;
  unsigned char* inAsyncView(const void* p) const {
    return asyncView + (static_cast<const unsigned char*>(p) - shared);
  }
};

inline ThreadAsync& Thread::async() const {
  if (block->async.empty()) block->async.resize(block->threads.size());
  return block->async[linear];
}

struct Launch {
  const void* kernel = nullptr;
  std::function<void()> body;
  dim3 grid, block;
  size_t dynamicBytes = 0;
  size_t sharedLimit = kDefaultSharedBytes;  // static and dynamic
  unsigned cluster = 1;
  bool overlapsPrevious = false;
  uint64_t number = 0;
};

/// A kernel that broke a rule of the machine.
struct LaunchError {
  cudaError_t status;
  std::string report;
};

/// The thread that runs, null outside kernels.
extern EMULATOR_THREAD_LOCAL Thread* self;

/// The running thread gives way until wake(): `what` and `object` say at what, for reports.
void waitAt(const char* what, const void* object);
void wake(Thread& thread);

/// Like fail(), with the error that the device gives.
[[noreturn]] void failWith(cudaError_t status, const char* format, ...) __attribute__((format(printf, 2, 3)));

/// When a thread ends: those who wait for it are told, and nothing that it began may be under way.
void leaveBarriers(Thread& thread);
void leaveAsync(Thread& thread);

}  // namespace emulator
