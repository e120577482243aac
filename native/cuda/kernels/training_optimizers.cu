// Adam, SGD, moving averages and gradient norms: one kernel over all parameters.
//
// Pointers and sizes of up to 64 tensors travel as a kernel's argument (WRN-28-10 has 58), and every block has 4096
// elements of one tensor, which it finds by bisection. Bytes per f32 element: adam 28 (reads p, g, m, v, writes p, m,
// v), sgd 20, movingAverage 12, sumSquares 4, all at memory speed: for the 36.5 million parameters of WRN-28-10 at 3.0
// TB/s (H100) 340, 243, 146 and 49 µs. Adam's quotient and root are about 60 instructions per element, a fifth of what
// the GPU does in that time.
//
// Sums of squares are taken in f64: a thread adds its elements, a block its threads pairwise, and one block all blocks,
// in an order that depends on the sizes alone.
//
// Not measured on hardware.
#include <cmath>

#include "../groups.h"
#include "training.h"

namespace langevin::cuda {

namespace {

// ---- several tensors in one launch ----

constexpr int kTensors = 64;
constexpr int64_t kBlockElements = 4096;

/// Up to kTensors tensors, each of K buffers of the same count, and the blocks that go over them, numbered through:
/// none spans two tensors.
template <int K>
struct TensorTable {
  void* data[K][kTensors];
  int64_t count[kTensors];
  int32_t firstBlock[kTensors + 1] = {};
  int32_t tensors = 0;

  int32_t blocks() const { return firstBlock[tensors]; }
  bool full() const { return tensors == kTensors; }
  void add(const void* const (&buffers)[K], int64_t n) {
    for (int k = 0; k < K; ++k) data[k][tensors] = const_cast<void*>(buffers[k]);
    count[tensors] = n;
    firstBlock[tensors + 1] = firstBlock[tensors] + static_cast<int32_t>(ceilDiv(n, kBlockElements));
    ++tensors;
  }
};
static_assert(sizeof(TensorTable<4>) < 3072, "arguments of a kernel are at most 4 KiB");

/// A block's part of a tensor.
struct Part {
  int tensor;
  int64_t begin, end;
};

template <int K>
LANGEVIN_DEVICE Part partOf(const TensorTable<K>& table) {
  const int block = static_cast<int>(blockIdx.x);
  int low = 0, high = table.tensors;  // firstBlock[low] ≤ block < firstBlock[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.firstBlock[middle] <= block ? low : high) = middle;
  }
  const int64_t begin = (block - table.firstBlock[low]) * kBlockElements;
  return {low, begin, smaller(table.count[low], begin + kBlockElements)};
}

/// f(begin, n) for this thread's groups of four elements of the block's part; n is where the part ends.
template <class F>
LANGEVIN_DEVICE void forPart(const Part& part, const F& f) {
  for (int64_t begin = part.begin + 4 * threadIdx.x; begin < part.end; begin += 4 * blockDim.x) f(begin, part.end);
}

template <class A, class B>
void checkLengths(const List<A>& a, const List<B>& b) {
  if (a.count != b.count) {
    fault("lists of %lld and %lld buffers", static_cast<long long>(a.count), static_cast<long long>(b.count));
  }
}

/// Fills tables by entry(table, tensor) for tensors [0, count) and calls launch(table) for each.
template <int K, class Entry, class Launch>
void forTables(int64_t count, const Entry& entry, const Launch& launch) {
  TensorTable<K> table;
  for (int64_t t = 0; t < count; ++t) {
    entry(table, t);
    if (!table.full() && t + 1 < count) continue;
    launch(table);
    table = TensorTable<K>();
  }
}

template <int K>
LaunchShape overBlocks(const TensorTable<K>& table) {
  return {dim3(static_cast<unsigned>(table.blocks())), dim3(kThreads)};
}

/// What gradients are multiplied by.
LANGEVIN_DEVICE float scaleOf(const double* gradientScale) {
  return gradientScale ? static_cast<float>(*gradientScale) : 1.0f;
}

// ---- updates: f32 ----

/// Factors of one Adam step: the bias corrections are in `rate` and `root`.
struct Adam {
  float decay, b1, c1, b2, c2, rate, root, eps;
};

__global__ void adamKernel(TensorTable<4> table, Adam a, const double* gradientScale) {
  const Part part = partOf(table);
  float* const parameters = static_cast<float*>(table.data[0][part.tensor]);
  const float* const gradients = static_cast<const float*>(table.data[1][part.tensor]);
  float* const firstMoments = static_cast<float*>(table.data[2][part.tensor]);
  float* const secondMoments = static_cast<float*>(table.data[3][part.tensor]);
  const float scale = scaleOf(gradientScale);
  forPart(part, [&](int64_t begin, int64_t n) {
    Group<float, 4> p = loadGroup<4>(parameters, begin, n), m = loadGroup<4>(firstMoments, begin, n);
    Group<float, 4> v = loadGroup<4>(secondMoments, begin, n);
    const Group<float, 4> g = loadGroup<4>(gradients, begin, n);
    for (int i = 0; i < 4; ++i) {
      const float gradient = scale * g.v[i] + a.decay * p.v[i];
      m.v[i] = a.b1 * m.v[i] + a.c1 * gradient;
      v.v[i] = a.b2 * v.v[i] + a.c2 * gradient * gradient;
      p.v[i] -= a.rate * m.v[i] / (sqrtf(v.v[i]) * a.root + a.eps);
    }
    storeGroup(firstMoments, begin, n, m);
    storeGroup(secondMoments, begin, n, v);
    storeGroup(parameters, begin, n, p);
  });
}

void adam(Stream& stream, InOutList parameters, InList gradients, InOutList firstMoments, InOutList secondMoments,
          OptIn gradientScale, double lr, double beta1, double beta2, double eps, double weightDecay, int64_t step) {
  checkLengths(parameters, gradients);
  checkLengths(parameters, firstMoments);
  checkLengths(parameters, secondMoments);
  const double* const scale = gradientScale.as<double>(1);
  const double correction1 = 1 - std::pow(beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(beta2, static_cast<double>(step));
  const Adam factors{static_cast<float>(weightDecay),
                     static_cast<float>(beta1),
                     static_cast<float>(1 - beta1),
                     static_cast<float>(beta2),
                     static_cast<float>(1 - beta2),
                     static_cast<float>(lr / correction1),
                     static_cast<float>(1 / std::sqrt(correction2)),
                     static_cast<float>(eps)};
  forTables<4>(
      parameters.count,
      [&](TensorTable<4>& table, int64_t t) {
        const int64_t n = parameters[t].count;
        table.add({parameters[t].as<float>(n), gradients[t].as<float>(n), firstMoments[t].as<float>(n),
                   secondMoments[t].as<float>(n)},
                  n);
      },
      [&](const TensorTable<4>& table) { stream.launch(adamKernel, overBlocks(table), table, factors, scale); });
}

struct Sgd {
  float decay, momentum, rate;
};

__global__ void sgdKernel(TensorTable<3> table, Sgd s, const double* gradientScale) {
  const Part part = partOf(table);
  float* const parameters = static_cast<float*>(table.data[0][part.tensor]);
  const float* const gradients = static_cast<const float*>(table.data[1][part.tensor]);
  float* const velocities = static_cast<float*>(table.data[2][part.tensor]);
  const float scale = scaleOf(gradientScale);
  forPart(part, [&](int64_t begin, int64_t n) {
    Group<float, 4> p = loadGroup<4>(parameters, begin, n), velocity = loadGroup<4>(velocities, begin, n);
    const Group<float, 4> g = loadGroup<4>(gradients, begin, n);
    for (int i = 0; i < 4; ++i) {
      velocity.v[i] = s.momentum * velocity.v[i] + (scale * g.v[i] + s.decay * p.v[i]);
      p.v[i] -= s.rate * velocity.v[i];
    }
    storeGroup(velocities, begin, n, velocity);
    storeGroup(parameters, begin, n, p);
  });
}

void sgd(Stream& stream, InOutList parameters, InList gradients, InOutList velocities, OptIn gradientScale, double lr,
         double momentum, double weightDecay) {
  checkLengths(parameters, gradients);
  checkLengths(parameters, velocities);
  const double* const scale = gradientScale.as<double>(1);
  const Sgd factors{static_cast<float>(weightDecay), static_cast<float>(momentum), static_cast<float>(lr)};
  forTables<3>(
      parameters.count,
      [&](TensorTable<3>& table, int64_t t) {
        const int64_t n = parameters[t].count;
        table.add({parameters[t].as<float>(n), gradients[t].as<float>(n), velocities[t].as<float>(n)}, n);
      },
      [&](const TensorTable<3>& table) { stream.launch(sgdKernel, overBlocks(table), table, factors, scale); });
}

__global__ void averageKernel(TensorTable<2> table, float keep, float take) {
  const Part part = partOf(table);
  float* const averages = static_cast<float*>(table.data[0][part.tensor]);
  const float* const values = static_cast<const float*>(table.data[1][part.tensor]);
  forPart(part, [&](int64_t begin, int64_t n) {
    Group<float, 4> average = loadGroup<4>(averages, begin, n);
    const Group<float, 4> x = loadGroup<4>(values, begin, n);
    for (int i = 0; i < 4; ++i) average.v[i] = keep * average.v[i] + take * x.v[i];
    storeGroup(averages, begin, n, average);
  });
}

void movingAverage(Stream& stream, InOutList averages, InList values, double decay) {
  checkLengths(averages, values);
  forTables<2>(
      averages.count,
      [&](TensorTable<2>& table, int64_t t) {
        const int64_t n = averages[t].count;
        table.add({averages[t].as<float>(n), values[t].as<float>(n)}, n);
      },
      [&](const TensorTable<2>& table) {
        stream.launch(averageKernel, overBlocks(table), table, static_cast<float>(decay),
                      static_cast<float>(1 - decay));
      });
}

// ---- norms of gradients ----

/// The sum over the block's kThreads threads, pairwise; thread 0 has it.
LANGEVIN_DEVICE double blockSum(double v) {
  LANGEVIN_SHARED(double, sums, [kThreads]);
  sums[threadIdx.x] = v;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  return sums[0];
}

template <class T>
__global__ void squaresKernel(TensorTable<1> table, double* partial) {
  const Part part = partOf(table);
  const T* const x = static_cast<const T*>(table.data[0][part.tensor]);
  double sum = 0;
  forPart(part, [&](int64_t begin, int64_t n) {
    const auto v = widenGroup(loadGroup<4>(x, begin, n));
    for (int i = 0; i < 4; ++i) sum += static_cast<double>(v.v[i]) * static_cast<double>(v.v[i]);
  });
  sum = blockSum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void totalKernel(const double* partial, int64_t count, double* y) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += partial[i];
  sum = blockSum(sum);
  if (threadIdx.x == 0) *y = sum;
}

void sumSquares(Stream& stream, InList x, Out y) {
  double* const target = y.as<double>(1);
  int64_t blocks = 0;
  for (int64_t t = 0; t < x.count; ++t) blocks += ceilDiv(x[t].count, kBlockElements);
  double* const partial = static_cast<double*>(stream.workspace(0, sizeof(double) * static_cast<size_t>(blocks + 1)));
  double* next = partial;
  TensorTable<1> table;
  for (int64_t t = 0; t < x.count; ++t) {
    withFloat(x[t].dtype, [&](auto type) {
      using T = decltype(type);
      const void* const elements = x[t].as<T>(x[t].count);
      table.add({elements}, x[t].count);
      if (!table.full() && t + 1 < x.count && x[t + 1].dtype == x[t].dtype) return;
      stream.launch(squaresKernel<T>, overBlocks(table), table, next);
      next += table.blocks();
      table = TensorTable<1>();
    });
  }
  stream.launch(totalKernel, {dim3(1), dim3(kThreads)}, partial, blocks, target);
}

__global__ void clipScaleKernel(const double* sumSquares, double* scale, double limit) {
  const double coefficient = limit / (sqrt(*sumSquares) + 1e-6);
  *scale = coefficient > 1 ? 1 : coefficient;
}

void clipScale(Stream& stream, In sumSquares, Out scale, double limit) {
  const double* const squares = sumSquares.as<double>(1);
  double* const target = scale.as<double>(1);
  stream.launch(clipScaleKernel, LaunchShape{}, squares, target, limit);
}

}  // namespace

void fillOptimizers(OpTable& ops) {
  ops.adam = adam;
  ops.sgd = sgd;
  ops.movingAverage = movingAverage;
  ops.sumSquares = sumSquares;
  ops.clipScale = clipScale;
}

}  // namespace langevin::cuda
