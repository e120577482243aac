// y = f(x) and dx = dy·f'(x) for every kind of Unary.
//
// 8 and 12 bytes per f32 element: neg, abs, square, relu, clamp, affine and the like run at memory speed; the others
// are bound by their polynomials (scalar_math.h), log, power and all of f64 by libm. Derivatives at corners are
// PyTorch's: relu'(0) = 0, leakyRelu'(0) = slope, abs'(0) = 0, sign' = 0, and clamp passes the gradient on [low, high].
//
// Measured (elements.h), L3, 10⁹ elements/s: relu 10.3, exp 2.2, tanh 1.9, silu 1.6, softplus 1.1, gelu 0.6 (libm's,
// one call per element: 0.45, 0.06, 0.11, 0.06, 0.10).
#include "../scalar_math.h"
#include "elementwise.h"

namespace langevin::LANGEVIN_ISA {

namespace {

template <class T, class F>
void map(Stream& stream, const T* x, T* y, int64_t n, const F& f) {
  forBlocks(stream, n, [=](int64_t begin, int64_t end) {
    const F apply = f;  // its parameters in registers
    LANGEVIN_INDEPENDENT
    for (int64_t i = begin; i < end; ++i) y[i] = narrow<T>(apply(widen(x[i])));
  });
}
template <class T, class F>
void map(Stream& stream, const T* x, const T* dy, T* dx, int64_t n, const F& f) {
  forBlocks(stream, n, [=](int64_t begin, int64_t end) {
    const F apply = f;  // its parameters in registers
    LANGEVIN_INDEPENDENT
    for (int64_t i = begin; i < end; ++i) dx[i] = narrow<T>(apply(widen(x[i]), widen(dy[i])));
  });
}

template <class C>
LANGEVIN_INLINE C signOf(C v) {
  return v > 0 ? C(1) : v < 0 ? C(-1) : v * 0;  // NaN stays NaN
}

template <class T>
void forward(Stream& stream, int64_t kind, const T* x, T* y, int64_t n, double parameterA, double parameterB) {
  using C = ComputeOf<T>;
  const C a = static_cast<C>(parameterA), b = static_cast<C>(parameterB);
  const auto with = [&](const auto& f) { map(stream, x, y, n, f); };
  switch (static_cast<Unary>(kind)) {
    case Unary::neg:
      return with([](C v) { return -v; });
    case Unary::exp:
      return with([](C v) { return expOf(v); });
    case Unary::log:
      return with([](C v) { return naturalLogOf(v); });
    case Unary::sqrt:
      return with([](C v) { return sqrtOf(v); });
    case Unary::abs:
      return with([](C v) { return absOf(v); });
    case Unary::sign:
      return with([](C v) { return signOf(v); });
    case Unary::square:
      return with([](C v) { return v * v; });
    case Unary::reciprocal:
      return with([](C v) { return 1 / v; });
    case Unary::relu:
      return with([](C v) { return v <= 0 ? C(0) : v; });
    case Unary::leakyRelu:
      return with([a](C v) { return v > 0 ? v : a * v; });
    case Unary::elu:
      return with([a](C v) { return (v > 0 ? v : a * expm1Of(v)); });
    case Unary::sigmoid:
      return with([](C v) { return sigmoidOf(v); });
    case Unary::tanh:
      return with([](C v) { return tanhOf(v); });
    case Unary::silu:
      return with([](C v) { return v * sigmoidOf(v); });
    case Unary::softplus:
      return with([](C v) { return softplusOf(v); });
    case Unary::gelu:
      return with([](C v) { return v * normalCdf(v); });
    case Unary::clamp:
      return with([a, b](C v) { return clampOf(v, a, b); });
    case Unary::affine:
      return with([a, b](C v) { return a * v + b; });
    case Unary::power:
      return with([a](C v) { return powOf(v, a); });
  }
  fault("there is no unary kind %lld", static_cast<long long>(kind));
}

template <class T>
void backward(Stream& stream, int64_t kind, const T* x, const T* dy, T* dx, int64_t n, double parameterA,
              double parameterB) {
  using C = ComputeOf<T>;
  const C a = static_cast<C>(parameterA), b = static_cast<C>(parameterB);
  const auto with = [&](const auto& f) { map(stream, x, dy, dx, n, f); };
  switch (static_cast<Unary>(kind)) {
    case Unary::neg:
      return with([](C, C g) { return -g; });
    case Unary::exp:
      return with([](C v, C g) { return g * expOf(v); });
    case Unary::log:
      return with([](C v, C g) { return g / v; });
    case Unary::sqrt:
      return with([](C v, C g) { return g / (2 * sqrtOf(v)); });
    case Unary::abs:
      return with([](C v, C g) { return g * signOf(v); });
    case Unary::sign:
      return with([](C, C) { return C(0); });
    case Unary::square:
      return with([](C v, C g) { return g * 2 * v; });
    case Unary::reciprocal:
      return with([](C v, C g) { return -g / (v * v); });
    case Unary::relu:
      return with([](C v, C g) { return v <= 0 ? C(0) : g; });
    case Unary::leakyRelu:
      return with([a](C v, C g) { return v > 0 ? g : a * g; });
    case Unary::elu:
      return with([a](C v, C g) { return v > 0 ? g : g * a * expOf(v); });
    case Unary::sigmoid:
      return with([](C v, C g) {
        const C z = expOf(-absOf(v));
        return g * (z / ((1 + z) * (1 + z)));
      });
    case Unary::tanh:  // 1 − tanh² = 4z/(1 + z)², z = e^−2|x|, without cancellation
      return with([](C v, C g) {
        const C z = expOf(-2 * absOf(v));
        return g * (4 * z / ((1 + z) * (1 + z)));
      });
    case Unary::silu:
      return with([](C v, C g) {
        const C s = sigmoidOf(v);
        return g * (s * (1 + v * (1 - s)));
      });
    case Unary::softplus:
      return with([](C v, C g) { return g * sigmoidOf(v); });
    case Unary::gelu:
      return with([](C v, C g) { return g * (normalCdf(v) + v * normalPdf(v)); });
    case Unary::clamp:
      return with([a, b](C v, C g) { return (v >= a) & (v <= b) ? g : C(0); });
    case Unary::affine:
      return with([a](C, C g) { return a * g; });
    case Unary::power:
      if (a == 0) return with([](C, C) { return C(0); });
      if (a == 2) return with([](C v, C g) { return g * 2 * v; });
      return with([a](C v, C g) { return g * (a * powOf(v, a - 1)); });
  }
  fault("there is no unary kind %lld", static_cast<long long>(kind));
}

void unary(Stream& stream, int64_t kind, In x, Out y, int64_t n, double a, double b) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    forward(stream, kind, x.as<T>(n), y.as<T>(n), n, a, b);
  });
}

void unaryBackward(Stream& stream, int64_t kind, In x, In dy, Out dx, int64_t n, double a, double b) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    backward(stream, kind, x.as<T>(n), dy.as<T>(n), dx.as<T>(n), n, a, b);
  });
}

}  // namespace

void fillUnary(OpTable& ops) {
  ops.unary = unary;
  ops.unaryBackward = unaryBackward;
}

}  // namespace langevin::LANGEVIN_ISA
