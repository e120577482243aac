// Softmax, log-sum-exp and cross-entropy over rows of logits, and their gradients; and the whole head of an
// energy-based classifier (pooling, linear map, log-sum-exp), whose gradient is one row per image that every position
// shares.
//
// With L(x) = log Σ exp x, all are written with the row's maximum m subtracted: e[c] = exp(x[c] − m), s = Σ e, so that
// nothing overflows. A row of −∞ alone gives L = −∞, one with +∞ gives +∞, one with NaN gives NaN. Bound by exp (one
// per element and pass); rows are short (classes), so that a block is several whole rows.
//
// Measured (elements.h), 16 columns: softmax 0.31·10⁹, logsumexp 0.35·10⁹ elements/s.
#include "../columns.h"
#include "../kernels.h"
#include "../sign_bits.h"

namespace langevin::LANGEVIN_ISA {

namespace {

/// Elements per block: an exp costs about as much as four loads.
constexpr int64_t kRowBlock = 4096;

/// Exponentials computed at once, in a loop of their own that vectorises.
constexpr int64_t kExponentials = 64;

template <class T>
LANGEVIN_INLINE ComputeOf<T> maximumOfRow(const T* x, int64_t n) {
  ComputeOf<T> m = MaxOf::start<ComputeOf<T>>();
  for (int64_t c = 0; c < n; ++c) m = maximumOf(m, widen(x[c]));
  return m;
}

/// Σ exp(x[c] − m), in f64, by four accumulators.
template <class T, class C>
LANGEVIN_INLINE double sumExp(const T* x, int64_t n, C m) {
  double sum[4] = {};
  for (int64_t c0 = 0; c0 < n; c0 += kExponentials) {
    const int64_t count = smaller(kExponentials, n - c0);
    C e[kExponentials];
    for (int64_t c = 0; c < count; ++c) e[c] = expOf(widen(x[c0 + c]) - m);
    for (int64_t c = 0; c < count; ++c) sum[c % 4] += static_cast<double>(e[c]);
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

template <class C>
LANGEVIN_INLINE bool isFinite(C v) {
  return v - v == 0;
}

template <class T>
LANGEVIN_INLINE ComputeOf<T> logSumExpOfRow(const T* x, int64_t n) {
  using C = ComputeOf<T>;
  const C m = maximumOfRow(x, n);
  return isFinite(m) ? m + static_cast<C>(naturalLogOf(sumExp(x, n, m))) : m;
}

/// body(row) for every row, several to a block.
template <class Body>
LANGEVIN_INLINE void forEachRow(Stream& stream, int64_t rows, int64_t columns, const Body& body) {
  forRows(
      stream, rows, columns,
      [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) body(r);
      },
      kRowBlock);
}

void softmax(Stream& stream, In x, Out y, int64_t rows, int64_t columns, bool logarithm) {
  const int64_t n = countOf(rows, columns);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    if (n == 0) return;
    forEachRow(stream, rows, columns, [&](int64_t r) {
      const T* const from = source + r * columns;
      T* const to = target + r * columns;
      const C m = maximumOfRow(from, columns);
      const double sum = sumExp(from, columns, m);
      if (logarithm) {
        const C logSum = static_cast<C>(naturalLogOf(sum));
        for (int64_t c = 0; c < columns; ++c) to[c] = narrow<T>(widen(from[c]) - m - logSum);
      } else {
        const C scale = static_cast<C>(1 / sum);
        for (int64_t c = 0; c < columns; ++c) to[c] = narrow<T>(expOf(widen(from[c]) - m) * scale);
      }
    });
  });
}

/// softmax: dx = y·(dy − Σ dy·y). Its logarithm: dx = dy − exp(y)·Σ dy.
void softmaxBackward(Stream& stream, In y, In dy, Out dx, int64_t rows, int64_t columns, bool logarithm) {
  const int64_t n = countOf(rows, columns);
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const output = y.as<T>(n);
    const T* const gradient = dy.as<T>(n);
    T* const target = dx.as<T>(n);
    if (n == 0) return;
    forEachRow(stream, rows, columns, [&](int64_t r) {
      const T* const p = output + r * columns;
      const T* const g = gradient + r * columns;
      T* const to = target + r * columns;
      double sum = 0;
      for (int64_t c = 0; c < columns; ++c) {
        sum += static_cast<double>(widen(g[c])) * (logarithm ? 1.0 : static_cast<double>(widen(p[c])));
      }
      const C total = static_cast<C>(sum);
      for (int64_t c = 0; c < columns; ++c) {
        const C v = widen(p[c]), u = widen(g[c]);
        to[c] = narrow<T>(logarithm ? u - expOf(v) * total : v * (u - total));
      }
    });
  });
}

void logsumexp(Stream& stream, In x, Out y, int64_t rows, int64_t columns) {
  const int64_t n = countOf(rows, columns);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(rows);
    forEachRow(stream, rows, columns,
               [&](int64_t r) { target[r] = narrow<T>(logSumExpOfRow(source + r * columns, columns)); });
  });
}

/// dx[c] = (softmax(x)[c] − [c = label])·dy; no label: −1. A row of −∞ alone has no gradient.
template <class T>
LANGEVIN_INLINE void softmaxTimes(const T* x, ComputeOf<T> dy, int64_t label, T* dx, int64_t n) {
  using C = ComputeOf<T>;
  const C m = maximumOfRow(x, n);
  const C shift = m == MaxOf::start<C>() ? C(0) : m;
  const double sum = sumExp(x, n, shift);
  const C scale = sum > 0 ? static_cast<C>(1 / sum) : static_cast<C>(sum);
  for (int64_t c = 0; c < n; ++c) {
    const C p = expOf(widen(x[c]) - shift) * scale;
    dx[c] = narrow<T>((c == label ? p - 1 : p) * dy);
  }
}

/// Softmax is computed again from x, which costs no more exponentials than from y and is exact where y is rounded to
/// bf16.
void logsumexpBackward(Stream& stream, In x, In y, In dy, Out dx, int64_t rows, int64_t columns) {
  const int64_t n = countOf(rows, columns);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    const T* const gradient = dy.as<T>(rows);
    T* const target = dx.as<T>(n);
    y.as<T>(rows);
    forEachRow(stream, rows, columns, [&](int64_t r) {
      softmaxTimes(source + r * columns, widen(gradient[r]), -1, target + r * columns, columns);
    });
  });
}

void crossEntropy(Stream& stream, In x, In labels, Out loss, int64_t rows, int64_t columns) {
  const int64_t n = countOf(rows, columns);
  const int32_t* const label = labels.as<int32_t>(rows);
  checkIndices(label, rows, columns);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    T* const target = loss.as<T>(rows);
    forEachRow(stream, rows, columns, [&](int64_t r) {
      const T* const from = source + r * columns;
      const C m = maximumOfRow(from, columns);
      target[r] = narrow<T>((m - widen(from[label[r]])) + static_cast<C>(naturalLogOf(sumExp(from, columns, m))));
    });
  });
}

void crossEntropyBackward(Stream& stream, In x, In labels, In dy, Out dx, int64_t rows, int64_t columns) {
  const int64_t n = countOf(rows, columns);
  const int32_t* const label = labels.as<int32_t>(rows);
  checkIndices(label, rows, columns);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    const T* const gradient = dy.as<T>(rows);
    T* const target = dx.as<T>(n);
    forEachRow(stream, rows, columns, [&](int64_t r) {
      softmaxTimes(source + r * columns, widen(gradient[r]), label[r], target + r * columns, columns);
    });
  });
}

// ---- the fused head: pooling, linear map and log-sum-exp, and its gradient ----

/// log Σ exp z, or z[label] where label ≥ 0; z becomes its gradient to z.
template <class C>
LANGEVIN_INLINE C energyOfRow(C* z, int64_t n, int64_t label) {
  if (label < 0) {
    const C f = logSumExpOfRow(z, n);
    softmaxTimes(z, C(1), -1, z, n);
    return f;
  }
  const C f = z[label];
  for (int64_t k = 0; k < n; ++k) z[k] = k == label ? C(1) : C(0);
  return f;
}

/// run(element type of x, element type of `other`): the same, or bf16 and float.
template <class Run>
LANGEVIN_INLINE void withMixed(DType x, DType other, const Run& run) {
  withFloat(x, [&](auto type) {
    using T = decltype(type);
    if (sizeof(T) == 2 && other == DType::f32) return run(type, ComputeOf<T>{});
    run(type, type);
  });
}

void energyHead(Stream& stream, In x, In weight, OptIn bias, OptIn labels, Out f, OptOut gradient, int64_t batch,
                int64_t positions, int64_t channels, int64_t classes) {
  const int64_t n = countOf(batch, positions, channels), weightCount = countOf(channels, classes);
  const int64_t featureCount = countOf(batch, channels);
  const int32_t* const label = labels.as<int32_t>(batch);
  if (label) checkIndices(label, batch, classes);
  withMixed(x.dtype, weight.dtype, [&](auto type, auto weightType) {
    using T = decltype(type);
    using W = decltype(weightType);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    const W* const w = weight.as<W>(weightCount);
    const W* const shift = bias.as<W>(classes);
    W* const target = f.as<W>(batch);
    C* const slope = gradient.as<C>(featureCount);
    if (classes == 0) fault("a head of no classes");
    const double scale = 1 / static_cast<double>(positions);
    const int64_t width = repeatsOf(channels, positions) * channels;
    stream.parallel(batch, [&](int64_t i, int thread) {
      double* const pooled = static_cast<double*>(stream.scratch(
          thread, 1, sizeof(double) * static_cast<size_t>(width + classes) + sizeof(C) * static_cast<size_t>(classes)));
      double* const sums = pooled + width;
      C* const z = reinterpret_cast<C*>(sums + classes);
      reduceRows<SumOf>(source + i * positions * channels, positions, channels, pooled);
      for (int64_t k = 0; k < classes; ++k) sums[k] = 0;
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t k = 0; k < classes; ++k) sums[k] += pooled[c] * static_cast<double>(widen(w[c * classes + k]));
      }
      for (int64_t k = 0; k < classes; ++k) {
        z[k] = static_cast<C>(sums[k] * scale + (shift ? static_cast<double>(widen(shift[k])) : 0.0));
      }
      target[i] = narrow<W>(energyOfRow(z, classes, label ? label[i] : -1));
      if (!slope) return;
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (int64_t k = 0; k < classes; ++k) {
          sum += static_cast<double>(z[k]) * static_cast<double>(widen(w[c * classes + k]));
        }
        slope[i * channels + c] = static_cast<C>(sum * scale);
      }
    });
  });
}

/// Blocks of elements, not of images, so that no byte of sign bits is shared.
void energyHeadBackward(Stream& stream, In gradient, In dy, OptIn signs, OptIn add, Out dx, int64_t batch,
                        int64_t positions, int64_t channels, double slope) {
  const int64_t n = countOf(batch, positions, channels), featureCount = countOf(batch, channels);
  const uint8_t* const bits = signs.as<uint8_t>(ceilDiv(n, 8));
  withMixed(dx.dtype, dy.dtype, [&](auto type, auto factorType) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const C* const slopes = gradient.as<C>(featureCount);
    const auto* const factors = dy.as<decltype(factorType)>(batch);
    const T* const other = add.as<T>(n);
    T* const target = dx.as<T>(n);
    forBlocks(stream, n, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end;) {  // what is left of a position, or the whole of it
        const int64_t image = at / (positions * channels), channel = at % channels;
        const int64_t length = smaller(channels - channel, end - at);
        const C* const from = slopes + image * channels + channel;
        const C factor = widen(factors[image]);
        T* const to = target + at;
        const T* const plus = bits ? nullptr : other;
        LANGEVIN_INDEPENDENT
        for (int64_t c = 0; c < length; ++c) {
          const C v = factor * from[c];
          to[c] = narrow<T>(plus ? v + widen(plus[at + c]) : v);
        }
        at += length;
      }
      if (bits) {
        applySigns(target + begin, bits + begin / 8, other ? other + begin : nullptr, target + begin, end - begin,
                   static_cast<C>(slope));
      }
    });
  });
}

}  // namespace

void fillHead(OpTable& ops) {
  ops.softmax = softmax;
  ops.softmaxBackward = softmaxBackward;
  ops.logsumexp = logsumexp;
  ops.logsumexpBackward = logsumexpBackward;
  ops.crossEntropy = crossEntropy;
  ops.crossEntropyBackward = crossEntropyBackward;
  ops.energyHead = energyHead;
  ops.energyHeadBackward = energyHeadBackward;
}

}  // namespace langevin::LANGEVIN_ISA
