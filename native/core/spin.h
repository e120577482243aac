// How long threads of a device wait for each other with their eyes open.
#pragma once

namespace langevin {

/// Spinning this long (about 20 µs) bridges the gap between two ops; beyond it a sleep costs less than the core.
constexpr int kSpins = 600;

/// One spin: tells the core that its other thread may run.
inline void pauseCore() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace langevin
