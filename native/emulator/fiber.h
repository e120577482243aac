// A stack of its own on which a function runs, switched to and from by its owner: ~5 ns a switch on x86-64, where the
// switch is a few lines of assembly; ucontext elsewhere.
#pragma once
#include <cstddef>

#if !defined(__x86_64__)
#  include <ucontext.h>
#endif

namespace emulator {

class Fiber {
 public:
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  static constexpr size_t kStackBytes = 256 * 1024;  // instrumented frames are several times as large
#else
  static constexpr size_t kStackBytes = 64 * 1024;
#endif

  /// Takes `kStackBytes` from `stack` on; the caller keeps that memory and guards what lies below it.
  explicit Fiber(void* stack) : stack_(static_cast<unsigned char*>(stack)) {}
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() calls entry(argument) on an empty stack. Whatever ran there before is given up; `entry` must
  /// never return: it ends by a last suspend().
  void prepare(void (*entry)(void*), void* argument);
  /// Called by the owner: runs the fiber until it suspends.
  void resume();
  /// Called on the fiber: back to the owner.
  void suspend();

  /// For AddressSanitizer: frames that are given up leave nothing behind.
  void forgetFrames();
  unsigned char* stackTop() const { return stack_ + kStackBytes; }

 private:
  unsigned char* const stack_;
#if defined(__x86_64__)
  void* inside_ = nullptr;  // stack pointers of the side that does not run
  void* outside_ = nullptr;
#else
  ucontext_t inside_, outside_;
#endif
#if defined(__SANITIZE_ADDRESS__)
  void* fakeInside_ = nullptr;
  void* fakeOutside_ = nullptr;
  const void* ownerStack_ = nullptr;
  size_t ownerBytes_ = 0;
#endif
#if defined(__SANITIZE_THREAD__)
  void* threadInside_ = nullptr;
  void* threadOutside_ = nullptr;
#endif
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;

  static void begin(Fiber* fiber);
};

}  // namespace emulator
