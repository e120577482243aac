// Normalisation of [outer, positions, channels] by groups of channels (batch, instance, layer and group norm), its
// gradient, and a per-channel affine map.
//
// Statistics: each block takes a chunk of positions and sums d and d² in f64, d = x − the chunk's first value of that
// channel; their chunk's mean and squared deviations follow, and a second launch combines chunks and a group's channels
// in the same way, about the first chunk's mean. A value of the sample is never further from the mean than √n standard
// deviations, so that subtracting (Σd)²/n from Σd² costs at most n units of f64's rounding: no cancellation that f32
// could see, without a second pass over x. A third launch normalises.
//
// Bytes per f32 element: 4 + 8 forward, 8 + 12 backward (the sums of dy and dy·(x − mean), then dx). At 3.0 TB/s, 42 MB
// (64×32×32×160): 42 µs forward, 70 µs backward. A thread keeps its channels' constants in registers and walks down
// positions (tiling.h). Not measured on hardware.
#include "../kernels.h"
#include "../reduction.h"

namespace langevin::cuda {

namespace {

/// The extents that kernels use.
struct Groups {
  int64_t outer, positions, channels, groupSize, groupsPerOuter;
};

Groups groupsOf(const NormShape& s) {
  if (s.groupSize < 1 || s.channels < 1 || s.channels % s.groupSize != 0) {
    fault("%lld channels in groups of %lld", static_cast<long long>(s.channels), static_cast<long long>(s.groupSize));
  }
  return {s.outer, s.positions, s.channels, s.groupSize, s.channels / s.groupSize};
}

LANGEVIN_DEVICE bool isFinite(double v) { return v - v == 0; }

/// The group that channel c of an outer index is in.
LANGEVIN_DEVICE int64_t groupOf(const Groups& g, int64_t outer, int64_t c) {
  return outer * g.groupsPerOuter + c / g.groupSize;
}

/// run(V) with whole packs of channels where there are such, else with single ones.
template <class T, class Run>
void withPackSize(int64_t channels, const Run& run) {
  if (channels % kPackSize<T> == 0) return run(std::integral_constant<int, kPackSize<T>>{});
  run(std::integral_constant<int, 1>{});
}

// ---- statistics ----

/// A channel's part in one chunk: mean and Σ (x − mean)².
struct Moments {
  double mean, squares;
};
/// Those of `count` values from Σ d and Σ d², d = value − about.
LANGEVIN_DEVICE Moments momentsOf(double about, double sum, double squares, double count) {
  return {about + sum / count, squares - sum * (sum / count)};
}

/// moments [outer, chunks, channels]
template <class T, int V>
__global__ void __launch_bounds__(kThreads, V == 1 ? 4 : 2) chunkMoments(const T* x, Moments* moments, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  LANGEVIN_SHARED(double, parts, [2 * V][kThreads]);
  const Place p = placeOf(t);
  const T* const column = x + (p.outer * t.rows * t.columns + p.column) * V;
  double about[V], sum[V] = {}, squares[V] = {};
  for (int v = 0; v < V; ++v) {
    const double first = p.active ? static_cast<double>(widen(column[p.chunkStart * t.columns * V + v])) : 0.0;
    about[v] = isFinite(first) ? first : 0.0;
  }
#pragma unroll 4
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const Group<T, V> pack = loadPack<V>(column + r * t.columns * V);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const double d = static_cast<double>(widen(pack.v[v])) - about[v];
      sum[v] += d;
      squares[v] += d * d;
    }
  }
  for (int v = 0; v < V; ++v) {
    parts[v][threadIdx.x] = sum[v];
    parts[V + v][threadIdx.x] = squares[v];
  }
  foldLanes<SumOf>(parts, t, p.row);
  if (p.row != 0) return;
  const int64_t at = ((p.outer * t.chunks + p.chunk) * t.columns + p.column) * V;
  const double count = static_cast<double>(p.endRow - p.chunkStart);
  for (int v = 0; v < V; ++v) {
    moments[at + v] = momentsOf(about[v], parts[v][threadIdx.x], parts[V + v][threadIdx.x], count);
  }
}

/// A group's mean and rstd from the moments of its channels in every chunk: rows of the tiling are (chunk, channel of
/// the group), columns are groups. Each chunk but the last has rowsPerChunk positions.
template <class C>
__global__ void __launch_bounds__(kThreads) combineMoments(const Moments* moments, C* mean, C* rstd, Groups g,
                                                           int64_t chunks, int64_t rowsPerChunk, double eps, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  LANGEVIN_SHARED(double, parts, [3][kThreads]);
  const Place p = placeOf(t);
  const Moments* const group = moments + p.outer * chunks * g.channels + p.column * g.groupSize;
  const double first = p.active ? group[0].mean : 0.0, about = isFinite(first) ? first : 0.0;
  double sum = 0, squares = 0, within = 0;
#pragma unroll 4
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const int64_t chunk = r / g.groupSize;
    const Moments m = group[chunk * g.channels + r % g.groupSize];
    const double count = static_cast<double>(smaller(g.positions, (chunk + 1) * rowsPerChunk) - chunk * rowsPerChunk);
    const double d = m.mean - about;
    sum += count * d;
    squares += count * d * d;
    within += m.squares;
  }
  parts[0][threadIdx.x] = sum;
  parts[1][threadIdx.x] = squares;
  parts[2][threadIdx.x] = within;
  foldLanes<SumOf>(parts, t, p.row);
  if (p.row != 0) return;
  const double count = static_cast<double>(g.positions * g.groupSize);
  const Moments m = momentsOf(about, parts[0][threadIdx.x], parts[1][threadIdx.x], count);
  const double variance = (m.squares + parts[2][threadIdx.x]) / count;
  const int64_t at = p.outer * g.groupsPerOuter + p.column;
  mean[at] = static_cast<C>(m.mean);
  rstd[at] = static_cast<C>(1 / sqrt(variance + eps));
}

// ---- forward ----

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    normalise(const T* x, const T* gamma, const T* beta, const ComputeOf<T>* mean, const ComputeOf<T>* rstd, T* y,
              Groups g, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  const Place p = placeOf(t);
  if (!p.active) return;
  float centre[V], scale[V], shift[V];
  for (int v = 0; v < V; ++v) {
    const int64_t c = p.column * V + v, group = groupOf(g, p.outer, c);
    centre[v] = mean[group];
    scale[v] = gamma ? rstd[group] * widen(gamma[c]) : rstd[group];
    shift[v] = beta ? widen(beta[c]) : 0.0f;
  }
  const int64_t column = (p.outer * t.rows * t.columns + p.column) * V;
#pragma unroll 4
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const int64_t at = column + r * t.columns * V;
    const Group<T, V> pack = loadPack<V>(x + at);
    float values[V];
#pragma unroll
    for (int v = 0; v < V; ++v) values[v] = fmaf(widen(pack.v[v]) - centre[v], scale[v], shift[v]);
    storePack(y + at, values);
  }
}

void norm(Stream& stream, In x, OptIn gamma, OptIn beta, Out y, Out mean, Out rstd, NormShape s, double eps) {
  const Groups g = groupsOf(s);
  const int64_t n = countOf(g.outer, g.positions, g.channels), groups = countOf(g.outer, g.groupsPerOuter);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const source = x.as<T>(n);
    const T* const weight = gamma.as<T>(g.channels);
    const T* const bias = beta.as<T>(g.channels);
    T* const target = y.as<T>(n);
    C* const means = mean.as<C>(groups);
    C* const rstds = rstd.as<C>(groups);
    if (n == 0) return;
    withPackSize<T>(g.channels, [&](auto width) {
      const Tiling reading = Tiling::forReduction(g.outer, g.positions, g.channels / width);
      const size_t bytes = sizeof(Moments) * static_cast<size_t>(g.outer * reading.chunks * g.channels);
      Moments* const moments = static_cast<Moments*>(stream.workspace(1, bytes));
      stream.launch(chunkMoments<T, width>, reading.launch(moments), source, moments, reading);

      const Tiling combining = Tiling::forFolding(g.outer, reading.chunks * g.groupSize, g.groupsPerOuter);
      stream.launch(combineMoments<C>, combining.launch(means, rstds), moments, means, rstds, g, reading.chunks,
                    reading.rowsPerChunk, eps, combining);

      const Tiling writing = Tiling::forMap(g.outer, g.positions, g.channels / width);
      stream.launch(normalise<T, width>, writing.launch(target), source, weight, bias, means, rstds, target, g,
                    writing);
    });
  });
}

// ---- backward ----

/// gradient and product [outer, chunks, channels]: Σ dy and Σ dy·(x − mean).
template <class T, int V>
__global__ void __launch_bounds__(kThreads) sumGradients(const T* dy, const T* x, const ComputeOf<T>* mean,
                                                         double* gradient, double* product, Groups g, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  LANGEVIN_SHARED(double, parts, [2 * V][kThreads]);
  const Place p = placeOf(t);
  double centre[V], sum[V] = {}, products[V] = {};
  for (int v = 0; v < V; ++v) {
    centre[v] = p.active ? static_cast<double>(mean[groupOf(g, p.outer, p.column * V + v)]) : 0.0;
  }
  const int64_t column = (p.outer * t.rows * t.columns + p.column) * V;
#pragma unroll 4
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const Group<T, V> u = loadPack<V>(dy + column + r * t.columns * V), w = loadPack<V>(x + column + r * t.columns * V);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const double d = static_cast<double>(widen(u.v[v]));
      sum[v] += d;
      products[v] += d * (static_cast<double>(widen(w.v[v])) - centre[v]);
    }
  }
  for (int v = 0; v < V; ++v) {
    parts[v][threadIdx.x] = sum[v];
    parts[V + v][threadIdx.x] = products[v];
  }
  foldLanes<SumOf>(parts, t, p.row);
  if (p.row != 0) return;
  const int64_t at = ((p.outer * t.chunks + p.chunk) * t.columns + p.column) * V;
  for (int v = 0; v < V; ++v) {
    gradient[at + v] = parts[v][threadIdx.x];
    product[at + v] = parts[V + v][threadIdx.x];
  }
}

/// What dx takes from a whole group: dx = dy·gamma·rstd − (x − mean)·slope − shift.
template <class C>
struct GroupTerms {
  C slope, shift;
};

/// Per group, from Σ dy and Σ dy·(x − mean) of its channels (rows of the tiling; columns are groups): slope = rstd³·Σ
/// gamma·product/N and shift = rstd·Σ gamma·gradient/N. And product ·= rstd, its channel's part of dgamma.
template <class T>
__global__ void __launch_bounds__(kThreads)
    combineGradients(const double* gradient, double* product, const ComputeOf<T>* rstd, const T* gamma,
                     GroupTerms<ComputeOf<T>>* terms, Groups g, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  using C = ComputeOf<T>;
  LANGEVIN_SHARED(double, parts, [2][kThreads]);
  const Place p = placeOf(t);
  const int64_t group = p.outer * g.groupsPerOuter + p.column;
  const double r = p.active ? static_cast<double>(rstd[group]) : 0.0;
  double total = 0, products = 0;
  for (int64_t k = p.firstRow; k < p.endRow; k += t.rowLanes) {
    const int64_t c = p.column * g.groupSize + k, at = p.outer * g.channels + c;
    const double weight = gamma ? static_cast<double>(widen(gamma[c])) : 1.0;
    total += weight * gradient[at];
    products += weight * product[at];
    product[at] *= r;
  }
  parts[0][threadIdx.x] = total;
  parts[1][threadIdx.x] = products;
  foldLanes<SumOf>(parts, t, p.row);
  if (p.row != 0) return;
  const double scale = 1 / static_cast<double>(g.positions * g.groupSize);
  terms[group] = {static_cast<C>(r * r * r * parts[1][threadIdx.x] * scale),
                  static_cast<C>(r * parts[0][threadIdx.x] * scale)};
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    normGradient(const T* dy, const T* x, const ComputeOf<T>* mean, const ComputeOf<T>* rstd, const T* gamma,
                 const GroupTerms<ComputeOf<T>>* terms, T* dx, Groups g, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  const Place p = placeOf(t);
  if (!p.active) return;
  float centre[V], factor[V], slope[V], shift[V];
  for (int v = 0; v < V; ++v) {
    const int64_t c = p.column * V + v, group = groupOf(g, p.outer, c);
    centre[v] = mean[group];
    factor[v] = gamma ? rstd[group] * widen(gamma[c]) : rstd[group];
    slope[v] = terms[group].slope;
    shift[v] = terms[group].shift;
  }
  const int64_t column = (p.outer * t.rows * t.columns + p.column) * V;
#pragma unroll 2
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const int64_t at = column + r * t.columns * V;
    const Group<T, V> u = loadPack<V>(dy + at), w = loadPack<V>(x + at);
    float values[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float common = fmaf(widen(w.v[v]) - centre[v], slope[v], shift[v]);
      values[v] = fmaf(widen(u.v[v]), factor[v], -common);
    }
    storePack(dx + at, values);
  }
}

void normBackward(Stream& stream, In dy, In x, In mean, In rstd, OptIn gamma, OptOut dx, OptOut dgamma, OptOut dbeta,
                  NormShape s) {
  const Groups g = groupsOf(s);
  const int64_t n = countOf(g.outer, g.positions, g.channels), groups = countOf(g.outer, g.groupsPerOuter);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    const T* const gradient = dy.as<T>(n);
    const T* const source = x.as<T>(n);
    const C* const means = mean.as<C>(groups);
    const C* const rstds = rstd.as<C>(groups);
    const T* const weight = gamma.as<T>(g.channels);
    T* const target = dx.as<T>(n);
    T* const weightGradient = dgamma.as<T>(g.channels);
    T* const biasGradient = dbeta.as<T>(g.channels);
    if (n == 0) {  // sums of nothing
      if (weightGradient) reduceAxis<SumOf>(stream, source, weightGradient, 1, 0, g.channels);
      if (biasGradient) reduceAxis<SumOf>(stream, source, biasGradient, 1, 0, g.channels);
      return;
    }
    withPackSize<T>(g.channels, [&](auto width) {
      const Tiling reading = Tiling::forReduction(g.outer, g.positions, g.channels / width);
      const int64_t perChunk = g.outer * g.channels, partial = perChunk * reading.chunks;
      // [outer, chunks, channels] of each sum, and [outer, channels] of each where there are several chunks
      double* const sums =
          static_cast<double*>(stream.workspace(1, 2 * sizeof(double) * static_cast<size_t>(partial + perChunk)));
      double *total = sums, *product = sums + partial;
      stream.launch(sumGradients<T, width>, reading.launch(total, product), gradient, source, means, total, product, g,
                    reading);
      if (reading.chunks > 1) {
        double* const folded = sums + 2 * partial;
        reduceAxis<SumOf>(stream, total, folded, g.outer, reading.chunks, g.channels);
        reduceAxis<SumOf>(stream, product, folded + perChunk, g.outer, reading.chunks, g.channels);
        total = folded;
        product = folded + perChunk;
      }
      auto* const terms =
          static_cast<GroupTerms<C>*>(stream.workspace(2, sizeof(GroupTerms<C>) * static_cast<size_t>(groups)));
      const Tiling combining = Tiling::forFolding(g.outer, g.groupSize, g.groupsPerOuter);
      stream.launch(combineGradients<T>, combining.launch(product, terms), total, product, rstds, weight, terms, g,
                    combining);
      if (weightGradient) reduceAxis<SumOf>(stream, product, weightGradient, 1, g.outer, g.channels);
      if (biasGradient) reduceAxis<SumOf>(stream, total, biasGradient, 1, g.outer, g.channels);
      if (!target) return;
      const Tiling writing = Tiling::forMap(g.outer, g.positions, g.channels / width);
      stream.launch(normGradient<T, width>, writing.launch(target), gradient, source, means, rstds, weight, terms,
                    target, g, writing);
    });
  });
}

// ---- per-channel affine map ----

template <class T, int V>
__global__ void __launch_bounds__(kThreads, 4)
    scaleChannels(const T* x, const T* scale, const T* shift, T* y, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  const Place p = placeOf(t);
  if (!p.active) return;
  float factor[V], offset[V];
  for (int v = 0; v < V; ++v) {
    factor[v] = widen(scale[p.column * V + v]);
    offset[v] = shift ? widen(shift[p.column * V + v]) : 0.0f;
  }
#pragma unroll 4
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const int64_t at = (r * t.columns + p.column) * V;
    const Group<T, V> pack = loadPack<V>(x + at);
    float values[V];
#pragma unroll
    for (int v = 0; v < V; ++v) values[v] = fmaf(widen(pack.v[v]), factor[v], offset[v]);
    storePack(y + at, values);
  }
}

void channelAffine(Stream& stream, In x, In scale, OptIn shift, Out y, int64_t positions, int64_t channels) {
  const int64_t n = countOf(positions, channels);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    const T* const factors = scale.as<T>(channels);
    const T* const offsets = shift.as<T>(channels);
    T* const target = y.as<T>(n);
    if (n == 0) return;
    withPackSize<T>(channels, [&](auto width) {
      const Tiling t = Tiling::forMap(1, positions, channels / width);
      stream.launch(scaleChannels<T, width>, t.launch(target), source, factors, offsets, target, t);
    });
  });
}

}  // namespace

void fillNorm(OpTable& ops) {
  ops.norm = norm;
  ops.normBackward = normBackward;
  ops.channelAffine = channelAffine;
}

}  // namespace langevin::cuda
