// What this machine can do at most, measured: multiply-adds per second from registers, and bytes per second through
// memory. Built by bench/limits.mjs with -O3 -march=native. Usage: limits THREADS SECONDS; prints one JSON object.
// limits THREADS SECONDS copy: a competitor (protocol: src/cli/peer.ts) that answers every line with a copy's rate.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vector __attribute__((vector_size(kBytes)));
constexpr int kLanes = kBytes / 4;

using Clock = std::chrono::steady_clock;
double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Twelve independent chains hide a latency of up to six cycles at two multiply-adds a cycle.
double multiplyAdds(double seconds) {
  constexpr int kChains = 12;
  Vector a[kChains];
  for (int i = 0; i < kChains; ++i) a[i] = Vector{} + 1.0f + static_cast<float>(i);
  Vector scale = Vector{} + 0.999f, shift = Vector{} + 1e-3f;
  asm volatile("" : "+x"(scale), "+x"(shift));
  double operations = 0;
  const Clock::time_point start = Clock::now();
  do {
    for (int repeat = 0; repeat < 20000; ++repeat) {
      for (int i = 0; i < kChains; ++i) a[i] = a[i] * scale + shift;  // contracted to one instruction
    }
    operations += 20000.0 * kChains * kLanes * 2;
  } while (secondsSince(start) < seconds);
  const double elapsed = secondsSince(start);
  for (int i = 0; i < kChains; ++i) asm volatile("" : : "x"(a[i]));
  return operations / elapsed;
}

/// Bytes read and written per second by a copy between arrays far larger than the caches.
double copy(float* to, const float* from, size_t count, double seconds) {
  double bytes = 0;
  const Clock::time_point start = Clock::now();
  do {
    for (size_t i = 0; i < count; ++i) to[i] = from[i];
    asm volatile("" : : "r"(to) : "memory");
    bytes += 2.0 * 4 * static_cast<double>(count);
  } while (secondsSince(start) < seconds);
  return bytes / secondsSince(start);
}

/// The sum over threads that start together.
template <class F>
double together(int threads, const F& run) {
  std::atomic<int> ready{0};
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> team;
  for (int t = 0; t < threads; ++t) {
    team.emplace_back([&, t] {
      ++ready;
      while (ready < threads) std::this_thread::yield();
      rates[static_cast<size_t>(t)] = run(t);
    });
  }
  double total = 0;
  for (int t = 0; t < threads; ++t) {
    team[static_cast<size_t>(t)].join();
    total += rates[static_cast<size_t>(t)];
  }
  return total;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1;
  const size_t count = size_t{32} << 20;  // 128 MiB each
  std::vector<std::vector<float>> from(static_cast<size_t>(threads)), to(static_cast<size_t>(threads));
  for (auto& array : from) array.assign(count, 1.0f);
  for (auto& array : to) array.assign(count, 0.0f);
  const auto copies = [&] {
    return together(threads, [&](int t) {
      return copy(to[static_cast<size_t>(t)].data(), from[static_cast<size_t>(t)].data(), count, seconds);
    });
  };
  if (argc > 3) {
    std::puts("{\"name\": \"copy\"}");
    std::fflush(stdout);
    for (int c; (c = std::getchar()) != EOF;) {
      if (c != '\n') continue;
      std::printf("{\"copyGBs\": %.1f}\n", copies() / 1e9);
      std::fflush(stdout);
    }
    return 0;
  }
  const double flops = together(threads, [&](int) { return multiplyAdds(seconds); });
  std::printf("{\"vectorBits\": %d, \"gflops\": %.1f, \"copyGBs\": %.1f}\n", kBytes * 8, flops / 1e9, copies() / 1e9);
}
