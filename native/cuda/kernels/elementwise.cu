// accumulate, leakyRelu and its backward pass: the element-wise ops of the training and sampling loops.
//
// Bytes per element, f32 (bf16): accumulate 12 (6), leakyRelu 8⅛ (4⅛), leakyReluBackward 8⅛ (4⅛), with add 12⅛ (6⅛);
// one to three operations. All are bound by memory: at 3.0 TB/s (H100) the activation of a WideResNet's first stage,
// 64 × 32 × 32 × 160 in bf16, is 14 µs for leakyRelu. The sign bits make what is saved for the backward pass 16 or 32
// times smaller than the activation.
//
// A thread takes eight elements, one byte of sign bits, so that no byte is shared between threads.
//
// Not measured on hardware.
#include "../groups.h"
#include "../kernels.h"
#include "elementwise.h"

namespace langevin::cuda {

namespace {

template <class T>
__global__ void accumulateKernel(const T* x, T* y, int64_t n) {
  ptx::waitForPrevious();
  ptx::allowNext();
  constexpr int N = kGroup<T>;
  for (int64_t begin = firstGroup<N>(); begin < n; begin += groupStride<N>()) {
    auto sum = widenGroup(loadGroup<N>(y, begin, n));
    const auto term = widenGroup(loadGroup<N>(x, begin, n));
    for (int i = 0; i < N; ++i) sum.v[i] += term.v[i];
    storeGroup(y, begin, n, narrowGroup<T>(sum.v));
  }
}

void accumulate(Stream& stream, In x, InOut y, int64_t n) {
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    stream.launch(accumulateKernel<T>, overlapped(loopOverGroups<kGroup<T>>(stream, n), target), source, target, n);
  });
}

/// Eight elements in loads of at most sixteen bytes.
constexpr int kOctet = 8;
template <class T>
LANGEVIN_DEVICE Group<float, kOctet> loadOctet(const T* x, int64_t begin, int64_t n) {
  constexpr int N = kGroup<T>;
  Group<float, kOctet> octet;
  for (int part = 0; part < kOctet; part += N) {
    const auto group = widenGroup(loadGroup<N>(x, begin + part, n));
    for (int i = 0; i < N; ++i) octet.v[part + i] = group.v[i];
  }
  return octet;
}
template <class T>
LANGEVIN_DEVICE void storeOctet(T* y, int64_t begin, int64_t n, const Group<float, kOctet>& octet) {
  constexpr int N = kGroup<T>;
  for (int part = 0; part < kOctet; part += N) {
    float values[N];
    for (int i = 0; i < N; ++i) values[i] = octet.v[part + i];
    storeGroup(y, begin + part, n, narrowGroup<T>(values));
  }
}

template <class T>
__global__ void leakyReluKernel(const T* x, T* y, uint8_t* signs, int64_t n, float slope) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t begin = firstGroup<kOctet>(); begin < n; begin += groupStride<kOctet>()) {
    Group<float, kOctet> v = loadOctet(x, begin, n);
    unsigned bits = 0;  // zeros beyond n: loadGroup gives 0 there
    for (int i = 0; i < kOctet; ++i) {
      const bool positive = v.v[i] > 0;
      bits |= static_cast<unsigned>(positive) << i;
      v.v[i] = positive ? v.v[i] : slope * v.v[i];
    }
    storeOctet(y, begin, n, v);
    if (signs) signs[begin / kOctet] = static_cast<uint8_t>(bits);
  }
}

void leakyRelu(Stream& stream, In x, Out y, OptOut signs, int64_t n, double slope) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    uint8_t* const bits = signs.as<uint8_t>(ceilDiv(n, 8));
    stream.launch(leakyReluKernel<T>, overlapped(loopOverGroups<kOctet>(stream, n), target), source, target, bits, n,
                  static_cast<float>(slope));
  });
}

template <class T>
__global__ void leakyReluBackwardKernel(const T* dy, const uint8_t* signs, const T* add, T* dx, int64_t n,
                                        float slope) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t begin = firstGroup<kOctet>(); begin < n; begin += groupStride<kOctet>()) {
    Group<float, kOctet> v = loadOctet(dy, begin, n);
    const unsigned bits = signs[begin / kOctet];
    for (int i = 0; i < kOctet; ++i) v.v[i] = bits >> i & 1 ? v.v[i] : slope * v.v[i];
    if (add) {
      const Group<float, kOctet> other = loadOctet(add, begin, n);
      for (int i = 0; i < kOctet; ++i) v.v[i] += other.v[i];
    }
    storeOctet(dx, begin, n, v);
  }
}

void leakyReluBackward(Stream& stream, In dy, In signs, OptIn add, Out dx, int64_t n, double slope) {
  withFloat(dy.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const gradient = dy.as<T>(n);
    const uint8_t* const bits = signs.as<uint8_t>(ceilDiv(n, 8));
    const T* const other = add.as<T>(n);
    T* const target = dx.as<T>(n);
    stream.launch(leakyReluBackwardKernel<T>, overlapped(loopOverGroups<kOctet>(stream, n), target), gradient, bits,
                  other, target, n, static_cast<float>(slope));
  });
}

}  // namespace

void fillElementwise(OpTable& ops) {
  fillUnary(ops);
  fillBroadcast(ops);
  ops.accumulate = accumulate;
  ops.leakyRelu = leakyRelu;
  ops.leakyReluBackward = leakyReluBackward;
}

}  // namespace langevin::cuda
