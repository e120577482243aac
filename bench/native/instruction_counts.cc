// Three kernels at fixed sizes on one thread, for scripts/instruction-counts.mjs, which counts the instructions between
// entry to and exit from measured(). Linked with the kernels as the addon has them, without Node and without its queue.
// Usage: instruction_counts KERNEL
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "../../native/cpu/kernels.h"
#include "../../native/cpu/stream.h"

namespace {

using namespace langevin;

constexpr double kSlope = 0.2;

/// Values in [-1, 1) that depend on nothing but their place (a linear congruential generator, Numerical Recipes'
/// constants).
std::vector<float> values(int64_t count) {
  std::vector<float> list(static_cast<size_t>(count));
  uint32_t state = 1;
  for (float& value : list) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
  }
  return list;
}

template <class Access, class T>
Access view(std::vector<T>& list) {
  Access buffer{};
  buffer.data = list.data();
  buffer.count = static_cast<int64_t>(list.size());
  buffer.dtype = DTypeOf<T>::value;
  return buffer;
}

struct Kernels {
  OpTable ops{};
  Stream stream{1};
  // A convolution of WRN-16-2's first stage on two images.
  ConvShape shape{2, 32, 32, 32, 32, 3, 3, 1, 1};
  std::vector<float> x = values(shape.inputCount()), y = values(shape.outputCount());
  std::vector<float> weight = values(shape.weightCount()), bias = values(shape.cout);
  std::vector<uint8_t> signs = std::vector<uint8_t>(static_cast<size_t>(shape.outputCount() / 8));

  /// Bias, LeakyReLU and sign bits, as the sampler calls it.
  void convolution() {
    ops.conv2d(stream, view<In>(x), view<In>(weight), view<OptIn>(bias), OptIn{}, OptIn{}, OptIn{}, OptIn{},
               view<Out>(y), OptOut{}, view<OptOut>(signs), shape, 0, kSlope);
  }
  void inputGradient() {
    ops.conv2dBackwardInput(stream, view<In>(y), view<In>(weight), view<OptIn>(signs), OptIn{}, view<Out>(x), shape,
                            kSlope);
  }
  /// Philox, Box–Muller and the update.
  void update() {
    ops.sgldUpdate(stream, view<InOut>(x), view<In>(y), static_cast<int64_t>(x.size()), 1, 0.01,
                   std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                   std::numeric_limits<double>::infinity(), Philox{1, 0, 0, 0});
  }
};

}  // namespace

/// What callgrind counts, by this name.
extern "C" __attribute__((noinline)) void measured(Kernels& kernels, void (Kernels::*kernel)()) { (kernels.*kernel)(); }

int main(int argc, char** argv) {
  const struct {
    const char* name;
    void (Kernels::*kernel)();
  } all[] = {{"conv2d", &Kernels::convolution},
             {"conv2dBackwardInput", &Kernels::inputGradient},
             {"sgldUpdate", &Kernels::update}};
  for (const auto& [name, kernel] : all) {
    if (argc != 2 || std::strcmp(argv[1], name) != 0) continue;
    Kernels kernels;
    avx2::fillOpTable(kernels.ops);
    (kernels.*kernel)();  // allocates scratch memory
    measured(kernels, kernel);
    return 0;
  }
  std::fprintf(stderr, "usage: instruction_counts conv2d|conv2dBackwardInput|sgldUpdate\n");
  return 2;
}
