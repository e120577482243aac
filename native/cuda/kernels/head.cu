// Softmax, log-sum-exp and cross-entropy over rows of logits, and their gradients.
//
// With L(x) = log Σ exp x, all are written with the row's maximum m subtracted: e[c] = exp(x[c] − m), s = Σ e, so that
// nothing overflows. A row of −∞ alone gives L = −∞, one with +∞ gives +∞, one with NaN gives NaN.
//
// Rows are short (classes), so a few adjacent lanes of a warp take one row and fold by shuffles; sums are f64. A batch
// of 64 × 10 is 2.5 KB: every one of these is launch time (2 to 3 µs); large batches run at memory speed (8 bytes per
// f32 element of a softmax, 3.0 TB/s). Not measured on hardware.
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
  LaunchShape launch(const Stream& stream) const { return loopOver(stream, rows * lanes); }
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
    stream.launch(softmaxRows<T>, s.launch(stream), source, target, logarithm, s);
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
    stream.launch(softmaxGradient<T>, s.launch(stream), output, gradient, target, logarithm, s);
  });
}

/// `labels` may be absent.
template <class T>
void launchLogSumExp(Stream& stream, In x, const int32_t* labels, Out y, int64_t rows, int64_t columns) {
  const Rows s(rows, columns);
  stream.launch(logSumExpRows<T>, s.launch(stream), x.as<T>(countOf(rows, columns)), labels, y.as<T>(rows), s,
                stream.faults());
}
template <class T>
void launchLogSumExpGradient(Stream& stream, In x, const int32_t* labels, In dy, Out dx, int64_t rows,
                             int64_t columns) {
  const int64_t n = countOf(rows, columns);
  const Rows s(rows, columns);
  stream.launch(logSumExpGradient<T>, s.launch(stream), x.as<T>(n), labels, dy.as<T>(rows), dx.as<T>(n), s,
                stream.faults());
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

}  // namespace

void fillHead(OpTable& ops) {
  ops.softmax = softmax;
  ops.softmaxBackward = softmaxBackward;
  ops.logsumexp = logsumexp;
  ops.logsumexpBackward = logsumexpBackward;
  ops.crossEntropy = crossEntropy;
  ops.crossEntropyBackward = crossEntropyBackward;
}

}  // namespace langevin::cuda
