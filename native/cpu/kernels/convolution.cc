// conv2d, its input gradient and its weight gradient: register-blocked implicit GEMM on NHWC images, f32, f64 and bf16
// (computed in f32, but for Winograd's products where there is AVX-512 BF16), any kernel size, stride, padding and
// number of channels.
//
// convolution_factors.h  what one instruction multiplies: f32, f64, or bf16 in pairs
// convolution_kernel.h   the multiply in registers, and its roofline
// convolution_plan.h     geometry and blocking
// convolution_pack.h     packed input tiles and weights
// convolution_engine.h   the loops, and the fused epilogues
// convolution_narrow.h   the input gradient to 1 to 4 channels
// convolution_weight.h   the weight gradient
// convolution_winograd.h forward and input gradient of 3×3 layers with fewer multiply-adds, unless strict
//
// Operations: 2·batch·outHeight·outWidth·cout·cin·kh·kw for each of the three. Bytes: input, output and weights once,
// plus residual and sign bits; at 16 channels and 3×3 taps that is 36 FLOP a byte, so that all but 1×1 convolutions and
// first layers are bound by the FMA units. Roofline of a layer: operations / 106.5 GFLOP/s on one core of an AMD EPYC
// (Zen 4, AVX-512, 3.3 GHz).
//
// Measured there (one thread, f32, bench/kernels/conv.mjs; % of that peak; forward / input gradient / weight gradient):
//   3×3, 32 to 640 channels, stride 1     93–99 / 92–98 / 88–97
//   3×3, 16 → 16, 28×28                   90 / 90 / 90
//   3×3, 32 to 640 channels, stride 2     80–96 / 80–92 / 76–92
//   1×1, 16 to 640 channels               31–75 / 20–67 / 32–75    bound by the bytes of input and output
//   3×3, 1 → 16 and 3 → 16, first layer   26–32 / 20–32 / 32–58       likewise
// AVX2 reaches 76–87 % of the same peak on the 3×3 layers, the baseline of SSE2 without FMA 16–25 %.
//
// What was tried: asking for the output's lines before the multiply took the 16-channel layer from 82 to 88 %, the
// input gradient at stride 2 from 56 to 80 % and doubled 1×1 layers; fetching the next tile's input a line every two k
// took the forward pass at stride 2 from 75 to 89 %, while the same lines in one burst per kernel call gained nothing;
// input tiles of 28 to 144 KiB make no difference to narrow layers, and wide ones want the larger.
#include "../kernels.h"
#include "convolution_narrow.h"
#include "convolution_weight.h"
#include "convolution_winograd.h"

namespace langevin::LANGEVIN_ISA {

/// Faults where the shape is impossible or its element counts do not fit.
static void checkShape(const ConvShape& s) {
  const int64_t extents[] = {s.height, s.width, s.cin, s.cout, s.kh, s.kw, s.stride};
  bool valid = s.batch >= 0 && s.batch < (int64_t{1} << 31) && s.padding >= 0 && s.padding < (int64_t{1} << 20);
  for (const int64_t extent : extents) valid = valid && extent >= 1 && extent < (int64_t{1} << 31);
  if (valid) {
    valid = s.kh <= s.height + 2 * s.padding && s.kw <= s.width + 2 * s.padding && s.stride <= (int64_t{1} << 20);
    const double limit = 1e15, batch = static_cast<double>(s.batch);
    valid = valid && batch * s.height * s.width * s.cin < limit && 1.0 * s.kh * s.kw * s.cin * s.cout < limit &&
            batch * s.outHeight() * s.outWidth() * s.cout < limit;
  }
  if (!valid) fault("impossible convolution shape");
}

/// Bytes of the tables of a plan, with the phases and taps that the geometry points to.
static Arena planArena(Stream& stream, const ConvShape& s, int64_t phases, int64_t step, int64_t extraBytes) {
  const int64_t blocks = most(s.cin, s.cout) / kChannelBlock + 1;
  const int64_t bytes = planBytes(stream, phases, s.kh * s.kw, blocks, step);
  return {static_cast<char*>(stream.scratch(0, 3, static_cast<size_t>(bytes + extraBytes)))};
}

/// The forward pass: output pixel (i, j) takes input pixel (i·stride + ky − padding, …).
static Geometry forwardGeometry(const ConvShape& s, bool merge, Arena& arena) {
  Geometry g;
  g.batch = s.batch;
  g.sourceHeight = s.height, g.sourceWidth = s.width;
  g.outHeight = s.outHeight(), g.outWidth = s.outWidth(), g.outChannels = s.cout;
  // One output pixel has no neighbours at the stride's distance.
  g.step = g.outHeight == 1 && g.outWidth == 1 ? 1 : s.stride, g.outStep = 1;
  g.phaseCount = 1;
  g.tapCount = merge ? s.kh : s.kh * s.kw;
  g.sourceChannels = merge ? s.kw * s.cin : s.cin;
  g.pitch = merge ? s.cin : kChannelBlock;
  g.phases = arena.take<Phase>(1);
  g.phases[0] = {0, 0, g.outHeight, g.outWidth, 0, g.tapCount};
  g.taps = arena.take<Tap>(g.tapCount);
  for (int64_t t = 0; t < g.tapCount; ++t) {
    g.taps[t] = merge ? Tap{t - s.padding, -s.padding, t} : Tap{t / s.kw - s.padding, t % s.kw - s.padding, t};
  }
  return g;
}

/// The input gradient: input pixel (a + i·stride, b + j·stride) takes output pixel (i + (a + padding − ky)/stride, …)
/// for every ky that makes the division exact.
static Geometry backwardGeometry(const ConvShape& s, Arena& arena) {
  Geometry g;
  g.batch = s.batch;
  g.sourceHeight = s.outHeight(), g.sourceWidth = s.outWidth(), g.sourceChannels = s.cout;
  g.outHeight = s.height, g.outWidth = s.width, g.outChannels = s.cin;
  g.step = 1, g.outStep = s.stride;
  const int64_t phaseRows = least(s.stride, s.height), phaseColumns = least(s.stride, s.width);
  g.phaseCount = phaseRows * phaseColumns;
  g.tapCount = 0;
  g.pitch = kChannelBlock;
  g.phases = arena.take<Phase>(g.phaseCount);
  g.taps = arena.take<Tap>(s.kh * s.kw);
  for (int64_t a = 0; a < phaseRows; ++a) {
    for (int64_t b = 0; b < phaseColumns; ++b) {
      Phase& phase = g.phases[a * phaseColumns + b];
      phase = {a, b, ceilDivide(s.height - a, s.stride), ceilDivide(s.width - b, s.stride), g.tapCount, 0};
      for (int64_t ky = modulo(a + s.padding, s.stride); ky < s.kh; ky += s.stride) {
        for (int64_t kx = modulo(b + s.padding, s.stride); kx < s.kw; kx += s.stride) {
          g.taps[g.tapCount++] = {(a + s.padding - ky) / s.stride, (b + s.padding - kx) / s.stride, ky * s.kw + kx};
        }
      }
      phase.taps = g.tapCount - phase.firstTap;
    }
  }
  return g;
}

/// Activation and sign bits in a pass of their own, eight elements a byte, where the fused one cannot write whole
/// bytes.
template <class S>
static void activate(Stream& stream, S* y, uint8_t* signs, int64_t n, ComputeOf<S> slope) {
  constexpr int64_t kBlock = 1 << 15;
  stream.parallel(ceilDivide(n, kBlock), [&](int64_t block, int) {
    for (int64_t i = block * kBlock; i < least(n, (block + 1) * kBlock); i += 8) {
      uint8_t bits = 0;
      for (int64_t k = 0; k < 8 && i + k < n; ++k) {
        const ComputeOf<S> z = widen(y[i + k]);
        bits |= static_cast<uint8_t>((z > 0) << k);
        if (slope != 1) y[i + k] = narrow<S>(z > 0 ? z : slope * z);
      }
      signs[i / 8] = bits;
    }
  });
}

/// By Winograd's minimal filtering where that is less work, if at all: false where the direct kernels must do it.
template <class Scheme, class S, class Epilogue>
static bool tryWinograd(Stream& stream, const WinogradShape& shape, double taps, const SourceView<S>& source,
                        const WeightView<S>& weights, bool turned, const Epilogue& epilogue) {
  if (!worthWinograd<Scheme, FactorOf<S>>(shape, taps)) return false;
  convolveWinograd<Scheme>(stream, shape, source, weights, turned, epilogue);
  return true;
}

/// Whether there is a scheme for it: 3×3 taps, padding 1, stride 1 or 2.
static bool suitsWinograd(const Stream& stream, const ConvShape& s) {
  return !stream.strict() && s.kh == 3 && s.kw == 3 && s.padding == 1 && s.stride <= 2;
}

template <class S, class Epilogue>
static bool forwardByWinograd(Stream& stream, const ConvShape& s, const SourceView<S>& source,
                              const WeightView<S>& weights, const Epilogue& epilogue) {
  if constexpr (sizeof(ComputeOf<S>) == sizeof(float)) {
    if (!suitsWinograd(stream, s)) return false;
    const WinogradShape shape{s.batch, s.height, s.width, s.cin, s.outHeight(), s.outWidth(), s.cout};
    return s.stride == 1 ? tryWinograd<Winograd4>(stream, shape, 9, source, weights, false, epilogue)
                         : tryWinograd<WinogradStride2>(stream, shape, 9, source, weights, false, epilogue);
  }
  return false;
}

template <class S, class Epilogue>
static bool backwardByWinograd(Stream& stream, const ConvShape& s, const SourceView<S>& source,
                               const WeightView<S>& weights, const Epilogue& epilogue) {
  if constexpr (sizeof(ComputeOf<S>) == sizeof(float)) {
    if (!suitsWinograd(stream, s)) return false;
    const WinogradShape shape{s.batch, s.outHeight(), s.outWidth(), s.cout, s.height, s.width, s.cin};
    return s.stride == 1 ? tryWinograd<Winograd4>(stream, shape, 9, source, weights, true, epilogue)
                         : tryWinograd<WinogradStride2Gradient>(stream, shape, 2.25, source, weights, true, epilogue);
  }
  return false;
}

/// `residual` may be y itself: an element is read before it is written, by whom it is written.
template <class S>
static void convolutionForward(Stream& stream, In x, In weight, OptIn bias, OptIn residual, Out y, OptOut pre,
                               OptOut signs, const ConvShape& s, double slope) {
  using T = ComputeOf<S>;
  const int64_t outputs = s.outputCount();
  ForwardEpilogue<S> epilogue{s.cout,
                              bias.as<S>(s.cout),
                              residual.as<S>(outputs),
                              y.as<S>(outputs),
                              pre.as<S>(outputs),
                              signs.as<uint8_t>(ceilDivide(outputs, 8)),
                              static_cast<T>(slope)};
  const SourceView<S> source{x.as<S>(s.inputCount()), s.height * s.width * s.cin, s.width * s.cin, s.cin, 1};
  // Rows of 1- and 3-channel pixels: the taps of a kernel row are contiguous.
  const bool merge = s.stride == 1 && (s.cin == 1 || s.cin == 3);
  const WeightView<S> weights{weight.as<S>(s.weightCount()), (merge ? s.kw : 1) * s.cin * s.cout, s.cout, 1};
  if (outputs == 0) return;
  uint8_t* separateSigns = nullptr;
  if (epilogue.signs && !ForwardEpilogue<S>::writesSigns(s.cout)) {
    separateSigns = epilogue.signs;
    epilogue.signs = nullptr, epilogue.slope = 1;
  }
  if (!forwardByWinograd(stream, s, source, weights, epilogue)) {
    Arena arena = planArena(stream, s, 1, s.stride, 0);
    Plan<T> plan;
    plan.g = forwardGeometry(s, merge, arena);
    blockPlan(stream, plan, arena);
    convolve(stream, plan, source, weights, epilogue);
  }
  if (separateSigns) activate(stream, epilogue.y, separateSigns, outputs, static_cast<T>(slope));
}

template <class S>
static void convolutionBackwardInput(Stream& stream, In dy, In weight, OptIn signs, OptIn add, Out dx,
                                     const ConvShape& s, double slope) {
  using T = ComputeOf<S>;
  const int64_t inputs = s.inputCount(), outWidth = s.outWidth(), outHeight = s.outHeight();
  const BackwardEpilogue<S> epilogue{s.cin, signs.as<uint8_t>(ceilDivide(inputs, 8)), add.as<S>(inputs),
                                     dx.as<S>(inputs), static_cast<T>(slope)};
  const SourceView<S> source{dy.as<S>(s.outputCount()), outHeight * outWidth * s.cout, outWidth * s.cout, s.cout, 1};
  const WeightView<S> weights{weight.as<S>(s.weightCount()), s.cin * s.cout, 1, s.cout};
  if (inputs == 0) return;
  const bool narrowImage = s.stride == 1 && s.cin <= kNarrowChannels;
  if (!narrowImage && backwardByWinograd(stream, s, source, weights, epilogue)) return;
  Arena arena = planArena(stream, s, least(s.stride, s.height) * least(s.stride, s.width), 1,
                          narrowImage ? s.weightCount() * static_cast<int64_t>(sizeof(T)) : 0);
  Plan<T> plan;
  plan.g = backwardGeometry(s, arena);
  if (narrowImage) return convolveNarrow<T>(stream, plan.g, source, weights, arena, epilogue);
  blockPlan(stream, plan, arena);
  convolve(stream, plan, source, weights, epilogue);
}

template <class S>
static void convolutionBackwardWeight(Stream& stream, In x, In dy, Out dweight, OptOut dbias, const ConvShape& s) {
  using T = ComputeOf<S>;
  const int64_t pixels = s.batch * s.outHeight() * s.outWidth();
  const SourceView<S> source{x.as<S>(s.inputCount()), s.height * s.width * s.cin, s.width * s.cin, s.cin, 1};
  const S* dyData = dy.as<S>(s.outputCount());
  S* target = dweight.as<S>(s.weightCount());
  S* bias = dbias.as<S>(s.cout);
  if (pixels == 0) {
    std::memset(target, 0, static_cast<size_t>(s.weightCount()) * sizeof(S));
    if (bias) std::memset(bias, 0, static_cast<size_t>(s.cout) * sizeof(S));
    return;
  }
  if (bias) {
    T* partial = static_cast<T*>(stream.scratch(0, 3, sizeof(T) * kBiasGroups * s.cout));
    sumBias(stream, dyData, pixels, s.cout, partial, bias);
  }
  // The plan is made twice: its tables and the partial sums share one allocation, whose size it tells.
  Plan<T> plan;
  int64_t partialBytes = 0;
  for (int round = 0; round < 2; ++round) {
    Arena arena = planArena(stream, s, 1, s.stride, partialBytes);
    T* partial = arena.take<T>(partialBytes / static_cast<int64_t>(sizeof(T)));
    plan.g = forwardGeometry(s, s.kw == 3 && s.stride == 1 && (s.cin == 1 || s.cin == 3), arena);
    blockPlan(stream, plan, arena);
    const WeightSplit split = splitWeight(plan);
    if (split.groups > 1 && round == 0) {
      partialBytes = split.groups * split.pieces * split.pieceSize * static_cast<int64_t>(sizeof(T)) + 64;
      continue;
    }
    convolveWeight(stream, plan, split, source, dyData, partial, target);
    return;
  }
}

/// A shortcut is computed into y, which then is the residual.
template <class S>
static void convolutionWithShortcut(Stream& stream, In x, In weight, OptIn bias, OptIn residual, OptIn shortcut,
                                    OptIn shortcutWeight, OptIn shortcutBias, Out y, OptOut pre, OptOut signs,
                                    const ConvShape& s, int64_t shortcutChannels, double slope) {
  if (shortcut) {
    const ConvShape added = s.shortcut(shortcutChannels);
    checkShape(added);
    if (added.outHeight() != s.outHeight() || added.outWidth() != s.outWidth()) {
      fault("a shortcut of another size than the convolution's result");
    }
    convolutionForward<S>(stream, shortcut.required(), shortcutWeight.required(), shortcutBias, residual, y, {}, {},
                          added, 1);
    residual = {y};
  }
  convolutionForward<S>(stream, x, weight, bias, residual, y, pre, signs, s, slope);
}

static void conv2d(Stream& stream, In x, In weight, OptIn bias, OptIn residual, OptIn shortcut, OptIn shortcutWeight,
                   OptIn shortcutBias, Out y, OptOut pre, OptOut signs, ConvShape s, int64_t shortcutChannels,
                   double slope) {
  checkShape(s);
  const auto run = [&](auto element) {
    convolutionWithShortcut<decltype(element)>(stream, x, weight, bias, residual, shortcut, shortcutWeight,
                                               shortcutBias, y, pre, signs, s, shortcutChannels, slope);
  };
  if (y.dtype == DType::f64) return run(double{});
  if (y.dtype == DType::bf16) return run(bf16{});
  run(float{});
}

static void conv2dBackwardInput(Stream& stream, In dy, In weight, OptIn signs, OptIn add, Out dx, ConvShape s,
                                double slope) {
  checkShape(s);
  if (dx.dtype == DType::f64) return convolutionBackwardInput<double>(stream, dy, weight, signs, add, dx, s, slope);
  if (dx.dtype == DType::bf16) return convolutionBackwardInput<bf16>(stream, dy, weight, signs, add, dx, s, slope);
  convolutionBackwardInput<float>(stream, dy, weight, signs, add, dx, s, slope);
}

static void conv2dBackwardWeight(Stream& stream, In x, In dy, Out dweight, OptOut dbias, ConvShape s) {
  checkShape(s);
  if (dweight.dtype == DType::f64) return convolutionBackwardWeight<double>(stream, x, dy, dweight, dbias, s);
  if (dweight.dtype == DType::bf16) return convolutionBackwardWeight<bf16>(stream, x, dy, dweight, dbias, s);
  convolutionBackwardWeight<float>(stream, x, dy, dweight, dbias, s);
}

void fillConvolution(OpTable& ops) {
  ops.conv2d = conv2d;
  ops.conv2dBackwardInput = conv2dBackwardInput;
  ops.conv2dBackwardWeight = conv2dBackwardWeight;
}

}  // namespace langevin::LANGEVIN_ISA
