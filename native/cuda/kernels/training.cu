// The fused SGLD update.
//
// x += stepSize·clip(g) + noiseStd·n, clamped: reads x and g, writes x, 12 bytes per f32 element; the noise is made in
// registers and never touches memory. See random.cu for its cost. A batch of 64 CIFAR images is 196,608 elements: 2.4
// MB, in L2, below 1 µs of work, so that the launch itself is what it costs; 256 images are 3 µs.
//
// The step of the counter is philox.step plus what the stream's stepOffset holds in device memory, so that each replay
// of a captured chain draws new noise.
//
// Not measured on hardware.
#include "../groups.h"
#include "../kernels.h"
#include "../random.h"
#include "training.h"

namespace langevin::cuda {

namespace {

/// min(max(v, low), high); NaN stays NaN.
LANGEVIN_DEVICE float clampOf(float v, float low, float high) {
  const float raised = v < low ? low : v;
  return raised > high ? high : raised;
}

/// What one update does to an element.
struct Langevin {
  float stepSize, noiseStd, clip, low, high;
  LANGEVIN_DEVICE float of(float x, float g, float noise) const {
    return clampOf(x + (stepSize * clampOf(g, -clip, clip) + noiseStd * noise), low, high);
  }
};

template <class T>
__global__ void sgldKernel(T* x, const T* g, int64_t n, Langevin step, Philox philox, const int64_t* stepOffset) {
  ptx::waitForPrevious();
  ptx::allowNext();
  for (int64_t begin = firstGroup<kDrawn>(); begin < n; begin += groupStride<kDrawn>()) {
    auto state = widenGroup(loadGroup<kDrawn>(x, begin, n));
    const auto gradient = widenGroup(loadGroup<kDrawn>(g, begin, n));
    float noise[kDrawn] = {};
    if (step.noiseStd != 0) randomNormals(philox, *stepOffset, begin / kDrawn, noise);
    for (int i = 0; i < kDrawn; ++i) state.v[i] = step.of(state.v[i], gradient.v[i], noise[i]);
    storeGroup(x, begin, n, narrowGroup<T>(state.v));
  }
}

void sgldUpdate(Stream& stream, InOut x, In g, int64_t n, double stepSize, double noiseStd, double clip, double low,
                double high, Philox philox) {
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    T* const state = x.as<T>(n);
    const T* const gradient = g.as<T>(n);
    const Langevin step{static_cast<float>(stepSize), static_cast<float>(noiseStd), static_cast<float>(clip),
                        static_cast<float>(low), static_cast<float>(high)};
    stream.launch(sgldKernel<T>, overlapped(loopOverGroups<kDrawn>(stream, n), state), state, gradient, n, step, philox,
                  stream.stepOffset());
  });
}

}  // namespace

void fillTraining(OpTable& ops) {
  fillOptimizers(ops);
  fillImages(ops);
  ops.sgldUpdate = sgldUpdate;
}

}  // namespace langevin::cuda
