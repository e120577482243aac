// The Hopper convolutions on the emulator, against sums in float64. Called past the choice of implementations
// (kernels/convolution.cu), so that a case can only pass on the kernels that it is about.
#include <cmath>
#include <cstring>
#include <vector>

#include "../core/device.h"
#include "../cuda/convolution.h"
#include "../cuda/kernels/convolution_sm90_plan.h"
#include "check.h"

namespace {

using langevin::bf16;
using langevin::ConvShape;
using langevin::DType;
using langevin::GpuProperties;
using langevin::Stream;
using langevin::toBf16;
using langevin::toFloat;
namespace cuda = langevin::cuda;
namespace sm90 = langevin::cuda::sm90;

GpuProperties properties(int multiprocessors) {
  GpuProperties gpu;
  gpu.architecture = 90;
  gpu.multiprocessors = multiprocessors;
  gpu.sharedPerBlock = 227 * 1024;
  return gpu;
}

/// Device memory with a copy on the host.
template <class T>
struct Array {
  std::vector<T> host;
  T* device = nullptr;

  explicit Array(size_t n, bool present = true) : host(n) {
    if (present) langevin::check(cudaMalloc(reinterpret_cast<void**>(&device), n * sizeof(T)), "cudaMalloc");
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(device); }
  void upload(Stream& stream) {
    if (!device) return;
    langevin::check(
        cudaMemcpyAsync(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice, stream.handle()),
        "write");
    langevin::check(cudaStreamSynchronize(stream.handle()), "write");
  }
  void download(Stream& stream) {
    if (!device) return;
    langevin::check(
        cudaMemcpyAsync(host.data(), device, host.size() * sizeof(T), cudaMemcpyDeviceToHost, stream.handle()), "read");
    langevin::check(cudaStreamSynchronize(stream.handle()), "read");
  }
};
using Values = Array<bf16>;

struct Random {
  uint64_t state;
  uint32_t word() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 33);
  }
  /// A whole number from -2 to 2: every sum of products is exact, in whatever order.
  void whole(std::vector<bf16>& values) {
    for (bf16& v : values) v = toBf16(static_cast<float>(static_cast<int>(word() % 5) - 2));
  }
  void real(std::vector<bf16>& values, float scale) {
    for (bf16& v : values) v = toBf16((static_cast<float>(word() % 20001) / 10000.0f - 1.0f) * scale);
  }
  void bits(std::vector<uint8_t>& values) {
    for (uint8_t& v : values) v = static_cast<uint8_t>(word());
  }
};

struct Sum {
  double value = 0, magnitude = 0;
  void add(double a, double b) {
    value += a * b;
    magnitude += std::fabs(a * b);
  }
};

size_t outputIndex(const ConvShape& s, int64_t n, int64_t y, int64_t x) {
  return static_cast<size_t>(((n * s.outHeight() + y) * s.outWidth() + x) * s.cout);
}
size_t inputIndex(const ConvShape& s, int64_t n, int64_t y, int64_t x) {
  return static_cast<size_t>(((n * s.height + y) * s.width + x) * s.cin);
}
size_t weightIndex(const ConvShape& s, int64_t ky, int64_t kx, int64_t c) {
  return static_cast<size_t>(((ky * s.kw + kx) * s.cin + c) * s.cout);
}

/// Calls f(input pixel's index, weight's index, output pixel's index) for each product of pixels and taps.
template <class F>
void eachTap(const ConvShape& s, F f) {
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t y = 0; y < s.outHeight(); ++y)
      for (int64_t x = 0; x < s.outWidth(); ++x)
        for (int64_t ky = 0; ky < s.kh; ++ky)
          for (int64_t kx = 0; kx < s.kw; ++kx) {
            const int64_t row = y * s.stride + ky - s.padding, column = x * s.stride + kx - s.padding;
            if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
            f(inputIndex(s, n, row, column), weightIndex(s, ky, kx, 0), outputIndex(s, n, y, x));
          }
}

std::vector<float> floats(const std::vector<bf16>& values) {
  std::vector<float> result(values.size());
  for (size_t i = 0; i < values.size(); ++i) result[i] = toFloat(values[i]);
  return result;
}

bool bit(const std::vector<uint8_t>& bits, size_t i) { return bits[i / 8] >> (i % 8) & 1; }

/// Exact where the numbers are whole; else within bf16's rounding and 1e-6 of the sum of magnitudes.
void expectValue(double expected, double magnitude, bf16 got, bool whole) {
  const float value = toFloat(got);
  if (whole) {
    CHECK(value == toFloat(toBf16(static_cast<float>(expected))));
  } else {
    CHECK(std::fabs(value - expected) <= std::fabs(expected) / 256 + 1e-6 * magnitude);
  }
}

struct Options {
  bool bias = true, residual = true, pre = true, signs = true, whole = true;
  int multiprocessors = 4;
  int64_t shortcut = 0;  // its channels; 0: none
};
Options withShortcut(int64_t channels, Options options = {}) {
  options.shortcut = channels;
  return options;
}

void checkForward(const ConvShape& s, const Options& options, float slope = 0.25f) {
  Stream stream(properties(options.multiprocessors));
  const auto outputs = static_cast<size_t>(s.outputCount());
  Values x(static_cast<size_t>(s.inputCount())), weight(static_cast<size_t>(s.weightCount())),
      bias(static_cast<size_t>(s.cout), options.bias), residual(outputs, options.residual), y(outputs),
      pre(outputs, options.pre);
  Array<uint8_t> signs(outputs / 8, options.signs);
  const ConvShape added = s.shortcut(options.shortcut);
  const bool adds = options.shortcut > 0;
  Values shortcut(static_cast<size_t>(added.inputCount()), adds),
      shortcutWeight(static_cast<size_t>(added.weightCount()), adds),
      shortcutBias(static_cast<size_t>(s.cout), adds && options.bias);
  Random random{static_cast<uint64_t>(s.inputCount() + s.cout)};
  for (Values* v : {&x, &weight, &bias, &residual, &shortcut, &shortcutWeight, &shortcutBias}) {
    if (options.whole) {
      random.whole(v->host);
    } else {
      random.real(v->host, v == &weight || v == &shortcutWeight ? 0.1f : 1.0f);
    }
    v->upload(stream);
  }
  // The second one may load its weights while the first runs.
  std::vector<bf16> first;
  for (int run = 0; run < 2; ++run) {
    CHECK(sm90::forward(stream, {x.device,
                                 weight.device,
                                 bias.device,
                                 residual.device,
                                 y.device,
                                 pre.device,
                                 signs.device,
                                 s,
                                 slope,
                                 DType::bf16,
                                 {shortcut.device, shortcutWeight.device, shortcutBias.device, options.shortcut}}));
    y.download(stream);
    if (run == 0) first = y.host;
  }
  CHECK(std::memcmp(first.data(), y.host.data(), outputs * sizeof(bf16)) == 0);
  pre.download(stream);
  signs.download(stream);

  std::vector<Sum> sums(outputs);
  const auto addProducts = [&](const ConvShape& shape, const std::vector<float>& xs, const std::vector<float>& ws) {
    eachTap(shape, [&](size_t in, size_t w, size_t out) {
      for (int64_t c = 0; c < shape.cin; ++c)
        for (int64_t k = 0; k < s.cout; ++k) {
          sums[out + static_cast<size_t>(k)].add(xs[in + static_cast<size_t>(c)],
                                                 ws[w + static_cast<size_t>(c * s.cout + k)]);
        }
    });
  };
  addProducts(s, floats(x.host), floats(weight.host));
  if (adds) addProducts(added, floats(shortcut.host), floats(shortcutWeight.host));
  for (size_t i = 0; i < outputs; ++i) {
    if (options.bias && adds) sums[i].add(toFloat(shortcutBias.host[i % static_cast<size_t>(s.cout)]), 1);
    if (options.bias) sums[i].add(toFloat(bias.host[i % static_cast<size_t>(s.cout)]), 1);
    if (options.residual) sums[i].add(toFloat(residual.host[i]), 1);
    const double z = sums[i].value, magnitude = sums[i].magnitude;
    expectValue(z > 0 ? z : z * slope, magnitude, y.host[i], options.whole);
    if (options.pre) expectValue(z, magnitude, pre.host[i], options.whole);
    if (options.signs && (options.whole || std::fabs(z) > 1e-6 * magnitude)) CHECK(bit(signs.host, i) == (z > 0));
  }
}

void checkInputGradient(const ConvShape& s, const Options& options, float slope = 0.25f) {
  Stream stream(properties(options.multiprocessors));
  const auto inputs = static_cast<size_t>(s.inputCount());
  Values dy(static_cast<size_t>(s.outputCount())), weight(static_cast<size_t>(s.weightCount())),
      add(inputs, options.residual), dx(inputs);
  Array<uint8_t> signs(inputs / 8, options.signs);
  Random random{static_cast<uint64_t>(s.inputCount() + 7 * s.cout)};
  for (Values* v : {&dy, &weight, &add}) {
    if (options.whole) {
      random.whole(v->host);
    } else {
      random.real(v->host, v == &weight ? 0.1f : 1.0f);
    }
    v->upload(stream);
  }
  random.bits(signs.host);
  signs.upload(stream);
  std::vector<bf16> first;
  for (int run = 0; run < 2; ++run) {
    CHECK(sm90::backwardInput(stream,
                              {dy.device, weight.device, signs.device, add.device, dx.device, s, slope, DType::bf16}));
    dx.download(stream);
    if (run == 0) first = dx.host;
  }
  CHECK(std::memcmp(first.data(), dx.host.data(), inputs * sizeof(bf16)) == 0);

  std::vector<Sum> sums(inputs);
  const std::vector<float> dys = floats(dy.host), ws = floats(weight.host);
  eachTap(s, [&](size_t in, size_t w, size_t out) {
    for (int64_t c = 0; c < s.cin; ++c)
      for (int64_t k = 0; k < s.cout; ++k) {
        sums[in + static_cast<size_t>(c)].add(dys[out + static_cast<size_t>(k)],
                                              ws[w + static_cast<size_t>(c * s.cout + k)]);
      }
  });
  for (size_t i = 0; i < inputs; ++i) {
    double expected = sums[i].value;
    if (options.signs && !bit(signs.host, i)) expected *= slope;
    if (options.residual) expected += toFloat(add.host[i]);
    expectValue(expected, sums[i].magnitude + 2, dx.host[i], options.whole);
  }
}

void checkWeightGradient(const ConvShape& s, const Options& options) {
  Stream stream(properties(options.multiprocessors));
  Values x(static_cast<size_t>(s.inputCount())), dy(static_cast<size_t>(s.outputCount())),
      dweight(static_cast<size_t>(s.weightCount())), dbias(static_cast<size_t>(s.cout), options.bias);
  Random random{static_cast<uint64_t>(s.inputCount() + 3 * s.cout)};
  for (Values* v : {&x, &dy}) {
    if (options.whole) {
      random.whole(v->host);
    } else {
      random.real(v->host, 1);
    }
    v->upload(stream);
  }
  CHECK(sm90::backwardWeight(stream, {x.device, dy.device, dweight.device, dbias.device, s, DType::bf16}));
  dweight.download(stream);
  dbias.download(stream);

  std::vector<Sum> sums(dweight.host.size()), biases(dbias.host.size());
  const std::vector<float> xs = floats(x.host), dys = floats(dy.host);
  eachTap(s, [&](size_t in, size_t w, size_t out) {
    for (int64_t c = 0; c < s.cin; ++c)
      for (int64_t k = 0; k < s.cout; ++k) {
        sums[w + static_cast<size_t>(c * s.cout + k)].add(xs[in + static_cast<size_t>(c)],
                                                          dys[out + static_cast<size_t>(k)]);
      }
  });
  for (size_t i = 0; i < dys.size(); ++i) biases[i % biases.size()].add(dys[i], 1);
  for (size_t i = 0; i < sums.size(); ++i)
    expectValue(sums[i].value, sums[i].magnitude, dweight.host[i], options.whole);
  if (!options.bias) return;
  for (size_t i = 0; i < biases.size(); ++i)
    expectValue(biases[i].value, biases[i].magnitude, dbias.host[i], options.whole);
}

ConvShape shape(int64_t batch, int64_t size, int64_t cin, int64_t cout, int64_t kernel = 3, int64_t stride = 1) {
  return {batch, size, size, cin, cout, kernel, kernel, stride, kernel / 2};
}

Options none() {
  Options options;
  options.bias = options.residual = options.pre = options.signs = false;
  return options;
}
Options large() {  // few multiprocessors: the tile of 256 pixels is chosen
  Options options;
  options.multiprocessors = 1;
  return options;
}

TEST("forward, 256 × 160 tiles: the layers of the wide stages, exact on whole numbers") {
  checkForward(shape(2, 16, 64, 160), large());
  checkForward(shape(1, 16, 160, 320), large());
  checkForward(shape(1, 32, 32, 160), large());
}
TEST("forward, 128 × 160 tiles, with and without each part of the epilogue") {
  checkForward(shape(2, 8, 160, 160), Options{});
  checkForward(shape(2, 8, 64, 160), none(), 1.0f);
  for (int part = 0; part < 4; ++part) {
    Options options = none();
    (part == 0 ? options.bias : part == 1 ? options.residual : part == 2 ? options.pre : options.signs) = true;
    checkForward(shape(2, 8, 16, 160), options);
  }
}
TEST("forward: blocks that make several tiles, alone and in clusters, with pre-activations in the ring") {
  Options plain;
  plain.multiprocessors = 8;
  plain.pre = false;
  checkForward(shape(24, 8, 32, 320), plain);
  Options all;
  all.multiprocessors = 8;
  checkForward(shape(24, 8, 32, 320), all);
  checkForward(shape(5, 16, 32, 64), all);
  checkForward(shape(1, 16, 64, 160, 1), large());
}
TEST("forward: narrow tiles, odd sizes, last slices of 16 to 48 channels, 1×1 and 5×5 kernels") {
  checkForward(shape(2, 16, 32, 32), Options{});
  checkForward(shape(3, 7, 48, 64), Options{});
  checkForward(shape(1, 13, 80, 96, 5), Options{});
  checkForward(shape(2, 9, 64, 128, 1), Options{});
  checkForward(shape(4, 8, 64, 128), large());
  checkForward({2, 6, 11, 16, 32, 3, 2, 1, 2}, Options{});
}
TEST("forward, stride 2: cut images") {
  checkForward(shape(2, 16, 160, 160, 3, 2), Options{});
  checkForward(shape(2, 8, 32, 64, 3, 2), Options{});
  checkForward(shape(2, 8, 16, 32, 1, 2), Options{});
  checkForward({1, 6, 10, 16, 32, 4, 3, 2, 0}, Options{});
}
TEST("forward: real numbers within bf16's rounding of float64, every other sign right") {
  Options options;
  options.whole = false;
  checkForward(shape(2, 8, 320, 160), options, 0.2f);
}
TEST("forward with a shortcut, exact on whole numbers: 256 × 160 tiles, whole and last slices of its channels") {
  checkForward(shape(1, 16, 64, 160), withShortcut(16, large()));  // fewer of them than of the convolution's
  checkForward(shape(1, 16, 32, 320), withShortcut(160, large()));
  checkForward(shape(1, 32, 32, 160), withShortcut(128, large()));
  Options bare = none();
  bare.multiprocessors = 1;
  checkForward(shape(1, 16, 16, 160), withShortcut(80, bare), 1.0f);
}
TEST("forward with a shortcut at stride 2: both images cut, in narrow tiles as well") {
  checkForward(shape(2, 16, 160, 160, 3, 2), withShortcut(80));
  checkForward(shape(2, 8, 32, 64, 3, 2), withShortcut(48));
  checkForward(shape(3, 14, 32, 32, 3, 2), withShortcut(96));
}
TEST("forward with a shortcut: blocks that make several tiles, in clusters, and fewer stages than the ring has") {
  Options several;
  several.multiprocessors = 8;
  checkForward(shape(24, 8, 32, 320), withShortcut(64, several));
  several.pre = false;
  checkForward(shape(24, 8, 16, 320), withShortcut(112, several));
  checkForward(shape(1, 16, 64, 160, 1), withShortcut(32, large()));
}
TEST("forward with a shortcut: real numbers within bf16's rounding of float64") {
  Options options;
  options.whole = false;
  checkForward(shape(2, 8, 320, 160), withShortcut(160, options), 0.2f);
}
TEST("input gradient, stride 1, exact on whole numbers") {
  checkInputGradient(shape(1, 16, 160, 320), large());
  checkInputGradient(shape(2, 8, 160, 160), Options{});
  checkInputGradient(shape(2, 8, 32, 48), none());
  checkInputGradient(shape(3, 7, 64, 80), Options{});
  checkInputGradient(shape(2, 9, 128, 64, 1), Options{});
  checkInputGradient({2, 6, 11, 32, 16, 3, 2, 1, 2}, Options{});
}
TEST("input gradient, stride 2: phases of 1, 2, 2 and 4 taps") {
  checkInputGradient(shape(2, 16, 160, 160, 3, 2), Options{});
  checkInputGradient(shape(2, 16, 320, 64, 3, 2), large());
  checkInputGradient(shape(2, 8, 64, 32, 1, 2), Options{});
  checkInputGradient({1, 6, 10, 32, 16, 4, 3, 2, 0}, Options{});
}
TEST("input gradient: blocks that make several tiles of several phases") {
  Options options;
  options.multiprocessors = 8;
  checkInputGradient(shape(16, 16, 160, 32, 3, 2), options);
  checkInputGradient(shape(12, 16, 128, 64), options);
}
TEST("input gradient: real numbers within bf16's rounding of float64") {
  Options options;
  options.whole = false;
  checkInputGradient(shape(2, 8, 160, 320), options, 0.2f);
}
TEST("weight gradient, exact on whole numbers, for any number of cuts") {
  checkWeightGradient(shape(2, 8, 32, 160), Options{});
  checkWeightGradient(shape(1, 16, 160, 160), large());
  checkWeightGradient(shape(4, 16, 32, 160), large());  // several turns of the ring
  checkWeightGradient(shape(3, 7, 64, 32), Options{});
  checkWeightGradient(shape(2, 8, 96, 128, 1), none());
  checkWeightGradient(shape(2, 8, 32, 64, 3, 2), Options{});
  checkWeightGradient({1, 6, 10, 32, 32, 4, 3, 2, 0}, Options{});
}
TEST("weight gradient: clusters that share x, dy or both") {
  checkWeightGradient(shape(2, 8, 64, 320), Options{});
  checkWeightGradient(shape(4, 8, 32, 320), Options{});
  checkWeightGradient(shape(4, 8, 32, 128, 3, 2), Options{});
}
TEST("weight gradient: dbias where its row needs a tile of its own, and where nobody wants it") {
  checkWeightGradient(shape(1, 8, 256, 160, 1), Options{});
  checkWeightGradient(shape(1, 8, 128, 64, 1), Options{});
  checkWeightGradient(shape(1, 8, 256, 160, 1), none());
  checkWeightGradient(shape(2, 8, 32, 320), none());
}
TEST("weight gradient: real numbers within bf16's rounding of float64") {
  Options options;
  options.whole = false;
  checkWeightGradient(shape(2, 16, 32, 160), options);
}
TEST("weights are loaded ahead only after a convolution that did not write them") {
  Stream stream(properties(4));
  const ConvShape s = shape(1, 8, 32, 32);
  Values x(2048), weight(9216), y(2048), pre(2048), other(9216);
  const auto convolve = [&](const Values& weights) {
    CHECK(sm90::forward(
        stream, {x.device, weights.device, nullptr, nullptr, y.device, pre.device, nullptr, s, 1, DType::bf16}));
  };
  CHECK(!stream.settled(weight.device));  // nothing is known of what ran before
  convolve(weight);
  CHECK(stream.settled(weight.device) && stream.settled(other.device));
  CHECK(!stream.settled(y.device) && !stream.settled(pre.device));
  CHECK(sm90::backwardWeight(stream, {x.device, y.device, other.device, nullptr, s, DType::bf16}));
  CHECK(!stream.settled(other.device) && !stream.settled(weight.device));
}
TEST("a shortcut's weights are not loaded ahead of the launch that writes them") {
  Stream stream(properties(4));
  // 1×1, so that the shortcut's stages are among the ring's first.
  const ConvShape makes = shape(1, 8, 32, 32, 1), s = makes;
  Values x(2048), first(1024), second(1024), weight(1024), made(2048), shortcut(4096), y(2048);
  Random random{5};
  for (Values* v : {&x, &first, &second, &weight, &shortcut}) {
    random.whole(v->host);
    v->upload(stream);
  }
  // `made` is one launch's result and the next one's weights; each time it was another before.
  const auto results = [&](const Values& maker, bool waits) {
    CHECK(sm90::forward(
        stream, {x.device, maker.device, nullptr, nullptr, made.device, nullptr, nullptr, makes, 1, DType::bf16}));
    if (waits) made.download(stream);
    CHECK(sm90::forward(stream, {x.device,
                                 weight.device,
                                 nullptr,
                                 nullptr,
                                 y.device,
                                 nullptr,
                                 nullptr,
                                 s,
                                 1,
                                 DType::bf16,
                                 {shortcut.device, made.device, nullptr, 64}}));
    y.download(stream);
    return floats(y.host);
  };
  const std::vector<float> ofFirst = results(first, true), ofSecond = results(second, true);
  CHECK(ofFirst != ofSecond);
  for (int round = 0; round < 8; ++round) {
    CHECK(results(first, false) == ofFirst);
    CHECK(results(second, false) == ofSecond);
  }
}
TEST("boxes cover the images of a WideResNet, and of MNIST, without waste") {
  for (const int64_t size : {32, 16, 8, 28, 14, 7}) {
    const sm90::Boxes large = sm90::coverWith(7, size, size, 64), small = sm90::coverWith(6, size, size, 64);
    if (size > 7) CHECK(int64_t{large.count()} * 128 == 64 * size * size);
    CHECK(int64_t{small.count()} * 64 == 64 * size * size);
  }
  const sm90::Boxes wide = sm90::coverWith(7, 32, 32, 64);
  CHECK(wide.widthLog == 5 && wide.heightLog == 2 && wide.imagesLog == 0);
  CHECK(sm90::coverWith(6, 7, 7, 1).count() == 1);
}
TEST("shapes that are not theirs are left to the other kernels") {
  Stream stream(properties(4));
  Values some(4096);
  const auto refuses = [&](const ConvShape& s, DType dtype) {
    return !sm90::forward(stream,
                          {some.device, some.device, nullptr, nullptr, some.device, nullptr, nullptr, s, 1, dtype}) &&
           !sm90::backwardInput(stream, {some.device, some.device, nullptr, nullptr, some.device, s, 1, dtype}) &&
           !sm90::backwardWeight(stream, {some.device, some.device, some.device, nullptr, s, dtype});
  };
  CHECK(refuses(shape(1, 4, 32, 32), DType::f32));
  CHECK(refuses(shape(1, 4, 24, 8), DType::bf16));
  CHECK(refuses(shape(1, 5, 32, 32, 3, 2), DType::bf16));
  CHECK(refuses(shape(1, 6, 32, 32, 3, 3), DType::bf16));
  CHECK(!sm90::forward(stream, {some.device,
                                some.device,
                                nullptr,
                                nullptr,
                                some.device,
                                nullptr,
                                nullptr,
                                shape(1, 4, 32, 32),
                                1,
                                DType::bf16,
                                {some.device, some.device, nullptr, 24}}));
}

}  // namespace

TEST_MAIN
