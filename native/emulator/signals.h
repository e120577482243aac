// Accesses outside all memory, found by guard pages. While a kernel runs on any OS thread, SIGSEGV and SIGBUS come
// here; what a kernel did becomes a report that ends the kernel, everything else goes to the handler that was there
// before.
#pragma once
#include <signal.h>

namespace emulator {

/// Lives while the calling OS thread runs a kernel.
class KernelSignals {
 public:
  KernelSignals();
  ~KernelSignals();
  KernelSignals(const KernelSignals&) = delete;
  KernelSignals& operator=(const KernelSignals&) = delete;

 private:
  stack_t previousStack_;
};

}  // namespace emulator
