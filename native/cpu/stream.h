// What a kernel gets from the CPU device: parallel loops over fixed blocks, and scratch memory.
// Kernel files are compiled once per instruction set, so this header keeps them free of <thread> and its like: no
// inline function of the standard library built for AVX-512 can be linked into code that runs on an older machine.
#pragma once
#include "../core/op_table.h"

namespace langevin {

/// Where a call's random numbers lie: its counter, and the number of its element 0.
struct Draw {
  Philox philox;
  int64_t first;
};

/// Used on the executor's thread only (setThreads: while it is idle).
class Stream {
 public:
  explicit Stream(int threads);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  LANGEVIN_INLINE int threads() const { return threads_; }
  void setThreads(int threads);

  /// Whether convolutions are to be computed as they are defined: no Winograd (kernels/convolution_winograd.h).
  LANGEVIN_INLINE bool strict() const { return strict_; }
  LANGEVIN_INLINE void setStrict(bool strict) { strict_ = strict; }

  /// Random numbers are drawn `steps` steps and `elements` elements (a multiple of 4) further on than calls say: what a
  /// replay moves (graphs.h).
  LANGEVIN_INLINE void shiftRandom(int64_t steps, int64_t elements) { shift_ = {steps, elements}; }
  LANGEVIN_INLINE Draw draw(const Philox& p) const {
    return {{p.seed, p.step + shift_.steps, p.stream, p.purpose}, shift_.elements};
  }

  /// A stream of one thread, for what this thread of a loop's does by itself.
  Stream& alone(int thread);

  /// Calls body(block, thread) for every block in [0, blocks), on any thread, in any order. The blocks are fixed by the
  /// caller and never by the number of threads: that is what makes results independent of it. A fault thrown by a body
  /// is thrown again here.
  template <class Body>
  LANGEVIN_INLINE void parallel(int64_t blocks, const Body& body) {
    struct Call {
      static void run(const void* body, int64_t block, int thread) { (*static_cast<const Body*>(body))(block, thread); }
    };
    run(blocks, &Call::run, &body);
  }

  /// At least `bytes` of 4096-byte aligned memory of this thread's own, contents undefined; valid until its next call
  /// with the same slot (0 to 3). Kept between ops.
  void* scratch(int thread, int slot, size_t bytes);

  /// Bytes of scratch memory held, for memory(). May be called from any thread.
  size_t scratchBytes() const;

 private:
  using LoopBody = void (*)(const void* argument, int64_t block, int thread);
  struct Team;  // the worker threads, the loop they run and the scratch memory: stream.cc

  explicit Stream(Team* team) : team_(team) {}
  void run(int64_t blocks, LoopBody body, const void* argument);
  void freeScratch(size_t from);

  int threads_ = 1;
  bool strict_ = false;
  struct {
    int64_t steps, elements;
  } shift_ = {0, 0};
  Team* const team_;
};

}  // namespace langevin
