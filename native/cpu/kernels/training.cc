// The fused SGLD update.
//
// x += stepSize·clip(g) + noiseStd·n, clamped: reads x and g, writes x, 12 bytes per f32 element; the noise is made in
// registers and never touches memory. See random.cc for its cost.
//
// Measured (elements.h): 0.7·10⁹ elements/s in L3 and in DRAM alike (0.6 with AVX2): a CIFAR batch of 64 images,
// 196,608 numbers, is 0.3 ms on one thread.
#include "training.h"

#include "../normals.h"
#include "../scalar_math.h"

namespace langevin::LANGEVIN_ISA {

namespace {

/// What one update does, in the type it is computed in.
template <class C>
struct Langevin {
  C stepSize, noiseStd, clip, low, high;
  LANGEVIN_INLINE C of(C x, C g, C noise) const {
    return clampOf(x + (stepSize * clampOf(g, -clip, clip) + noiseStd * noise), low, high);
  }
};

void sgldUpdate(Stream& stream, InOut x, In g, int64_t n, double stepSize, double noiseStd, double clip, double low,
                double high, Philox philox) {
  const Draw draw = stream.draw(philox);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = ComputeOf<T>;
    T* const state = x.as<T>(n);
    const T* const gradient = g.as<T>(n);
    const Langevin<C> update{static_cast<C>(stepSize), static_cast<C>(noiseStd), static_cast<C>(clip),
                             static_cast<C>(low), static_cast<C>(high)};
    forBatches(stream, n, [=](int64_t e, int64_t count) {
      const Langevin<C> step = update;  // in registers
      float noise[kBatch] = {};
      if (noiseStd != 0) randomNormals(draw, e, noise);
      LANGEVIN_INDEPENDENT
      for (int64_t i = 0; i < count; ++i) {
        state[e + i] = narrow<T>(step.of(widen(state[e + i]), widen(gradient[e + i]), static_cast<C>(noise[i])));
      }
    });
  });
}

}  // namespace

void fillTraining(OpTable& ops) {
  fillOptimizers(ops);
  fillImages(ops);
  ops.sgldUpdate = sgldUpdate;
}

}  // namespace langevin::LANGEVIN_ISA
