// Random fills and dropout: Philox4x32-10 and Box–Muller, four elements of one counter a thread.
//
// 4 bytes written per f32 element (2 per bf16; dropout reads as many). Philox is 20 products of 32 × 32 → 64 bits and
// some 60 other integer operations for four elements, two pairs of normals about 120 more: on an H100 (16.7·10¹²
// integer operations/s) about 0.8·10¹² words or 0.35·10¹² normals a second, where 3.0 TB/s would store 0.75·10¹²
// elements. So uniform numbers run at the speed of memory, normals at half of it.
//
// Bits are the same as every other backend's: IEEE operations only, never fused (the build sets -fmad=false).
//
// Not measured on hardware.
#include <cmath>

#include "../groups.h"
#include "../kernels.h"
#include "../random.h"

namespace langevin::cuda {

namespace {

template <class T>
__global__ void uniformKernel(T* y, int64_t n, float low, float range, Philox philox, const int64_t* stepOffset) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t begin = firstGroup<kDrawn>(); begin < n; begin += groupStride<kDrawn>()) {
    const Words words = randomWords(philox, *stepOffset, begin / kDrawn);
    float v[kDrawn];
    for (int i = 0; i < kDrawn; ++i) v[i] = low + range * uniformOf(words.w[i]);
    storeGroup(y, begin, n, narrowGroup<T>(v));
  }
}

template <class T>
__global__ void normalKernel(T* y, int64_t n, float mean, float std, Philox philox, const int64_t* stepOffset) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t begin = firstGroup<kDrawn>(); begin < n; begin += groupStride<kDrawn>()) {
    float v[kDrawn];
    randomNormals(philox, *stepOffset, begin / kDrawn, v);
    for (int i = 0; i < kDrawn; ++i) v[i] = mean + std * v[i];
    storeGroup(y, begin, n, narrowGroup<T>(v));
  }
}

__global__ void intKernel(int32_t* y, int64_t n, int64_t low, uint64_t range, Philox philox,
                          const int64_t* stepOffset) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t begin = firstGroup<kDrawn>(); begin < n; begin += groupStride<kDrawn>()) {
    const Words words = randomWords(philox, *stepOffset, begin / kDrawn);
    Group<int32_t, kDrawn> v;
    for (int i = 0; i < kDrawn; ++i)
      v.v[i] = static_cast<int32_t>(low + static_cast<int64_t>(words.w[i] * range >> 32));
    storeGroup(y, begin, n, v);
  }
}

/// Elements whose upper 24 bits are below `threshold` become 0.
template <class T>
__global__ void dropoutKernel(const T* x, T* y, int64_t n, float scale, uint32_t threshold, Philox philox,
                              const int64_t* stepOffset) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t begin = firstGroup<kDrawn>(); begin < n; begin += groupStride<kDrawn>()) {
    const Words words = randomWords(philox, *stepOffset, begin / kDrawn);
    auto v = widenGroup(loadGroup<kDrawn>(x, begin, n));
    for (int i = 0; i < kDrawn; ++i) v.v[i] *= words.w[i] >> 8 >= threshold ? scale : 0.0f;
    storeGroup(y, begin, n, narrowGroup<T>(v.v));
  }
}

void randomUniform(Stream& stream, Out y, int64_t n, double low, double high, Philox philox) {
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    T* const target = y.as<T>(n);
    stream.launch(uniformKernel<T>, overlapped(loopOverGroups<kDrawn>(stream, n), target), target, n,
                  static_cast<float>(low), static_cast<float>(high - low), philox, stream.stepOffset());
  });
}

void randomNormal(Stream& stream, Out y, int64_t n, double mean, double std, Philox philox) {
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    T* const target = y.as<T>(n);
    stream.launch(normalKernel<T>, overlapped(loopOverGroups<kDrawn>(stream, n), target), target, n,
                  static_cast<float>(mean), static_cast<float>(std), philox, stream.stepOffset());
  });
}

void randomInt(Stream& stream, Out y, int64_t n, int64_t low, int64_t high, Philox philox) {
  int32_t* const target = y.as<int32_t>(n);
  if (low < INT32_MIN || high > int64_t{INT32_MAX} + 1 || low >= high) {
    fault("no i32 in [%lld, %lld)", static_cast<long long>(low), static_cast<long long>(high));
  }
  stream.launch(intKernel, overlapped(loopOverGroups<kDrawn>(stream, n), target), target, n, low,
                static_cast<uint64_t>(high - low), philox, stream.stepOffset());
}

void dropout(Stream& stream, In x, Out y, int64_t n, double p, Philox philox) {
  if (!(p >= 0 && p <= 1)) fault("a probability of %g", p);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    const auto threshold = static_cast<uint32_t>(std::ceil(p * 0x1p24));  // u ≥ p, exactly
    stream.launch(dropoutKernel<T>, overlapped(loopOverGroups<kDrawn>(stream, n), target), source, target, n,
                  static_cast<float>(1 / (1 - p)), threshold, philox, stream.stepOffset());
  });
}

}  // namespace

void fillRandom(OpTable& ops) {
  ops.randomUniform = randomUniform;
  ops.randomNormal = randomNormal;
  ops.randomInt = randomInt;
  ops.dropout = dropout;
}

}  // namespace langevin::cuda
