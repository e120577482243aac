#include "fiber.h"

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#  include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#  include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// Saves the registers that a call must keep on the stack that is left, and takes them from the stack that is entered.
extern "C" void emulatorSwitchStacks(void** left, void* entered) __attribute__((visibility("hidden")));
extern "C" void emulatorStartFiber() __attribute__((visibility("hidden")));
asm(R"(
.text
.globl emulatorSwitchStacks
.hidden emulatorSwitchStacks
.type emulatorSwitchStacks, @function
emulatorSwitchStacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulatorSwitchStacks, .-emulatorSwitchStacks
.globl emulatorStartFiber
.hidden emulatorStartFiber
.type emulatorStartFiber, @function
emulatorStartFiber:
  movq %rbx, %rdi
  callq *%rbp
  ud2
.size emulatorStartFiber, .-emulatorStartFiber
)");
#endif

namespace emulator {

void Fiber::forgetFrames() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
}

void Fiber::begin(Fiber* fiber) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &fiber->ownerStack_, &fiber->ownerBytes_);
#endif
  fiber->entry_(fiber->argument_);
}

#if defined(__x86_64__)

void Fiber::prepare(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  forgetFrames();
  // The frame that emulatorSwitchStacks pops: r15, r14, r13, r12, rbx, rbp, return address.
  void** top = reinterpret_cast<void**>(stackTop()) - 2;
  top[0] = top[1] = nullptr;
  *--top = reinterpret_cast<void*>(&emulatorStartFiber);
  *--top = reinterpret_cast<void*>(&Fiber::begin);  // rbp
  *--top = this;                                    // rbx
  for (int i = 0; i < 4; ++i) *--top = nullptr;
  inside_ = top;
}

#else

namespace {
void enter(unsigned low, unsigned high, unsigned beginLow, unsigned beginHigh) {
  auto* fiber = reinterpret_cast<Fiber*>(static_cast<uintptr_t>(low) | static_cast<uintptr_t>(high) << 32);
  reinterpret_cast<void (*)(Fiber*)>(static_cast<uintptr_t>(beginLow) | static_cast<uintptr_t>(beginHigh) << 32)(fiber);
}
}  // namespace

void Fiber::prepare(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  forgetFrames();
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_;
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  const auto self = reinterpret_cast<uint64_t>(this);
  const auto begin = reinterpret_cast<uint64_t>(&Fiber::begin);
  makecontext(&inside_, reinterpret_cast<void (*)()>(&enter), 4, static_cast<unsigned>(self),
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(begin), static_cast<unsigned>(begin >> 32));
}

#endif

void Fiber::resume() {
#if defined(__SANITIZE_THREAD__)
  if (!threadInside_) threadInside_ = __tsan_create_fiber(0);
  threadOutside_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(threadInside_, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fakeOutside_, stack_, kStackBytes);
#endif
#if defined(__x86_64__)
  emulatorSwitchStacks(&outside_, inside_);
#else
  swapcontext(&outside_, &inside_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fakeOutside_, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(threadOutside_, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fakeInside_, ownerStack_, ownerBytes_);
#endif
#if defined(__x86_64__)
  emulatorSwitchStacks(&inside_, outside_);
#else
  swapcontext(&inside_, &outside_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fakeInside_, &ownerStack_, &ownerBytes_);
#endif
}

}  // namespace emulator
