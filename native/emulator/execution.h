// What a kernel sees of the emulated machine: its coordinates, shared memory, barriers, and meetings of a warp's lanes.
// Behind it, block.h and cluster.cc run each CUDA thread as a fiber.
#pragma once
#include <cstddef>
#include <cstdint>

#include "vectors.h"

#define EMULATOR_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

extern EMULATOR_THREAD_LOCAL uint3 threadIdx;
extern EMULATOR_THREAD_LOCAL uint3 blockIdx;
extern EMULATOR_THREAD_LOCAL uint3 blockDim;
extern EMULATOR_THREAD_LOCAL uint3 gridDim;
constexpr int warpSize = 32;

/// A different address for each place (and each instantiation of a template) that it stands in.
#define LANGEVIN_HERE           \
  []() -> const void* {         \
    static const char here = 0; \
    return &here;               \
  }()

namespace emulator {

/// The block's variable of a declaration; undefined contents (0xCD) at first.
void* sharedVariable(const void* declaration, size_t bytes, size_t alignment);
template <class T>
T& sharedVariable(const void* declaration) {
  return *static_cast<T*>(sharedVariable(declaration, sizeof(T), alignof(T)));
}
unsigned char* dynamicShared();

/// Ends the kernel with a report that names it, the block and the thread; the device then fails every call. `status`
/// as of cudaError_t.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// bar.sync (wait) and bar.arrive; `threads` 0: all of the block.
void blockBarrier(int id, unsigned threads, bool wait);

unsigned laneOf();
unsigned activeLanes();
/// What the last of `lanes` to arrive does for all: operands by lane, null where a lane does not take part.
using Complete = void (*)(void* const* operands);
/// The lanes of one warp meet at an instruction. Each leaves an operand that lives until it returns.
void meet(const char* instruction, uint32_t lanes, void* operand, Complete complete);
/// Lets other threads run.
void yield();

// ---- shuffles and votes ----

struct Shuffle {
  uint64_t value;
  unsigned source;
  uint64_t result;
};
void completeShuffle(void* const* operands);

template <class T>
T shuffle(const char* instruction, uint32_t lanes, T value, unsigned source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  Shuffle s{0, source, 0};
  __builtin_memcpy(&s.value, &value, sizeof(T));
  meet(instruction, lanes, &s, completeShuffle);
  __builtin_memcpy(&value, &s.result, sizeof(T));
  return value;
}

/// The lanes of `lanes` whose predicate is not zero.
uint32_t vote(const char* instruction, uint32_t lanes, bool predicate);
/// The sum over the block of the predicates.
int voteOfBlock(bool predicate);

}  // namespace emulator

inline void __syncthreads() { emulator::blockBarrier(0, 0, true); }
inline int __syncthreads_count(int predicate) { return emulator::voteOfBlock(predicate != 0); }
inline int __syncthreads_or(int predicate) { return emulator::voteOfBlock(predicate != 0) != 0; }
inline int __syncthreads_and(int predicate) { return emulator::voteOfBlock(predicate == 0) == 0; }

inline void __syncwarp(uint32_t lanes = 0xffffffffu) {
  emulator::meet("__syncwarp", lanes, nullptr, [](void* const*) {});
}
inline uint32_t __ballot_sync(uint32_t lanes, int predicate) {
  return emulator::vote("__ballot_sync", lanes, predicate != 0);
}
inline int __any_sync(uint32_t lanes, int predicate) {
  return emulator::vote("__any_sync", lanes, predicate != 0) != 0;
}
inline int __all_sync(uint32_t lanes, int predicate) {
  return emulator::vote("__all_sync", lanes, predicate == 0) == 0;
}
inline uint32_t __activemask() { return emulator::activeLanes(); }

template <class T>
T __shfl_sync(uint32_t lanes, T value, int source, int width = warpSize) {
  const unsigned segment = emulator::laneOf() & ~static_cast<unsigned>(width - 1);
  return emulator::shuffle("__shfl_sync", lanes, value, segment | (static_cast<unsigned>(source) & (width - 1)));
}
template <class T>
T __shfl_up_sync(uint32_t lanes, T value, unsigned distance, int width = warpSize) {
  const unsigned lane = emulator::laneOf(), within = lane & static_cast<unsigned>(width - 1);
  return emulator::shuffle("__shfl_up_sync", lanes, value, within < distance ? lane : lane - distance);
}
template <class T>
T __shfl_down_sync(uint32_t lanes, T value, unsigned distance, int width = warpSize) {
  const unsigned lane = emulator::laneOf(), within = lane & static_cast<unsigned>(width - 1);
  return emulator::shuffle("__shfl_down_sync", lanes, value,
                           within + distance < static_cast<unsigned>(width) ? lane + distance : lane);
}
template <class T>
T __shfl_xor_sync(uint32_t lanes, T value, int mask, int width = warpSize) {
  const unsigned lane = emulator::laneOf(), source = lane ^ static_cast<unsigned>(mask);
  const unsigned end = (lane & ~static_cast<unsigned>(width - 1)) + static_cast<unsigned>(width);
  return emulator::shuffle("__shfl_xor_sync", lanes, value, source < end ? source : lane);
}

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() {}
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __nanosleep(unsigned) { emulator::yield(); }
[[noreturn]] inline void __trap() { emulator::fail("__trap()"); }
