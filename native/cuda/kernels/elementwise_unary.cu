// y = f(x) and dx = dy·f'(x) for every kind of Unary.
//
// 8 and 12 bytes per f32 element, 4 and 6 per bf16 one; up to some 40 operations (gelu's backward pass). At 3.0 TB/s
// and 45 TFLOP/s (H100) that leaves 120 operations in the time of an f32 element: all kinds are bound by memory.
// Derivatives at corners are PyTorch's: relu'(0) = 0, leakyRelu'(0) = slope, abs'(0) = 0, sign' = 0, and clamp passes
// the gradient on [low, high].
//
// Not measured on hardware.
#include <utility>

#include "../groups.h"
#include "elementwise.h"

namespace langevin::cuda {

namespace {

constexpr int kUnaryKinds = static_cast<int>(Unary::power) + 1;

LANGEVIN_DEVICE float signOf(float v) {
  return v > 0 ? 1.0f : v < 0 ? -1.0f : v * 0;  // NaN stays NaN
}
/// 1/(1 + e⁻ᵛ), by e^−|v|, so that nothing overflows and small values keep their relative accuracy.
LANGEVIN_DEVICE float sigmoidOf(float v) {
  const float z = expf(-fabsf(v));
  return (v < 0 ? z : 1.0f) / (1 + z);
}
/// The standard normal distribution function, accurate in both tails.
LANGEVIN_DEVICE float normalCdf(float v) { return 0.5f * erfcf(v * -0.70710678f); }
LANGEVIN_DEVICE float normalPdf(float v) { return 0.39894228f * expf(-0.5f * v * v); }

template <Unary kind>
LANGEVIN_DEVICE float valueOf(float v, float a, float b) {
  switch (kind) {
    case Unary::neg:
      return -v;
    case Unary::exp:
      return expf(v);
    case Unary::log:
      return logf(v);
    case Unary::sqrt:
      return sqrtf(v);
    case Unary::abs:
      return fabsf(v);
    case Unary::sign:
      return signOf(v);
    case Unary::square:
      return v * v;
    case Unary::reciprocal:
      return 1 / v;
    case Unary::relu:
      return v <= 0 ? 0.0f : v;
    case Unary::leakyRelu:
      return v > 0 ? v : a * v;
    case Unary::elu:
      return v > 0 ? v : a * expm1f(v);
    case Unary::sigmoid:
      return sigmoidOf(v);
    case Unary::tanh:
      return tanhf(v);
    case Unary::silu:
      return v * sigmoidOf(v);
    case Unary::softplus:
      return (v < 0 ? 0.0f : v) + log1pf(expf(-fabsf(v)));
    case Unary::gelu:
      return v * normalCdf(v);
    case Unary::clamp: {
      const float raised = v < a ? a : v;
      return raised > b ? b : raised;
    }
    case Unary::affine:
      return a * v + b;
    case Unary::power:
      return powf(v, a);
  }
  __builtin_unreachable();
}

/// g·f'(v)
template <Unary kind>
LANGEVIN_DEVICE float gradientOf(float v, float g, float a, float b) {
  switch (kind) {
    case Unary::neg:
      return -g;
    case Unary::exp:
      return g * expf(v);
    case Unary::log:
      return g / v;
    case Unary::sqrt:
      return g / (2 * sqrtf(v));
    case Unary::abs:
      return g * signOf(v);
    case Unary::sign:
      return 0;
    case Unary::square:
      return g * 2 * v;
    case Unary::reciprocal:
      return -g / (v * v);
    case Unary::relu:
      return v <= 0 ? 0.0f : g;
    case Unary::leakyRelu:
      return v > 0 ? g : a * g;
    case Unary::elu:
      return v > 0 ? g : g * a * expf(v);
    case Unary::sigmoid: {
      const float z = expf(-fabsf(v));
      return g * (z / ((1 + z) * (1 + z)));
    }
    case Unary::tanh: {  // 1 − tanh² = 4z/(1 + z)², z = e^−2|v|, without cancellation
      const float z = expf(-2 * fabsf(v));
      return g * (4 * z / ((1 + z) * (1 + z)));
    }
    case Unary::silu: {
      const float s = sigmoidOf(v);
      return g * (s * (1 + v * (1 - s)));
    }
    case Unary::softplus:
      return g * sigmoidOf(v);
    case Unary::gelu:
      return g * (normalCdf(v) + v * normalPdf(v));
    case Unary::clamp:
      return v >= a && v <= b ? g : 0.0f;
    case Unary::affine:
      return a * g;
    case Unary::power:
      return a == 0 ? 0.0f : a == 2 ? g * 2 * v : g * (a * powf(v, a - 1));
  }
  __builtin_unreachable();
}

template <class T, Unary kind>
__global__ void unaryKernel(const T* x, T* y, int64_t n, float a, float b) {
  ptx::waitForPrevious();
  ptx::allowNext();
  constexpr int N = kGroup<T>;
  for (int64_t begin = firstGroup<N>(); begin < n; begin += groupStride<N>()) {
    auto v = widenGroup(loadGroup<N>(x, begin, n));
    for (int i = 0; i < N; ++i) v.v[i] = valueOf<kind>(v.v[i], a, b);
    storeGroup(y, begin, n, narrowGroup<T>(v.v));
  }
}

template <class T, Unary kind>
__global__ void unaryBackwardKernel(const T* x, const T* dy, T* dx, int64_t n, float a, float b) {
  ptx::waitForPrevious();
  ptx::allowNext();
  constexpr int N = kGroup<T>;
  for (int64_t begin = firstGroup<N>(); begin < n; begin += groupStride<N>()) {
    const auto v = widenGroup(loadGroup<N>(x, begin, n));
    auto g = widenGroup(loadGroup<N>(dy, begin, n));
    for (int i = 0; i < N; ++i) g.v[i] = gradientOf<kind>(v.v[i], g.v[i], a, b);
    storeGroup(dx, begin, n, narrowGroup<T>(g.v));
  }
}

template <class T>
using Forward = void (*)(const T*, T*, int64_t, float, float);
template <class T>
using Backward = void (*)(const T*, const T*, T*, int64_t, float, float);

template <class T, int... kinds>
Forward<T> forwardOf(int64_t kind, std::integer_sequence<int, kinds...>) {
  static const Forward<T> kernels[] = {unaryKernel<T, static_cast<Unary>(kinds)>...};
  return kernels[kind];
}
template <class T, int... kinds>
Backward<T> backwardOf(int64_t kind, std::integer_sequence<int, kinds...>) {
  static const Backward<T> kernels[] = {unaryBackwardKernel<T, static_cast<Unary>(kinds)>...};
  return kernels[kind];
}

void checkKind(int64_t kind) {
  if (kind < 0 || kind >= kUnaryKinds) fault("there is no unary kind %lld", static_cast<long long>(kind));
}

void unary(Stream& stream, int64_t kind, In x, Out y, int64_t n, double a, double b) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    checkKind(kind);
    stream.launch(forwardOf<T>(kind, std::make_integer_sequence<int, kUnaryKinds>{}),
                  overlapped(loopOverGroups<kGroup<T>>(stream, n), target), source, target, n, static_cast<float>(a),
                  static_cast<float>(b));
  });
}

void unaryBackward(Stream& stream, int64_t kind, In x, In dy, Out dx, int64_t n, double a, double b) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    const T* const gradient = dy.as<T>(n);
    T* const target = dx.as<T>(n);
    checkKind(kind);
    stream.launch(backwardOf<T>(kind, std::make_integer_sequence<int, kUnaryKinds>{}),
                  overlapped(loopOverGroups<kGroup<T>>(stream, n), target), source, gradient, target, n,
                  static_cast<float>(a), static_cast<float>(b));
  });
}

}  // namespace

void fillUnary(OpTable& ops) {
  ops.unary = unary;
  ops.unaryBackward = unaryBackward;
}

}  // namespace langevin::cuda
