// Normalisation of [outer, positions, channels] by groups of channels (batch, instance, layer and group norm), its
// gradient, and a per-channel affine map.
//
// The statistics need one pass over memory: a block (a chunk of positions of one outer index, 64 KiB of f32, in L2)
// takes each channel's mean and then, by a second read, the squared deviations from that mean, in f64; the blocks'
// results are combined by Chan, Golub and LeVeque's formula in a fixed order. So the variance is that of the two-pass
// algorithm and never the difference of two large numbers. A second pass over memory normalises: 4 + 8 bytes per f32
// element. Backward: Σ dy and Σ dy·(x − mean) per channel (8 bytes), then dx (12 bytes).
//
// Measured (elements.h), 10⁹ elements/s: norm over 16 channels 2.5 in L3 and 1.4 in DRAM, over 256 channels 2.1;
// backward 2.1 in L3; channelAffine 7.6 in L3.
#include <initializer_list>

#include "../columns.h"
#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

namespace {

/// The width that rows of few channels are brought to, so that loops over per-channel constants are long.
constexpr int64_t kRowWidth = 256;

/// The statistics' dtype: f32 for bf16 (and f32), else f64.
template <class T>
using StatisticsOf = ComputeOf<T>;

/// How [outer, positions, channels] is cut into blocks: chunks of positions of one outer index.
struct Plan {
  int64_t outer, positions, channels, groupSize, groupsPerOuter, groups;
  int64_t repeats, width;  // positions read as one row: see columns.h
  int64_t chunk, chunks;   // positions per block, and blocks per outer index

  explicit Plan(const NormShape& s)
      : outer(s.outer), positions(s.positions), channels(s.channels), groupSize(s.groupSize) {
    if (groupSize < 1 || channels < 1 || channels % groupSize != 0) {
      fault("%lld channels in groups of %lld", static_cast<long long>(channels), static_cast<long long>(groupSize));
    }
    groupsPerOuter = channels / groupSize;
    groups = countOf(outer, groupsPerOuter);
    repeats = repeatsOf(channels, positions, kRowWidth);
    width = repeats * channels;
    chunk = repeats * larger(1, kBlock / width);
    chunks = larger(1, ceilDiv(positions, chunk));
  }
  int64_t count() const { return countOf(outer, positions, channels); }
  int64_t positionsOf(int64_t c) const { return smaller(positions, (c + 1) * chunk) - c * chunk; }
  /// The first element of a block.
  int64_t start(int64_t block) const { return (block / chunks * positions + block % chunks * chunk) * channels; }
};

/// target[i] = source[i % columns] for i < repeats·columns.
template <class A, class B>
LANGEVIN_INLINE void repeatRow(const A* source, int64_t columns, int64_t repeats, B* target) {
  for (int64_t r = 0; r < repeats; ++r) {
    for (int64_t c = 0; c < columns; ++c) target[r * columns + c] = static_cast<B>(source[c]);
  }
}

/// element(i, column) for n contiguous elements read as rows of `width`.
template <class Element>
LANGEVIN_INLINE void forColumns(int64_t n, int64_t width, const Element& element) {
  for (int64_t row = 0; row < n; row += width) {
    const int64_t length = smaller(width, n - row);
    LANGEVIN_INDEPENDENT
    for (int64_t c = 0; c < length; ++c) element(row + c, c);
  }
}

// ---- statistics ----

/// Per channel of one block: its mean, and the sum of squared deviations from it.
template <class T>
void blockStatistics(const T* x, int64_t positions, const Plan& p, double* work, double* mean, double* deviations) {
  reduceRows<SumOf>(x, positions, p.channels, work);
  const double scale = 1 / static_cast<double>(positions);
  for (int64_t c = 0; c < p.channels; ++c) mean[c] = work[c] * scale;
  double* const centre = work + p.width;
  repeatRow(mean, p.channels, p.repeats, centre);
  for (int64_t c = 0; c < p.width; ++c) work[c] = 0;
  forColumns(positions * p.channels, p.width, [&](int64_t i, int64_t c) {
    const double d = static_cast<double>(widen(x[i])) - centre[c];
    work[c] += d * d;
  });
  foldColumns<SumOf>(work, p.repeats, p.channels);
  for (int64_t c = 0; c < p.channels; ++c) deviations[c] = work[c];
}

struct Moments {
  double mean, variance;
};

/// One group's moments from those of its channels in every block.
Moments combine(const Plan& p, const double* means, const double* deviations) {
  double sum = 0, squares = 0;
  for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
    double part = 0;
    for (int64_t c = 0; c < p.groupSize; ++c) part += means[chunk * p.channels + c];
    sum += part * static_cast<double>(p.positionsOf(chunk));
  }
  const double count = static_cast<double>(p.positions * p.groupSize), mean = sum / count;
  for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
    double within = 0, between = 0;
    for (int64_t c = 0; c < p.groupSize; ++c) {
      const double d = means[chunk * p.channels + c] - mean;
      within += deviations[chunk * p.channels + c];
      between += d * d;
    }
    squares += within + between * static_cast<double>(p.positionsOf(chunk));
  }
  return {mean, squares / count};
}

template <class T>
void computeStatistics(Stream& stream, const T* x, StatisticsOf<T>* mean, StatisticsOf<T>* rstd, const Plan& p,
                       double eps) {
  const int64_t blocks = p.outer * p.chunks;
  double* const means = static_cast<double*>(
      stream.scratch(0, 0, 2 * sizeof(double) * static_cast<size_t>(blocks * p.channels)));  // [blocks, channels]
  double* const deviations = means + blocks * p.channels;
  stream.parallel(blocks, [&](int64_t block, int thread) {
    double* const work =
        static_cast<double*>(stream.scratch(thread, 1, 2 * sizeof(double) * static_cast<size_t>(p.width)));
    blockStatistics(x + p.start(block), p.positionsOf(block % p.chunks), p, work, means + block * p.channels,
                    deviations + block * p.channels);
  });
  forRows(stream, p.groups, p.groupSize * p.chunks, [&](int64_t first, int64_t last) {
    for (int64_t g = first; g < last; ++g) {
      const int64_t at = g / p.groupsPerOuter * p.chunks * p.channels + g % p.groupsPerOuter * p.groupSize;
      const Moments m = combine(p, means + at, deviations + at);
      mean[g] = static_cast<StatisticsOf<T>>(m.mean);
      rstd[g] = static_cast<StatisticsOf<T>>(1 / sqrtOf(m.variance + eps));
    }
  });
}

// ---- forward ----

/// The per-channel constants of one outer index, each repeated to the row's width.
template <class C>
struct ChannelRows {
  C *centre, *scale, *shift;
  ChannelRows(Stream& stream, int thread, int64_t width)
      : centre(static_cast<C*>(stream.scratch(thread, 1, 3 * sizeof(C) * static_cast<size_t>(width)))),
        scale(centre + width),
        shift(scale + width) {}
};

void norm(Stream& stream, In x, OptIn gamma, OptIn beta, Out y, Out mean, Out rstd, NormShape s, double eps) {
  const Plan p(s);
  const int64_t n = p.count();
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    const T* const weight = gamma.as<T>(p.channels);
    const T* const bias = beta.as<T>(p.channels);
    T* const target = y.as<T>(n);
    C* const means = mean.as<C>(p.groups);
    C* const rstds = rstd.as<C>(p.groups);
    if (n == 0) return;
    computeStatistics(stream, source, means, rstds, p, eps);
    stream.parallel(p.outer * p.chunks, [&](int64_t block, int thread) {
      const ChannelRows<C> row(stream, thread, p.width);
      const int64_t firstGroup = block / p.chunks * p.groupsPerOuter;
      for (int64_t i = 0; i < p.width; ++i) {
        const int64_t c = i % p.channels, g = firstGroup + c / p.groupSize;
        row.centre[i] = means[g];
        row.scale[i] = weight ? rstds[g] * widen(weight[c]) : rstds[g];
        row.shift[i] = bias ? widen(bias[c]) : C(0);
      }
      const T* const from = source + p.start(block);
      T* const to = target + p.start(block);
      forColumns(p.positionsOf(block % p.chunks) * p.channels, p.width, [&](int64_t i, int64_t c) {
        to[i] = narrow<T>((widen(from[i]) - row.centre[c]) * row.scale[c] + row.shift[c]);
      });
    });
  });
}

// ---- backward ----

/// Σ dy and Σ dy·(x − mean) per channel of every outer index, in f64: [outer, channels] each.
struct GradientSums {
  double *gradient, *product;
};

template <class T>
GradientSums sumGradients(Stream& stream, const T* dy, const T* x, const ComputeOf<T>* mean, const Plan& p) {
  const int64_t blocks = p.outer * p.chunks, size = blocks * p.channels;
  GradientSums sums;  // [outer, chunks, channels], then folded into chunk 0
  sums.gradient = static_cast<double*>(stream.scratch(0, 0, 2 * sizeof(double) * static_cast<size_t>(size)));
  sums.product = sums.gradient + size;
  stream.parallel(blocks, [&](int64_t block, int thread) {
    double* const a =
        static_cast<double*>(stream.scratch(thread, 1, 3 * sizeof(double) * static_cast<size_t>(p.width)));
    double *const b = a + p.width, *const centre = b + p.width;
    const int64_t firstGroup = block / p.chunks * p.groupsPerOuter;
    for (int64_t i = 0; i < p.width; ++i) {
      a[i] = b[i] = 0;
      centre[i] = static_cast<double>(mean[firstGroup + i % p.channels / p.groupSize]);
    }
    const T *const g = dy + p.start(block), *const v = x + p.start(block);
    forColumns(p.positionsOf(block % p.chunks) * p.channels, p.width, [&](int64_t i, int64_t c) {
      const double u = static_cast<double>(widen(g[i]));
      a[c] += u;
      b[c] += u * (static_cast<double>(widen(v[i])) - centre[c]);
    });
    foldColumns<SumOf>(a, p.repeats, p.channels);
    foldColumns<SumOf>(b, p.repeats, p.channels);
    const size_t bytes = sizeof(double) * static_cast<size_t>(p.channels);
    std::memcpy(sums.gradient + block * p.channels, a, bytes);
    std::memcpy(sums.product + block * p.channels, b, bytes);
  });
  stream.parallel(p.outer, [&](int64_t o, int) {
    foldColumns<SumOf>(sums.gradient + o * p.chunks * p.channels, p.chunks, p.channels);
    foldColumns<SumOf>(sums.product + o * p.chunks * p.channels, p.chunks, p.channels);
  });
  return sums;
}

void normBackward(Stream& stream, In dy, In x, In mean, In rstd, OptIn gamma, OptOut dx, OptOut dgamma, OptOut dbeta,
                  NormShape s) {
  const Plan p(s);
  const int64_t n = p.count();
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const gradient = dy.as<T>(n);
    const T* const source = x.as<T>(n);
    const C* const means = mean.as<C>(p.groups);
    const C* const rstds = rstd.as<C>(p.groups);
    const T* const weight = gamma.as<T>(p.channels);
    T* const target = dx.as<T>(n);
    T* const weightGradient = dgamma.as<T>(p.channels);
    T* const biasGradient = dbeta.as<T>(p.channels);
    const GradientSums sums = sumGradients(stream, gradient, source, means, p);

    for (int64_t c = 0; c < p.channels; ++c) {
      double forWeight = 0, forBias = 0;
      for (int64_t o = 0; o < p.outer; ++o) {
        const int64_t at = o * p.chunks * p.channels + c;
        forWeight += sums.product[at] * static_cast<double>(rstds[o * p.groupsPerOuter + c / p.groupSize]);
        forBias += sums.gradient[at];
      }
      if (weightGradient) weightGradient[c] = narrow<T>(static_cast<C>(forWeight));
      if (biasGradient) biasGradient[c] = narrow<T>(static_cast<C>(forBias));
    }
    if (!target || n == 0) return;

    // dx = rstd·(u − Σu/N − (x − mean)·rstd²·Σ u·(x − mean)/N), u = dy·gamma
    const double scale = 1 / static_cast<double>(p.positions * p.groupSize);
    stream.parallel(p.outer * p.chunks, [&](int64_t block, int thread) {
      C* const centre = static_cast<C*>(stream.scratch(thread, 1, 4 * sizeof(C) * static_cast<size_t>(p.width)));
      C *const factor = centre + p.width, *const slope = factor + p.width, *const shift = slope + p.width;
      const int64_t o = block / p.chunks;
      for (int64_t c0 = 0; c0 < p.channels; c0 += p.groupSize) {
        double total = 0, product = 0;
        for (int64_t c = c0; c < c0 + p.groupSize; ++c) {
          const double w = weight ? static_cast<double>(widen(weight[c])) : 1.0;
          total += w * sums.gradient[o * p.chunks * p.channels + c];
          product += w * sums.product[o * p.chunks * p.channels + c];
        }
        const C groupMean = means[o * p.groupsPerOuter + c0 / p.groupSize];
        const double r = static_cast<double>(rstds[o * p.groupsPerOuter + c0 / p.groupSize]);
        for (int64_t c = c0; c < c0 + p.groupSize; ++c) {
          centre[c] = groupMean;
          factor[c] = static_cast<C>(weight ? r * static_cast<double>(widen(weight[c])) : r);
          slope[c] = static_cast<C>(r * r * r * product * scale);
          shift[c] = static_cast<C>(r * total * scale);
        }
      }
      for (C* const row : {centre, factor, slope, shift}) repeatRow(row, p.channels, p.repeats, row);
      const T *const g = gradient + p.start(block), *const v = source + p.start(block);
      T* const to = target + p.start(block);
      forColumns(p.positionsOf(block % p.chunks) * p.channels, p.width, [&](int64_t i, int64_t c) {
        to[i] = narrow<T>(widen(g[i]) * factor[c] - (widen(v[i]) - centre[c]) * slope[c] - shift[c]);
      });
    });
  });
}

// ---- per-channel affine map ----

void channelAffine(Stream& stream, In x, In scale, OptIn shift, Out y, int64_t positions, int64_t channels) {
  const int64_t n = countOf(positions, channels);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    const T* const factors = scale.as<T>(channels);
    const T* const offsets = shift.as<T>(channels);
    T* const target = y.as<T>(n);
    if (n == 0) return;
    const int64_t repeats = repeatsOf(channels, positions, kRowWidth), width = repeats * channels;
    forRows(stream, ceilDiv(positions, repeats), width, [&](int64_t first, int64_t last) {
      // Per block, so that no thread reads what another prepares.
      C factor[kRowWidth], offset[kRowWidth];
      const bool repeated = width <= kRowWidth;
      if (repeated) {
        for (int64_t i = 0; i < width; ++i) {
          factor[i] = widen(factors[i % channels]);
          offset[i] = offsets ? widen(offsets[i % channels]) : C(0);
        }
      }
      const T* const from = source + first * width;
      T* const to = target + first * width;
      const int64_t length = smaller(n, last * width) - first * width;
      if (repeated) {
        forColumns(length, width,
                   [&](int64_t i, int64_t c) { to[i] = narrow<T>(widen(from[i]) * factor[c] + offset[c]); });
      } else if (offsets) {
        forColumns(length, width, [&](int64_t i, int64_t c) {
          to[i] = narrow<T>(widen(from[i]) * widen(factors[c]) + widen(offsets[c]));
        });
      } else {
        forColumns(length, width, [&](int64_t i, int64_t c) { to[i] = narrow<T>(widen(from[i]) * widen(factors[c])); });
      }
    });
  });
}

}  // namespace

void fillNorm(OpTable& ops) {
  ops.norm = norm;
  ops.normBackward = normBackward;
  ops.channelAffine = channelAffine;
}

}  // namespace langevin::LANGEVIN_ISA
