// Random fills and dropout: Philox4x32-10 and Box–Muller in batches of 64 (normals.h).
//
// 4 bytes written per f32 element; bound by arithmetic. Per 64 words Philox is 40 products, 40 shifts and 40 to 80
// exclusive-ors of 512 bits; a pair of normals shares a logarithm (one division), a square root, a sine and a cosine.
//
// Measured (elements.h), L3, 10⁹ elements/s, AVX-512 (AVX2): uniform 1.6 (1.4), normal 0.9 (0.7), dropout 1.6 (1.4).
#include "../kernels.h"
#include "../normals.h"

namespace langevin::LANGEVIN_ISA {

namespace {

void randomUniform(Stream& stream, Out y, int64_t n, double low, double high, Philox philox) {
  const Draw draw = stream.draw(philox);
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    T* const target = y.as<T>(n);
    const C start = static_cast<C>(low), range = static_cast<C>(high - low);
    forBatches(stream, n, [=](int64_t e, int64_t count) {
      uint32_t words[kBatch];
      randomWords(draw, e, words);
      for (int64_t i = 0; i < count; ++i) {
        target[e + i] = narrow<T>(start + range * static_cast<C>(uniformOf(words[i])));
      }
    });
  });
}

void randomNormal(Stream& stream, Out y, int64_t n, double mean, double std, Philox philox) {
  const Draw draw = stream.draw(philox);
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    T* const target = y.as<T>(n);
    const C center = static_cast<C>(mean), scale = static_cast<C>(std);
    forBatches(stream, n, [=](int64_t e, int64_t count) {
      float normals[kBatch];
      randomNormals(draw, e, normals);
      for (int64_t i = 0; i < count; ++i) target[e + i] = narrow<T>(center + scale * static_cast<C>(normals[i]));
    });
  });
}

void randomInt(Stream& stream, Out y, int64_t n, int64_t low, int64_t high, Philox philox) {
  const Draw draw = stream.draw(philox);
  int32_t* const target = y.as<int32_t>(n);
  if (low < INT32_MIN || high > int64_t{INT32_MAX} + 1 || low >= high) {
    fault("no i32 in [%lld, %lld)", static_cast<long long>(low), static_cast<long long>(high));
  }
  const uint64_t range = static_cast<uint64_t>(high - low);
  forBatches(stream, n, [=](int64_t e, int64_t count) {
    uint32_t words[kBatch];
    randomWords(draw, e, words);
    for (int64_t i = 0; i < count; ++i) {
      target[e + i] = static_cast<int32_t>(low + static_cast<int64_t>(words[i] * range >> 32));
    }
  });
}

void dropout(Stream& stream, In x, Out y, int64_t n, double p, Philox philox) {
  if (!(p >= 0 && p <= 1)) fault("a probability of %g", p);
  const Draw draw = stream.draw(philox);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    const C scale = static_cast<C>(1 / (1 - p));
    const int32_t threshold = static_cast<int32_t>(__builtin_ceil(p * 0x1p24));  // u ≥ p, exactly
    forBatches(stream, n, [=](int64_t e, int64_t count) {
      const C kept = scale;  // in a register: else the loop does not vectorise
      uint32_t words[kBatch];
      randomWords(draw, e, words);
      LANGEVIN_INDEPENDENT
      for (int64_t i = 0; i < count; ++i) {
        const C factor = static_cast<int32_t>(words[i] >> 8) >= threshold ? kept : C(0);
        target[e + i] = narrow<T>(widen(source[e + i]) * factor);
      }
    });
  });
}

}  // namespace

void fillRandom(OpTable& ops) {
  ops.randomUniform = randomUniform;
  ops.randomNormal = randomNormal;
  ops.randomInt = randomInt;
  ops.dropout = dropout;
}

}  // namespace langevin::LANGEVIN_ISA
