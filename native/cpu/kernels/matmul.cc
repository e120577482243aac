// y [m, n] = op(a) · op(b) + bias: a 1×1 convolution over m pixels with k input and n output channels, so the kernel,
// the packing and the blocking are those of convolution_engine.h; a transposed operand is transposed as it is packed.
#include "../kernels.h"
#include "convolution_engine.h"

namespace langevin::LANGEVIN_ISA {

/// Rows of op(a) that form one "image row" of the convolution.
constexpr int64_t kRowsPerGridRow = 32;

/// `rows` rows of op(a), as an image of height × width pixels.
template <class S>
static void multiplyGrid(Stream& stream, const S* a, int64_t row, int64_t channel, const WeightView<S>& b,
                         int64_t height, int64_t width, int64_t k, const ForwardEpilogue<S>& epilogue) {
  using T = ComputeOf<S>;
  Arena arena{
      static_cast<char*>(stream.scratch(0, 3, static_cast<size_t>(planBytes(stream, 1, 1, k / kChannelBlock + 1, 1))))};
  Plan<T> plan;
  Phase* phase = arena.take<Phase>(1);
  Tap* tap = arena.take<Tap>(1);
  *phase = {0, 0, height, width, 0, 1};
  *tap = {0, 0, 0};
  plan.g = {1, height, width, k, height, width, epilogue.channels, 1, 1, 1, 1, phase, tap, kChannelBlock};
  blockPlan(stream, plan, arena);
  convolve(stream, plan, SourceView<S>{a, 0, width * row, row, channel}, b, epilogue);
}

template <class S>
static void multiplyMatrices(Stream& stream, In a, In b, OptIn bias, Out y, int64_t m, int64_t n, int64_t k,
                             bool transposeA, bool transposeB) {
  using T = ComputeOf<S>;
  const S* left = a.as<S>(m * k);
  const S* right = b.as<S>(k * n);
  ForwardEpilogue<S> epilogue{n, bias.as<S>(n), nullptr, y.as<S>(m * n), nullptr, nullptr, T(1)};
  if (m == 0 || n == 0) return;
  const int64_t row = transposeA ? 1 : k, channel = transposeA ? m : 1;
  const WeightView<S> weights{right, 0, transposeB ? 1 : n, transposeB ? k : 1};
  const int64_t width = least(m, kRowsPerGridRow), height = m / width, rest = m % width;
  multiplyGrid(stream, left, row, channel, weights, height, width, k, epilogue);
  if (rest == 0) return;
  epilogue.y += height * width * n;
  multiplyGrid(stream, left + height * width * row, row, channel, weights, 1, rest, k, epilogue);
}

static void matmul(Stream& stream, In a, In b, OptIn bias, Out y, int64_t m, int64_t n, int64_t k, bool transposeA,
                   bool transposeB) {
  constexpr int64_t limit = int64_t{1} << 31;
  if (m < 0 || n < 0 || k < 0 || m >= limit || n >= limit || k >= limit) fault("impossible matrix shape");
  if (y.dtype == DType::f64) return multiplyMatrices<double>(stream, a, b, bias, y, m, n, k, transposeA, transposeB);
  if (y.dtype == DType::bf16) return multiplyMatrices<bf16>(stream, a, b, bias, y, m, n, k, transposeA, transposeB);
  multiplyMatrices<float>(stream, a, b, bias, y, m, n, k, transposeA, transposeB);
}

void fillMatmul(OpTable& ops) { ops.matmul = matmul; }

}  // namespace langevin::LANGEVIN_ISA
