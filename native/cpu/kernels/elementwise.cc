// accumulate, leakyRelu and its backward pass: the element-wise ops of the training and sampling loops.
//
// Bytes per element (f32), all bound by memory: accumulate 12, leakyRelu 8⅛, leakyReluBackward 8⅛ (12⅛ with add). The
// sign bits make the saved activation 32 times smaller than the activation itself.
//
// Measured (elements.h), L3 and DRAM in GB/s: accumulate 123 and 39, leakyRelu with signs 63 and 29, leakyReluBackward
// 78 and 31, with add 84 and 30.
#include "elementwise.h"

#include "../elements.h"
#include "../sign_bits.h"

namespace langevin::LANGEVIN_ISA {

namespace {

void accumulate(Stream& stream, In x, InOut y, int64_t n) {
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    forBlocks(stream, n, [&](int64_t begin, int64_t end) {
      LANGEVIN_INDEPENDENT
      for (int64_t i = begin; i < end; ++i) target[i] = narrow<T>(widen(target[i]) + widen(source[i]));
    });
  });
}

template <class T>
LANGEVIN_INLINE void leakyReluRow(const T* x, T* y, int64_t n, ComputeOf<T> slope) {
  LANGEVIN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const ComputeOf<T> v = widen(x[i]);
    y[i] = narrow<T>(v > 0 ? v : slope * v);
  }
}

constexpr int64_t kStep = 1024;

void leakyRelu(Stream& stream, In x, Out y, OptOut signs, int64_t n, double slope) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    uint8_t* const bits = signs.as<uint8_t>(ceilDiv(n, 8));
    const C factor = static_cast<C>(slope);
    forBlocks(stream, n, [=](int64_t begin, int64_t end) {
      // Signs first, as y may be x; in steps, so that x is read from memory once.
      for (int64_t i = begin; i < end; i += kStep) {
        const int64_t count = smaller(kStep, end - i);
        if (bits) packSigns(source + i, count, bits + i / 8);
        leakyReluRow(source + i, target + i, count, factor);
      }
    });
  });
}

void leakyReluBackward(Stream& stream, In dy, In signs, OptIn add, Out dx, int64_t n, double slope) {
  withFloat(dy.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const gradient = dy.as<T>(n);
    const uint8_t* const bits = signs.as<uint8_t>(ceilDiv(n, 8));
    const T* const other = add.as<T>(n);
    T* const target = dx.as<T>(n);
    const ComputeOf<T> factor = static_cast<ComputeOf<T>>(slope);
    forBlocks(stream, n, [=](int64_t begin, int64_t end) {
      applySigns(gradient + begin, bits + begin / 8, other ? other + begin : nullptr, target + begin, end - begin,
                 factor);
    });
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

}  // namespace langevin::LANGEVIN_ISA
