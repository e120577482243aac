// The register-blocked multiply at the heart of conv2d, its input gradient and matmul.
//
// One call computes R·S output pixels × Q vectors of output channels: R segments of S neighbouring pixels each,
//   sums[pixel][channel] = Σ_step Σ_{c < depth} segment[r][offset(step) + s·pitch + c] · weight[step][c][channel].
// A step is one kernel tap of one block of up to 16 input channels. The sums stay in registers throughout; each k costs
// Q vector loads and R·S broadcasts for R·S·Q FMAs. Because neighbouring pixels of the packed input lie a fixed `pitch`
// apart, every broadcast is [segment pointer + constant]: R pointers serve R·S pixels.
//
// Zen 4 starts one 512-bit FMA and about one 512-bit load a cycle, so a tile needs more FMAs than loads and, to hide
// the latency of 4, at least 4 sums. With Q = 2 a 12-pixel tile loads 14 times per 24 FMAs; a layer of 16 output
// channels has Q = 1, and a 28-pixel tile then loads 29 times per 28 FMAs. The sums of a pixel are added in the order
// of k, whatever the tile and the instruction set; where `accumulate`, this call's sum is added to the earlier ones at
// the end, so that the rounding of a long sum grows with a call's length and not with all of it.
#pragma once
#include "convolution_factors.h"

namespace langevin::LANGEVIN_ISA {

/// Channels of one block of the packed input; neighbouring pixels are this far apart.
constexpr int kChannelBlock = 16;

/// The most pixels and vectors that any kernel computes.
constexpr int kMaxPixels = 28, kMaxVectors = 2, kMaxSegments = 6;

/// Memory that will be needed soon. The kernel asks for one address every two k: a burst of requests would fill the
/// core's 24 miss buffers and stall it, a trickle costs nothing.
struct Ahead {
  const char* next;
  int64_t step;  // bytes
};
constexpr int kAheadInterval = 2;

template <class T>
struct MultiplyKernel {
  using Sum = ComputeOf<T>;
  int segment;   // S, pixels of a segment
  int segments;  // R
  void (*run)(const T* const* segments, const int64_t* offsets, int64_t steps, int64_t depth, const T* weight,
              Sum* sums, bool accumulate, Ahead ahead);
};

/// depth is a multiple of 4 where pitch is kChannelBlock.
template <class T, int S, int R, int Q, int pitch>
static void multiply(const T* const* segments, const int64_t* offsets, int64_t steps, int64_t depth, const T* weight,
                     ComputeOf<T>* sums, bool accumulate, Ahead ahead) {
  using V = Vec<ComputeOf<T>>;
  using F = Factors<T>;
  constexpr int unroll = pitch == kChannelBlock ? 4 : F::channels;
  static_assert(S * R <= kMaxPixels && Q <= kMaxVectors && R <= kMaxSegments, "a tile beyond its buffer");
  V sum[R][S][Q];
#pragma GCC unroll 32
  for (int p = 0; p < R * S; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) sum[p / S][p % S][q] = V::zero();
  }
  for (int64_t step = 0; step < steps; ++step) {
    const T* x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = segments[r] + offsets[step];
    for (int64_t c = 0; c < depth; c += unroll) {
#pragma GCC unroll 4
      for (int u = 0; u < unroll; u += F::channels) {
        if (pitch == kChannelBlock && u % kAheadInterval == 0) {
          __builtin_prefetch(ahead.next, 0, 2);
          ahead.next += ahead.step;
        }
        typename F::Weights w[Q];
#pragma GCC unroll 4
        for (int q = 0; q < Q; ++q) w[q] = F::weights(weight + (u * Q + q * F::channels) * V::lanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
          for (int s = 0; s < S; ++s) {
            const typename F::Input b = F::input(x[r] + s * pitch + c + u);
#pragma GCC unroll 4
            for (int q = 0; q < Q; ++q) sum[r][s][q] = F::add(b, w[q], sum[r][s][q]);
          }
        }
      }
      weight += unroll * Q * V::lanes;
    }
  }
#pragma GCC unroll 32
  for (int p = 0; p < R * S; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      ComputeOf<T>* const target = sums + (p * Q + q) * V::lanes;
      (accumulate ? V::load(target) + sum[p / S][p % S][q] : sum[p / S][p % S][q]).store(target);
    }
  }
}

/// The kernel of Q vectors that wastes the fewest pixels on rows of `columns`. Segments of 7 divide 7, 14 and 28;
/// segments of 4 and 8 divide 8, 16 and 32.
template <class T, int pitch>
static MultiplyKernel<T> chooseKernel(int64_t columns, int vectors) {
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers
  const MultiplyKernel<T> wide[] = {{7, 2, multiply<T, 7, 2, 2, pitch>}, {4, 3, multiply<T, 4, 3, 2, pitch>}};
  const MultiplyKernel<T> narrow[] = {
      {7, 4, multiply<T, 7, 4, 1, pitch>}, {8, 3, multiply<T, 8, 3, 1, pitch>}, {4, 6, multiply<T, 4, 6, 1, pitch>}};
#else  // 16 registers
  const MultiplyKernel<T> wide[] = {{2, 3, multiply<T, 2, 3, 2, pitch>}, {1, 6, multiply<T, 1, 6, 2, pitch>}};
  const MultiplyKernel<T> narrow[] = {{4, 3, multiply<T, 4, 3, 1, pitch>}, {2, 6, multiply<T, 2, 6, 1, pitch>}};
#endif
  const MultiplyKernel<T>* choices = vectors == 2 ? wide : narrow;
  const int count = static_cast<int>(vectors == 2 ? sizeof wide / sizeof *wide : sizeof narrow / sizeof *narrow);
  int best = 0;
  int64_t bestWidth = INT64_MAX;
  for (int i = 0; i < count; ++i) {
    const int64_t width = (columns + choices[i].segment - 1) / choices[i].segment * choices[i].segment;
    if (width < bestWidth) best = i, bestWidth = width;
  }
  return choices[best];
}

}  // namespace langevin::LANGEVIN_ISA
