#include "signals.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "memory.h"
#include "multiprocessor.h"

namespace emulator {

namespace {

constexpr size_t kSignalStackBytes = 64 * 1024;

std::mutex mutex;
int running = 0;  // OS threads that run kernels
struct sigaction previousSegv, previousBus;

struct SignalStack {
  void* memory = mmap(nullptr, kSignalStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ~SignalStack() { munmap(memory, kSignalStackBytes); }
};
SignalStack& signalStack() {
  thread_local SignalStack stack;
  return stack;
}

void pass(int signal, siginfo_t* info, void* context) {
  const struct sigaction& previous = signal == SIGSEGV ? previousSegv : previousBus;
  if (previous.sa_flags & SA_SIGINFO) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(signal);
  ::signal(signal, SIG_DFL);  // the access is tried again, and ends the process
}

/// Runs on the stopped thread's own fiber, on an empty stack.
[[noreturn]] void giveUp() {
  Multiprocessor::ofThisThread().failAfterSignal();
  std::abort();
}

void handle(int signal, siginfo_t* info, void* context) {
  if (!self) return pass(signal, info, context);
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  char text[200];
  // Misaligned vector accesses and addresses that no memory can have come without an address.
  if (info->si_code == SI_KERNEL || (signal == SIGBUS && info->si_code == BUS_ADRALN)) {
    processor.signalStatus = cudaErrorMisalignedAddress;
    std::snprintf(text, sizeof text, "misaligned access, or an address that no memory has");
  } else if (processor.isStackGuard(info->si_addr)) {
    processor.signalStatus = cudaErrorHardwareStackError;
    std::snprintf(text, sizeof text, "the thread's stack of %zu bytes overflowed", Fiber::kStackBytes);
  } else {
    processor.signalStatus = cudaErrorIllegalAddress;
    std::snprintf(text, sizeof text, "out-of-bounds access at %p, %s", info->si_addr,
                  describeAddress(info->si_addr).c_str());
  }
  processor.signalMessage = text;
#if defined(__x86_64__) && defined(__linux__)
  auto* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  self->fiber->forgetFrames();
  registers[REG_RSP] = reinterpret_cast<greg_t>(self->fiber->stackTop() - 8) & ~greg_t{15};
  registers[REG_RSP] -= 8;  // as after a call
  registers[REG_RIP] = reinterpret_cast<greg_t>(&giveUp);
#else
  std::fprintf(stderr, "emulator: %s\n", text);
  std::abort();
#endif
}

}  // namespace

KernelSignals::KernelSignals() {
  SignalStack& stack = signalStack();
  stack_t own{};
  own.ss_sp = stack.memory;
  own.ss_size = kSignalStackBytes;
  sigaltstack(&own, &previousStack_);
  const std::lock_guard<std::mutex> lock(mutex);
  if (running++ > 0) return;
  struct sigaction action {};
  action.sa_sigaction = &handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &previousSegv);
  sigaction(SIGBUS, &action, &previousBus);
}

KernelSignals::~KernelSignals() {
  const std::lock_guard<std::mutex> lock(mutex);
  if (--running == 0) {
    sigaction(SIGSEGV, &previousSegv, nullptr);
    sigaction(SIGBUS, &previousBus, nullptr);
  }
  sigaltstack(&previousStack_, nullptr);
}

}  // namespace emulator
