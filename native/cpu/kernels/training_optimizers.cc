// Adam, SGD, moving averages and gradient norms: one kernel over all parameters.
//
// Bytes per f32 element: adam 28 (reads p, g, m, v, writes p, m, v), sgd 20, movingAverage 12, sumSquares 4; all at
// memory speed where the parameters exceed the caches.
//
// Measured (elements.h), L3 and DRAM in GB/s: adam 44 and 46 (bound by its square root and division), sgd 111 and 46,
// movingAverage 120 in L3, sumSquares 35 and 15.
#include "../columns.h"
#include "training.h"

namespace langevin::LANGEVIN_ISA {

namespace {

/// Blocks of several tensors, numbered through: none spans two tensors.
class Blocks {
 public:
  /// The table lives in the stream's scratch memory.
  template <class B>
  Blocks(Stream& stream, const List<B>& list) : tensors_(list.count) {
    first_ = static_cast<int64_t*>(stream.scratch(0, 0, sizeof(int64_t) * static_cast<size_t>(list.count + 1)));
    first_[0] = 0;
    for (int64_t t = 0; t < list.count; ++t) first_[t + 1] = first_[t] + ceilDiv(list[t].count, kBlock);
  }
  int64_t count() const { return first_[tensors_]; }

  /// body(tensor, begin, end, block)
  template <class Body>
  LANGEVIN_INLINE void run(Stream& stream, const Body& body) const {
    stream.parallel(count(), [&](int64_t block, int) {
      int64_t low = 0, high = tensors_;  // first_[low] ≤ block < first_[high]
      while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        (first_[middle] <= block ? low : high) = middle;
      }
      body(low, (block - first_[low]) * kBlock, block);
    });
  }

 private:
  int64_t tensors_;
  int64_t* first_;
};

template <class A, class B>
void checkLengths(const List<A>& a, const List<B>& b) {
  if (a.count != b.count) {
    fault("lists of %lld and %lld buffers", static_cast<long long>(a.count), static_cast<long long>(b.count));
  }
}

/// Calls f(float{}) or f(double{}): what parameters are kept in.
template <class F>
LANGEVIN_INLINE void withParameter(DType t, const F& f) {
  if (t == DType::f32) return f(float{});
  if (t == DType::f64) return f(double{});
  fault("a parameter of %s where f32 or f64 is needed", nameOf(t));
}

LANGEVIN_INLINE double scaleOf(const OptIn& gradientScale) {
  const double* const scale = gradientScale.as<double>(1);
  return scale ? *scale : 1.0;
}

/// x to a whole positive power.
LANGEVIN_INLINE double powerOf(double x, int64_t n) { return powOf(x, static_cast<double>(n)); }

void adam(Stream& stream, InOutList parameters, InList gradients, InOutList firstMoments, InOutList secondMoments,
          OptIn gradientScale, double lr, double beta1, double beta2, double eps, double weightDecay, int64_t step) {
  checkLengths(parameters, gradients);
  checkLengths(parameters, firstMoments);
  checkLengths(parameters, secondMoments);
  const double scaleFactor = scaleOf(gradientScale);
  const double stepFactor = lr / (1 - powerOf(beta1, step));
  const double rootFactor = 1 / sqrtOf(1 - powerOf(beta2, step));
  Blocks(stream, parameters).run(stream, [&](int64_t t, int64_t begin, int64_t) {
    withParameter(parameters[t].dtype, [&](auto type) {
      using T = decltype(type);
      const int64_t n = parameters[t].count, end = smaller(n, begin + kBlock);
      T* const p = parameters[t].as<T>(n);
      const T* const g = gradients[t].as<T>(n);
      T* const m = firstMoments[t].as<T>(n);
      T* const v = secondMoments[t].as<T>(n);
      const T scale = static_cast<T>(scaleFactor), decay = static_cast<T>(weightDecay);
      const T b1 = static_cast<T>(beta1), c1 = static_cast<T>(1 - beta1);
      const T b2 = static_cast<T>(beta2), c2 = static_cast<T>(1 - beta2);
      const T rate = static_cast<T>(stepFactor), root = static_cast<T>(rootFactor), floor = static_cast<T>(eps);
      LANGEVIN_INDEPENDENT
      for (int64_t i = begin; i < end; ++i) {
        const T gradient = scale * g[i] + decay * p[i];
        m[i] = b1 * m[i] + c1 * gradient;
        v[i] = b2 * v[i] + c2 * gradient * gradient;
        p[i] -= rate * m[i] / (sqrtOf(v[i]) * root + floor);
      }
    });
  });
}

void sgd(Stream& stream, InOutList parameters, InList gradients, InOutList velocities, OptIn gradientScale, double lr,
         double momentum, double weightDecay) {
  checkLengths(parameters, gradients);
  checkLengths(parameters, velocities);
  const double scaleFactor = scaleOf(gradientScale);
  Blocks(stream, parameters).run(stream, [&](int64_t t, int64_t begin, int64_t) {
    withParameter(parameters[t].dtype, [&](auto type) {
      using T = decltype(type);
      const int64_t n = parameters[t].count, end = smaller(n, begin + kBlock);
      T* const p = parameters[t].as<T>(n);
      const T* const g = gradients[t].as<T>(n);
      T* const velocity = velocities[t].as<T>(n);
      const T scale = static_cast<T>(scaleFactor), decay = static_cast<T>(weightDecay);
      const T rate = static_cast<T>(lr), keep = static_cast<T>(momentum);
      LANGEVIN_INDEPENDENT
      for (int64_t i = begin; i < end; ++i) {
        velocity[i] = keep * velocity[i] + (scale * g[i] + decay * p[i]);
        p[i] -= rate * velocity[i];
      }
    });
  });
}

void movingAverage(Stream& stream, InOutList averages, InList values, double decay) {
  checkLengths(averages, values);
  Blocks(stream, averages).run(stream, [&](int64_t t, int64_t begin, int64_t) {
    withParameter(averages[t].dtype, [&](auto type) {
      using T = decltype(type);
      const int64_t n = averages[t].count, end = smaller(n, begin + kBlock);
      T* const average = averages[t].as<T>(n);
      const T* const x = values[t].as<T>(n);
      const T keep = static_cast<T>(decay), take = static_cast<T>(1 - decay);
      LANGEVIN_INDEPENDENT
      for (int64_t i = begin; i < end; ++i) average[i] = keep * average[i] + take * x[i];
    });
  });
}

void sumSquares(Stream& stream, InList x, Out y) {
  double* const target = y.as<double>(1);
  const Blocks blocks(stream, x);
  const int64_t count = blocks.count();
  double* const partial = static_cast<double*>(stream.scratch(0, 1, sizeof(double) * static_cast<size_t>(count + 1)));
  partial[0] = 0;
  blocks.run(stream, [&](int64_t t, int64_t begin, int64_t block) {
    withFloat(x[t].dtype, [&](auto type) {
      using T = decltype(type);
      const int64_t n = x[t].count, end = smaller(n, begin + kBlock);
      double sums[kRepeatedWidth];
      reduceRows<SumSquaresOf>(x[t].as<T>(n) + begin, end - begin, 1, sums);
      partial[block] = sums[0];
    });
  });
  foldColumns<SumOf>(partial, count, 1);
  target[0] = partial[0];
}

void clipScale(Stream& stream, In sumSquares, Out scale, double limit) {
  const double coefficient = limit / (sqrtOf(*sumSquares.as<double>(1)) + 1e-6);
  *scale.as<double>(1) = coefficient > 1 ? 1 : coefficient;
}

}  // namespace

void fillOptimizers(OpTable& ops) {
  ops.adam = adam;
  ops.sgd = sgd;
  ops.movingAverage = movingAverage;
  ops.sumSquares = sumSquares;
  ops.clipScale = clipScale;
}

}  // namespace langevin::LANGEVIN_ISA
