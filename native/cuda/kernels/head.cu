// Softmax, log-sum-exp and cross-entropy over rows of logits, and their gradients; and the whole head of an
// energy-based classifier (pooling, linear map, log-sum-exp), whose gradient is one row per image that every position
// shares.
//
// With L(x) = log Σ exp x, all are written with the row's maximum m subtracted: e[c] = exp(x[c] − m), s = Σ e, so that
// nothing overflows. A row of −∞ alone gives L = −∞, one with +∞ gives +∞, one with NaN gives NaN. Rows are short
// (classes), so a few adjacent lanes of a warp take one row and fold by shuffles; sums are f64. A batch of 64 × 10 is
// 2.5 KB: every one of these is launch time (2 to 3 µs); large batches run at memory speed (8 bytes per f32 element of
// a softmax, 3.0 TB/s).
//
// The fused head reads the last activation once (WRN-28-10, batch 64, bf16: 5.2 MB, one block per image, about 4 µs:
// each of 64 multiprocessors streams 82 KB), and its backward pass writes the gradient once, with the activation's own
// derivative, 1.8 µs at 3.0 TB/s. They replace seven launches. Not measured on hardware.
#include "../kernels.h"
#include "../reduction.h"

namespace langevin::cuda {

namespace {

constexpr unsigned kWholeWarp = 0xffffffffu;

/// Rows of logits, each taken by `lanes` (a power of two, at most 32) adjacent lanes.
struct Rows {
  int64_t rows, columns;
  int32_t lanes;

  Rows(int64_t rows, int64_t columns) : rows(rows), columns(columns), lanes(1) {
    while (lanes < 32 && lanes * 2 <= columns) lanes *= 2;
  }
  LaunchShape launch(const Stream& stream, const void* written) const {
    return overlapped(loopOver(stream, rows * lanes), written);
  }
};

/// A thread's row, and its first column. Shuffles need the whole warp, so a thread beyond the last row stays, with no
/// columns.
struct RowPlace {
  int64_t row, columns;
  int32_t lane;
  bool active;
};
LANGEVIN_DEVICE RowPlace rowPlaceOf(const Rows& s, int64_t firstRowOfBlock) {
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const int64_t row = firstRowOfBlock + thread / s.lanes;
  return {row, row < s.rows ? s.columns : 0, thread % s.lanes, row < s.rows};
}
LANGEVIN_DEVICE int64_t rowsPerBlock(const Rows& s) { return static_cast<int64_t>(blockDim.x) / s.lanes; }

/// The join over a row's lanes, in every one of them.
template <class Kind, class A>
LANGEVIN_DEVICE A foldRow(A v, int32_t lanes) {
  for (int32_t offset = lanes / 2; offset > 0; offset /= 2) {
    v = Kind::join(v, __shfl_xor_sync(kWholeWarp, v, offset));
  }
  return v;
}

template <class T>
LANGEVIN_DEVICE float maximumOfRow(const T* x, const RowPlace& p, int32_t lanes) {
  float m = MaxOf::start();
  for (int64_t c = p.lane; c < p.columns; c += lanes) m = maximumOf(m, widen(x[c]));
  return foldRow<MaxOf>(m, lanes);
}
/// Σ exp(x[c] − m)
template <class T>
LANGEVIN_DEVICE double sumExp(const T* x, float m, const RowPlace& p, int32_t lanes) {
  double sum = 0;
  for (int64_t c = p.lane; c < p.columns; c += lanes) sum += static_cast<double>(expf(widen(x[c]) - m));
  return foldRow<SumOf>(sum, lanes);
}

template <class T>
__global__ void __launch_bounds__(kThreads) softmaxRows(const T* x, T* y, bool logarithm, Rows s) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t first = blockIdx.x * rowsPerBlock(s); first < s.rows; first += gridDim.x * rowsPerBlock(s)) {
    const RowPlace p = rowPlaceOf(s, first);
    const T* const from = x + p.row * s.columns;
    T* const to = y + p.row * s.columns;
    const float m = maximumOfRow(from, p, s.lanes);
    const double sum = sumExp(from, m, p, s.lanes);
    const float scale = static_cast<float>(1 / sum), logSum = static_cast<float>(log(sum));
    for (int64_t c = p.lane; c < p.columns; c += s.lanes) {
      const float d = widen(from[c]) - m;
      to[c] = narrow<T>(logarithm ? d - logSum : expf(d) * scale);
    }
  }
}

/// softmax: dx = y·(dy − Σ dy·y). Its logarithm: dx = dy − exp(y)·Σ dy.
template <class T>
__global__ void __launch_bounds__(kThreads) softmaxGradient(const T* y, const T* dy, T* dx, bool logarithm, Rows s) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t first = blockIdx.x * rowsPerBlock(s); first < s.rows; first += gridDim.x * rowsPerBlock(s)) {
    const RowPlace p = rowPlaceOf(s, first);
    const int64_t start = p.row * s.columns;
    double sum = 0;
    for (int64_t c = p.lane; c < p.columns; c += s.lanes) {
      const double weight = logarithm ? 1.0 : static_cast<double>(widen(y[start + c]));
      sum += static_cast<double>(widen(dy[start + c])) * weight;
    }
    const float total = static_cast<float>(foldRow<SumOf>(sum, s.lanes));
    for (int64_t c = p.lane; c < p.columns; c += s.lanes) {
      const float v = widen(y[start + c]), u = widen(dy[start + c]);
      dx[start + c] = narrow<T>(logarithm ? u - expf(v) * total : v * (u - total));
    }
  }
}

/// y = L(x); with labels, L(x) − x[label].
template <class T>
__global__ void __launch_bounds__(kThreads)
    logSumExpRows(const T* x, const int32_t* labels, T* y, Rows s, KernelFault* faults) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t first = blockIdx.x * rowsPerBlock(s); first < s.rows; first += gridDim.x * rowsPerBlock(s)) {
    const RowPlace p = rowPlaceOf(s, first);
    const T* const from = x + p.row * s.columns;
    const float m = maximumOfRow(from, p, s.lanes);
    const float logSum = static_cast<float>(log(sumExp(from, m, p, s.lanes)));
    if (!p.active || p.lane != 0) continue;
    if (!labels) {
      y[p.row] = narrow<T>(m - m == 0 ? m + logSum : m);
      continue;
    }
    const int64_t label = checkedIndex(labels, p.row, s.columns, faults);
    if (label >= 0) y[p.row] = narrow<T>((m - widen(from[label])) + logSum);
  }
}

/// dx = softmax(x)·dy; with labels, (softmax(x) − onehot(label))·dy. A row of −∞ alone has no gradient. Softmax is
/// computed again from x, which is exact where L(x) was rounded to bf16.
template <class T>
__global__ void __launch_bounds__(kThreads)
    logSumExpGradient(const T* x, const int32_t* labels, const T* dy, T* dx, Rows s, KernelFault* faults) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t first = blockIdx.x * rowsPerBlock(s); first < s.rows; first += gridDim.x * rowsPerBlock(s)) {
    const RowPlace p = rowPlaceOf(s, first);
    const T* const from = x + p.row * s.columns;
    T* const to = dx + p.row * s.columns;
    const float m = maximumOfRow(from, p, s.lanes), shift = m == MaxOf::start() ? 0.0f : m;
    const double sum = sumExp(from, shift, p, s.lanes);
    if (!p.active) continue;
    const float scale = static_cast<float>(sum > 0 ? 1 / sum : sum), gradient = widen(dy[p.row]);
    const int64_t label = labels ? checkedIndex(labels, p.row, s.columns, faults) : -1;
    for (int64_t c = p.lane; c < p.columns; c += s.lanes) {
      const float probability = expf(widen(from[c]) - shift) * scale;
      to[c] = narrow<T>((c == label ? probability - 1 : probability) * gradient);
    }
  }
}

void softmax(Stream& stream, In x, Out y, int64_t rows, int64_t columns, bool logarithm) {
  const int64_t n = countOf(rows, columns);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(n);
    T* const target = y.as<T>(n);
    if (n == 0) return;
    const Rows s(rows, columns);
    stream.launch(softmaxRows<T>, s.launch(stream, target), source, target, logarithm, s);
  });
}

void softmaxBackward(Stream& stream, In y, In dy, Out dx, int64_t rows, int64_t columns, bool logarithm) {
  const int64_t n = countOf(rows, columns);
  withFloat(y.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const output = y.as<T>(n);
    const T* const gradient = dy.as<T>(n);
    T* const target = dx.as<T>(n);
    if (n == 0) return;
    const Rows s(rows, columns);
    stream.launch(softmaxGradient<T>, s.launch(stream, target), output, gradient, target, logarithm, s);
  });
}

/// `labels` may be absent.
template <class T>
void launchLogSumExp(Stream& stream, In x, const int32_t* labels, Out y, int64_t rows, int64_t columns) {
  const Rows s(rows, columns);
  const T* const source = x.as<T>(countOf(rows, columns));
  T* const target = y.as<T>(rows);
  stream.launch(logSumExpRows<T>, s.launch(stream, target), source, labels, target, s, stream.faults());
}
template <class T>
void launchLogSumExpGradient(Stream& stream, In x, const int32_t* labels, In dy, Out dx, int64_t rows,
                             int64_t columns) {
  const int64_t n = countOf(rows, columns);
  const Rows s(rows, columns);
  const T* const source = x.as<T>(n);
  const T* const gradient = dy.as<T>(rows);
  T* const target = dx.as<T>(n);
  stream.launch(logSumExpGradient<T>, s.launch(stream, target), source, labels, gradient, target, s, stream.faults());
}

void logsumexp(Stream& stream, In x, Out y, int64_t rows, int64_t columns) {
  withFloat(x.dtype, [&](auto type) { launchLogSumExp<decltype(type)>(stream, x, nullptr, y, rows, columns); });
}

void logsumexpBackward(Stream& stream, In x, In y, In dy, Out dx, int64_t rows, int64_t columns) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    y.as<T>(rows);
    launchLogSumExpGradient<T>(stream, x, nullptr, dy, dx, rows, columns);
  });
}

void crossEntropy(Stream& stream, In x, In labels, Out loss, int64_t rows, int64_t columns) {
  const int32_t* const label = labels.as<int32_t>(rows);
  withFloat(x.dtype, [&](auto type) { launchLogSumExp<decltype(type)>(stream, x, label, loss, rows, columns); });
}

void crossEntropyBackward(Stream& stream, In x, In labels, In dy, Out dx, int64_t rows, int64_t columns) {
  const int32_t* const label = labels.as<int32_t>(rows);
  withFloat(x.dtype,
            [&](auto type) { launchLogSumExpGradient<decltype(type)>(stream, x, label, dy, dx, rows, columns); });
}

// ---- the fused head: pooling, linear map and log-sum-exp, and its gradient ----

struct HeadShape {
  int64_t positions, channels, classes;
};

/// z becomes ∂f/∂z; returns f = log Σ exp z, or z[label] where label ≥ 0. By the threads of one warp.
LANGEVIN_DEVICE float energyOfRow(float* z, int64_t classes, int64_t label) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const RowPlace p = {0, classes, lane, true};
  if (label >= 0) {
    const float f = z[label];
    __syncwarp();
    for (int64_t k = lane; k < classes; k += 32) z[k] = k == label ? 1.0f : 0.0f;
    return f;
  }
  const float m = maximumOfRow(z, p, 32), shift = m == MaxOf::start() ? 0.0f : m;
  const double sum = sumExp(z, shift, p, 32);
  const float scale = static_cast<float>(sum > 0 ? 1 / sum : sum);
  for (int64_t k = lane; k < classes; k += 32) z[k] = expf(z[k] - shift) * scale;
  return m - m == 0 ? m + static_cast<float>(log(sum)) : m;
}

/// One block per image: its mean over positions, then one warp per class for the logits, one warp for f and the
/// probabilities, and all threads for the gradient. Between the stages, means and logits lie in the block's rows of
/// `pooled` [batch, channels] and `logits` [batch, classes], in L1.
template <class T, class W, int V>
__global__ void __launch_bounds__(kThreads)
    energyHeads(const T* x, const W* weight, const W* bias, const int32_t* labels, W* f, float* gradient, float* pooled,
                float* logits, HeadShape s, Tiling t, KernelFault* faults) {
  ptx::waitForPrevious();
  LANGEVIN_SHARED(double, parts, [V][kThreads]);
  const int64_t image = blockIdx.x;
  const int32_t thread = static_cast<int32_t>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  constexpr int32_t kWarps = static_cast<int32_t>(kThreads) / 32;
  const double scale = 1 / static_cast<double>(s.positions);
  float* const mean = pooled + image * s.channels;
  float* const z = logits + image * s.classes;

  for (int64_t tile = 0; tile < t.tiles; ++tile) {
    const Place p = placeOf(t, tile);
    const T* const column = x + (image * s.positions * t.columns + p.column) * V;
    double sum[V] = {};
#pragma unroll 4
    for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
      const Group<T, V> pack = loadPack<V>(column + r * t.columns * V);
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] += static_cast<double>(widen(pack.v[v]));
    }
    for (int v = 0; v < V; ++v) parts[v][thread] = sum[v];
    foldLanes<SumOf>(parts, t, p.row);
    if (p.row == 0) {
      for (int v = 0; v < V; ++v) mean[p.column * V + v] = static_cast<float>(parts[v][thread] * scale);
    }
    __syncthreads();
  }

  for (int64_t k = warp; k < s.classes; k += kWarps) {
    float sum = 0;
    for (int64_t c = lane; c < s.channels; c += 32) sum = fmaf(mean[c], widen(weight[c * s.classes + k]), sum);
    const double total = foldRow<SumOf>(static_cast<double>(sum), 32);
    if (lane == 0) z[k] = static_cast<float>(total + (bias ? static_cast<double>(widen(bias[k])) : 0.0));
  }
  __syncthreads();

  if (warp == 0) {
    const int64_t label = labels ? checkedIndex(labels, image, s.classes, faults) : -1;
    const float energy = energyOfRow(z, s.classes, label);
    if (lane == 0) f[image] = narrow<W>(energy);
  }
  __syncthreads();

  if (!gradient) return;
  for (int64_t c = thread; c < s.channels; c += kThreads) {
    float sum = 0;
    for (int64_t k = 0; k < s.classes; ++k) sum = fmaf(z[k], widen(weight[c * s.classes + k]), sum);
    gradient[image * s.channels + c] = static_cast<float>(static_cast<double>(sum) * scale);
  }
}

/// run(element type of x, element type of `other`): the same, or bf16 and float.
template <class Run>
void withMixed(DType x, DType other, const Run& run) {
  withFloat(x, [&](auto type) {
    if (sizeof(type) == 2 && other == DType::f32) return run(type, float{});
    run(type, type);
  });
}

template <int V, class T, class W>
void launchEnergyHeads(Stream& stream, const T* x, const W* weight, const W* bias, const int32_t* labels, W* f,
                       float* gradient, int64_t batch, const HeadShape& s) {
  float* const pooled =
      static_cast<float*>(stream.workspace(0, sizeof(float) * static_cast<size_t>(batch * (s.channels + s.classes))));
  const Tiling t = Tiling::forOneBlock(s.positions, s.channels / V);
  LaunchShape shape{dim3(static_cast<unsigned>(batch)), dim3(kThreads)};
  shape.overlapPrevious = true;
  stream.launch(energyHeads<T, W, V>, shape, x, weight, bias, labels, f, gradient, pooled, pooled + batch * s.channels,
                s, t, stream.faults());
}

void energyHead(Stream& stream, In x, In weight, OptIn bias, OptIn labels, Out f, OptOut gradient, int64_t batch,
                int64_t positions, int64_t channels, int64_t classes) {
  const int64_t n = countOf(batch, positions, channels), weightCount = countOf(channels, classes);
  const int64_t featureCount = countOf(batch, channels);
  const int32_t* const label = labels.as<int32_t>(batch);
  withMixed(x.dtype, weight.dtype, [&](auto type, auto weightType) {
    using T = decltype(type);
    using W = decltype(weightType);
    const T* const source = x.as<T>(n);
    const W* const matrix = weight.as<W>(weightCount);
    const W* const shift = bias.as<W>(classes);
    W* const target = f.as<W>(batch);
    float* const slopes = gradient.as<float>(featureCount);
    if (classes == 0) fault("a head of no classes");
    const HeadShape s = {positions, channels, classes};
    if (channels % kPackSize<T> == 0) {
      return launchEnergyHeads<kPackSize<T>>(stream, source, matrix, shift, label, target, slopes, batch, s);
    }
    launchEnergyHeads<1>(stream, source, matrix, shift, label, target, slopes, batch, s);
  });
}

/// A thread keeps its channels' gradient in registers and walks down the positions of an image.
template <class T, class D, int V>
__global__ void __launch_bounds__(kThreads, 4)
    spreadEnergy(const float* gradient, const D* dy, const uint8_t* signs, const T* add, T* dx, float slope, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  const Place p = placeOf(t);
  if (!p.active) return;
  float value[V];
  for (int v = 0; v < V; ++v) {
    value[v] = widen(dy[p.outer]) * gradient[(p.outer * t.columns + p.column) * V + v];
  }
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const int64_t at = ((p.outer * t.rows + r) * t.columns + p.column) * V;
    // A pack's bits lie in one byte: V divides 8, and at is a multiple of V.
    const uint32_t bits = signs ? static_cast<uint32_t>(signs[at / 8]) >> (at % 8) : 0xffu;
    float values[V];
#pragma unroll
    for (int v = 0; v < V; ++v) values[v] = bits >> v & 1 ? value[v] : slope * value[v];
    if (add) {
      const Group<T, V> other = loadPack<V>(add + at);
#pragma unroll
      for (int v = 0; v < V; ++v) values[v] += widen(other.v[v]);
    }
    storePack(dx + at, values);
  }
}

void energyHeadBackward(Stream& stream, In gradient, In dy, OptIn signs, OptIn add, Out dx, int64_t batch,
                        int64_t positions, int64_t channels, double slope) {
  const int64_t n = countOf(batch, positions, channels), featureCount = countOf(batch, channels);
  const uint8_t* const bits = signs.as<uint8_t>(ceilDiv(n, 8));
  withMixed(dx.dtype, dy.dtype, [&](auto type, auto factorType) {
    using T = decltype(type);
    using D = decltype(factorType);
    const float* const slopes = gradient.as<float>(featureCount);
    const D* const factors = dy.as<D>(batch);
    const T* const other = add.as<T>(n);
    T* const target = dx.as<T>(n);
    if (n == 0) return;
    constexpr int V = kPackSize<T>;
    if (channels % V == 0) {
      const Tiling t = Tiling::forMap(batch, positions, channels / V);
      return stream.launch(spreadEnergy<T, D, V>, t.launch(target), slopes, factors, bits, other, target, slope, t);
    }
    const Tiling t = Tiling::forMap(batch, positions, channels);
    stream.launch(spreadEnergy<T, D, 1>, t.launch(target), slopes, factors, bits, other, target, slope, t);
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

}  // namespace langevin::cuda
