// What becomes of a convolution's sums, in registers, before they are written: the same for every implementation.
#pragma once
#include "../elements.h"
#include "../ptx.h"
#include "convolution_geometry.h"

namespace langevin::cuda {

/// n neighbouring elements, loaded and stored at once.
template <class T, int n>
struct alignas(sizeof(T) * n) Vector {
  T items[n];
};

template <class T, int n>
LANGEVIN_DEVICE void loadVector(const T* from, float (&to)[n]) {
  const Vector<T, n> vector = *reinterpret_cast<const Vector<T, n>*>(from);
#pragma unroll
  for (int i = 0; i < n; ++i) to[i] = widen(vector.items[i]);
}

template <int n>
LANGEVIN_DEVICE void storeVector(float* to, const float (&from)[n]) {
  Vector<float, n> vector;
#pragma unroll
  for (int i = 0; i < n; ++i) vector.items[i] = from[i];
  *reinterpret_cast<Vector<float, n>*>(to) = vector;
}
template <int n>
LANGEVIN_DEVICE void storeVector(bf16* to, const float (&from)[n]) {
  Vector<uint32_t, n / 2> vector;
#pragma unroll
  for (int i = 0; i < n / 2; ++i) vector.items[i] = ptx::packBf16(from[2 * i], from[2 * i + 1]);
  *reinterpret_cast<Vector<uint32_t, n / 2>*>(to) = vector;
}

/// n elements from `channel` of one pixel. Where `whole`, `channels` is a multiple of n; else the last may lie beyond
/// it: they read as zero and are not written.
template <int n, bool whole, class T>
LANGEVIN_DEVICE void loadChannels(const T* pixel, int channel, int channels, float (&to)[n]) {
  if constexpr (whole) {
    loadVector(pixel + channel, to);
  } else {
#pragma unroll
    for (int i = 0; i < n; ++i) to[i] = channel + i < channels ? widen(pixel[channel + i]) : 0.0f;
  }
}
template <int n, bool whole, class T>
LANGEVIN_DEVICE void storeChannels(T* pixel, int channel, int channels, const float (&from)[n]) {
  if constexpr (whole) {
    storeVector(pixel + channel, from);
  } else {
#pragma unroll
    for (int i = 0; i < n; ++i) {
      if (channel + i < channels) pixel[channel + i] = narrow<T>(from[i]);
    }
  }
}

/// z = sums + bias + shortcutBias + residual; y = z > 0 ? z : slope·z. Sign bits are the caller's to write: `store`
/// returns them.
template <class T>
struct ForwardEpilogue {
  int channels;
  const T *bias, *shortcutBias, *residual;
  T *y, *pre;
  uint8_t* signs;
  float slope;

  template <int n, bool whole>
  LANGEVIN_DEVICE uint32_t store(int64_t pixel, int channel, float (&z)[n]) const {
    const int64_t base = pixel * channels;
    if (bias) addChannels<n, whole>(bias, channel, z);
    if (shortcutBias) addChannels<n, whole>(shortcutBias, channel, z);
    if (residual) addChannels<n, whole>(residual + base, channel, z);
    if (pre) storeChannels<n, whole>(pre + base, channel, channels, z);
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < n; ++i) {
      const bool positive = z[i] > 0;
      bits |= static_cast<uint32_t>(positive) << i;
      if (slope != 1.0f && !positive) z[i] *= slope;
    }
    storeChannels<n, whole>(y + base, channel, channels, z);
    return bits;
  }

 private:
  template <int n, bool whole>
  LANGEVIN_DEVICE void addChannels(const T* pixel, int channel, float (&z)[n]) const {
    float other[n];
    loadChannels<n, whole>(pixel, channel, channels, other);
#pragma unroll
    for (int i = 0; i < n; ++i) z[i] += other[i];
  }
};

/// dx = sums·(sign bit ? 1 : slope) + add
template <class T>
struct BackwardInputEpilogue {
  int channels;
  const uint8_t* signs;
  const T* add;
  T* dx;
  float slope;

  template <int n, bool whole>
  LANGEVIN_DEVICE void store(int64_t pixel, int channel, float (&v)[n]) const {
    const int64_t base = pixel * channels;
    if (signs) {
#pragma unroll
      for (int i = 0; i < n; ++i) {
        const int64_t element = base + channel + i;
        if (!whole && channel + i >= channels) continue;
        if (!(signs[element / 8] >> (element % 8) & 1)) v[i] *= slope;
      }
    }
    if (add) {
      float other[n];
      loadChannels<n, whole>(add + base, channel, channels, other);
#pragma unroll
      for (int i = 0; i < n; ++i) v[i] += other[i];
    }
    storeChannels<n, whole>(dx + base, channel, channels, v);
  }
};

template <class T>
ForwardEpilogue<T> epilogueOf(const ConvForward& c) {
  return {static_cast<int>(c.s.cout),
          static_cast<const T*>(c.bias),
          static_cast<const T*>(c.shortcut.bias),
          static_cast<const T*>(c.residual),
          static_cast<T*>(c.y),
          static_cast<T*>(c.pre),
          c.signs,
          c.slope};
}
template <class T>
BackwardInputEpilogue<T> epilogueOf(const ConvBackwardInput& c) {
  return {static_cast<int>(c.s.cin), c.signs, static_cast<const T*>(c.add), static_cast<T*>(c.dx), c.slope};
}

}  // namespace langevin::cuda
