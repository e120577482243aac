// Convolution: checks the buffers, then asks the fastest implementation that the stream's level allows (convolution.h).
#include "../convolution.h"
#include "../elements.h"
#include "../kernels.h"

namespace langevin::cuda {

/// Faults where the shape is impossible or its element counts do not fit.
static void checkShape(const ConvShape& s) {
  const int64_t extents[] = {s.height, s.width, s.cin, s.cout, s.kh, s.kw, s.stride};
  bool valid = s.batch >= 0 && s.batch < (int64_t{1} << 31) && s.padding >= 0 && s.padding < (int64_t{1} << 20);
  for (const int64_t extent : extents) valid = valid && extent >= 1 && extent < (int64_t{1} << 31);
  if (valid) {
    valid = s.kh <= s.height + 2 * s.padding && s.kw <= s.width + 2 * s.padding && s.stride <= (int64_t{1} << 20);
    const double limit = 1e15, batch = static_cast<double>(s.batch);
    const auto product = [](int64_t a, int64_t b, int64_t c) { return static_cast<double>(a) * b * c; };
    valid = valid && batch * product(s.height, s.width, s.cin) < limit &&
            product(s.kh, s.kw, s.cin) * static_cast<double>(s.cout) < limit &&
            batch * product(s.outHeight(), s.outWidth(), s.cout) < limit;
  }
  if (!valid) fault("impossible convolution shape");
}

/// Tensor cores multiply bf16 always, and f32 (rounded to TF32) where the user allows it.
static bool usesTensorCores(const Stream& stream, DType dtype) {
  return stream.level() >= Level::sm80 && (dtype == DType::bf16 || stream.precision() == Precision::tf32);
}
static bool usesHopper(const Stream& stream, DType dtype) {
  return stream.level() >= Level::sm90 && dtype == DType::bf16;
}

template <class T>
static ConvShortcut shortcutOf(OptIn x, OptIn weight, OptIn bias, const ConvShape& s, int64_t channels) {
  if (!x) return {};
  const ConvShape added = s.shortcut(channels);
  checkShape(added);
  if (added.outHeight() != s.outHeight() || added.outWidth() != s.outWidth()) {
    fault("a shortcut of another size than the convolution's result");
  }
  return {x.as<T>(added.inputCount()), weight.required().as<T>(added.weightCount()), bias.as<T>(s.cout), channels};
}

static void conv2d(Stream& stream, In x, In weight, OptIn bias, OptIn residual, OptIn shortcut, OptIn shortcutWeight,
                   OptIn shortcutBias, Out y, OptOut pre, OptOut signs, ConvShape s, int64_t shortcutChannels,
                   double slope) {
  checkShape(s);
  const int64_t outputs = s.outputCount();
  withFloat(y.dtype, [&](auto element) {
    using T = decltype(element);
    const ConvForward c{x.as<T>(s.inputCount()),
                        weight.as<T>(s.weightCount()),
                        bias.as<T>(s.cout),
                        residual.as<T>(outputs),
                        y.as<T>(outputs),
                        pre.as<T>(outputs),
                        signs.as<uint8_t>(ceilDiv(outputs, 8)),
                        s,
                        static_cast<float>(slope),
                        y.dtype,
                        shortcutOf<T>(shortcut, shortcutWeight, shortcutBias, s, shortcutChannels)};
    if (outputs == 0) return;
    if (usesHopper(stream, c.dtype) && sm90::forward(stream, c)) return;
    if (stream.level() >= Level::sm80 && stem::forward(stream, c)) return;
    if (usesTensorCores(stream, c.dtype) && sm80::forward(stream, c)) return;
    simt::forward(stream, c);
  });
}

static void conv2dBackwardInput(Stream& stream, In dy, In weight, OptIn signs, OptIn add, Out dx, ConvShape s,
                                double slope) {
  checkShape(s);
  const int64_t inputs = s.inputCount();
  withFloat(dx.dtype, [&](auto element) {
    using T = decltype(element);
    const ConvBackwardInput c{dy.as<T>(s.outputCount()),
                              weight.as<T>(s.weightCount()),
                              signs.as<uint8_t>(ceilDiv(inputs, 8)),
                              add.as<T>(inputs),
                              dx.as<T>(inputs),
                              s,
                              static_cast<float>(slope),
                              dx.dtype};
    if (inputs == 0) return;
    if (usesHopper(stream, c.dtype) && sm90::backwardInput(stream, c)) return;
    if (stream.level() >= Level::sm80 && stem::backwardInput(stream, c)) return;
    if (usesTensorCores(stream, c.dtype) && sm80::backwardInput(stream, c)) return;
    simt::backwardInput(stream, c);
  });
}

static void conv2dBackwardWeight(Stream& stream, In x, In dy, Out dweight, OptOut dbias, ConvShape s) {
  checkShape(s);
  withFloat(dweight.dtype, [&](auto element) {
    using T = decltype(element);
    const ConvBackwardWeight c{x.as<T>(s.inputCount()),
                               dy.as<T>(s.outputCount()),
                               dweight.as<T>(s.weightCount()),
                               dbias.as<T>(s.cout),
                               s,
                               dweight.dtype};
    if (s.batch == 0) {
      check(cudaMemsetAsync(c.dweight, 0, sizeof(T) * static_cast<size_t>(s.weightCount()), stream.handle()), "memset");
      if (!c.dbias) return;
      return check(cudaMemsetAsync(c.dbias, 0, sizeof(T) * static_cast<size_t>(s.cout), stream.handle()), "memset");
    }
    if (usesHopper(stream, c.dtype) && sm90::backwardWeight(stream, c)) return;
    if (usesTensorCores(stream, c.dtype) && sm80::backwardWeight(stream, c)) return;
    simt::backwardWeight(stream, c);
  });
}

void fillConvolution(OpTable& ops) {
  ops.conv2d = conv2d;
  ops.conv2dBackwardInput = conv2dBackwardInput;
  ops.conv2dBackwardWeight = conv2dBackwardWeight;
}

}  // namespace langevin::cuda
