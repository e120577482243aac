// The convolutions of convolution_simt.cu, convolution_stem.cu and convolution_sm80.cu on the emulator, called past the
// choice of implementations (kernels/convolution.cu), so that a case can only pass on the kernels that it is about.
//
// All numbers are whole and small, so that every product and every sum is exact in bf16, TF32 and f32, in whatever
// order: results must be equal to sums in float64, but for the one rounding to bf16.
#include <cstring>
#include <string>
#include <vector>

#include "../core/device.h"
#include "../cuda/convolution.h"
#include "check.h"

namespace {

using langevin::bf16;
using langevin::ConvShape;
using langevin::DType;
using langevin::DTypeOf;
using langevin::Stream;
using langevin::toBf16;
using langevin::toFloat;
namespace cuda = langevin::cuda;

langevin::GpuProperties properties() {
  langevin::GpuProperties gpu;
  gpu.architecture = 80;
  gpu.multiprocessors = 4;
  gpu.sharedPerBlock = 163 * 1024;
  return gpu;
}

float numberOf(float v) { return v; }
float numberOf(bf16 v) { return toFloat(v); }
template <class T>
T stored(double v) {
  if constexpr (sizeof(T) == 2) {
    return toBf16(static_cast<float>(v));
  } else if constexpr (sizeof(T) == 1) {
    return static_cast<T>(static_cast<int>(v));
  } else {
    return static_cast<T>(v);
  }
}

/// Whole numbers, from -2 to 2 or of another range, without a period that a layout could hide in.
struct Random {
  uint64_t state = 1;
  int below(int n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>((state >> 33) % static_cast<uint64_t>(n));
  }
};

/// Device memory, filled with whole numbers or with something that must be overwritten.
template <class T>
struct Array {
  std::vector<T> host;
  T* device = nullptr;

  Array(size_t n, bool present = true) : host(n) {
    if (!present) return;
    langevin::check(cudaMalloc(reinterpret_cast<void**>(&device), n * sizeof(T)), "cudaMalloc");
    langevin::check(cudaMemset(device, 0x5a, n * sizeof(T)), "cudaMemset");
    langevin::check(cudaDeviceSynchronize(), "cudaMemset");
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(device); }
  void fill(Stream& stream, Random& random, int range = 5) {
    for (T& v : host) v = stored<T>(random.below(range) - range / 2);
    if (device) copy(stream, device, host.data(), cudaMemcpyHostToDevice);
  }
  void read(Stream& stream) {
    if (device) copy(stream, host.data(), device, cudaMemcpyDeviceToHost);
  }

 private:
  void copy(Stream& stream, void* to, const void* from, cudaMemcpyKind kind) {
    langevin::check(cudaMemcpyAsync(to, from, host.size() * sizeof(T), kind, stream.handle()), "copy");
    langevin::check(cudaStreamSynchronize(stream.handle()), "copy");
  }
};

/// Calls f(index of x, index of the weight, index of y) for each product of a convolution but for its output channel.
template <class F>
void eachProduct(const ConvShape& s, F f) {
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t i = 0; i < s.outHeight(); ++i)
      for (int64_t j = 0; j < s.outWidth(); ++j)
        for (int64_t u = 0; u < s.kh; ++u)
          for (int64_t v = 0; v < s.kw; ++v) {
            const int64_t row = i * s.stride + u - s.padding, column = j * s.stride + v - s.padding;
            if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
            for (int64_t c = 0; c < s.cin; ++c) {
              f(((n * s.height + row) * s.width + column) * s.cin + c, ((u * s.kw + v) * s.cin + c) * s.cout,
                ((n * s.outHeight() + i) * s.outWidth() + j) * s.cout);
            }
          }
}

std::string nameOf(const ConvShape& s, const char* what, size_t at, double expected, double got) {
  std::string text = std::string(what) + "[" + std::to_string(at) + "] is " + std::to_string(got) + ", not " +
                     std::to_string(expected) + ", of";
  for (int64_t v : {s.batch, s.height, s.width, s.cin, s.cout, s.kh, s.kw, s.stride, s.padding}) {
    text += " " + std::to_string(v);
  }
  return text;
}
template <class T>
void expectEqual(const ConvShape& s, const char* what, const std::vector<double>& expected, const Array<T>& got) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const float rounded = numberOf(stored<T>(expected[i])), value = numberOf(got.host[i]);
    if (!(value == rounded)) throw langevin::test::Failure{nameOf(s, what, i, rounded, value)};
  }
}
bool bit(const uint8_t* bits, size_t i) { return bits[i / 8] >> (i % 8) & 1; }

/// Which of the optional operands a case has.
struct Options {
  bool bias, residual, pre, signs;
  int64_t shortcut = 0;  // its channels; 0: none
};
constexpr Options kAll{true, true, true, true}, kNone{false, false, false, false};

template <class T, class Forward>
void checkForward(Forward forward, const ConvShape& s, Options options = kAll, float slope = 0.25f) {
  Stream stream(properties());
  const auto outputs = static_cast<size_t>(s.outputCount());
  Array<T> x(static_cast<size_t>(s.inputCount())), weight(static_cast<size_t>(s.weightCount())),
      bias(static_cast<size_t>(s.cout), options.bias), residual(outputs, options.residual), y(outputs),
      pre(outputs, options.pre);
  Array<uint8_t> signs((outputs + 7) / 8, options.signs);
  const ConvShape added = s.shortcut(options.shortcut);
  const bool adds = options.shortcut > 0;
  Array<T> shortcut(static_cast<size_t>(added.inputCount()), adds),
      shortcutWeight(static_cast<size_t>(added.weightCount()), adds),
      shortcutBias(static_cast<size_t>(s.cout), adds && options.bias);
  Random random;
  for (Array<T>* array : {&x, &weight, &bias, &residual, &shortcut, &shortcutWeight, &shortcutBias}) {
    array->fill(stream, random);
  }
  forward(stream, cuda::ConvForward{x.device,
                                    weight.device,
                                    bias.device,
                                    residual.device,
                                    y.device,
                                    pre.device,
                                    signs.device,
                                    s,
                                    slope,
                                    DTypeOf<T>::value,
                                    {shortcut.device, shortcutWeight.device, shortcutBias.device, options.shortcut}});
  y.read(stream), pre.read(stream), signs.read(stream);

  std::vector<double> z(outputs);
  for (size_t i = 0; i < outputs; ++i) {
    z[i] = (options.bias ? numberOf(bias.host[i % static_cast<size_t>(s.cout)]) : 0.0) +
           (adds && options.bias ? numberOf(shortcutBias.host[i % static_cast<size_t>(s.cout)]) : 0.0) +
           (options.residual ? numberOf(residual.host[i]) : 0.0);
  }
  const auto addProducts = [&](const ConvShape& shape, const Array<T>& image, const Array<T>& weights) {
    eachProduct(shape, [&](int64_t xAt, int64_t weightAt, int64_t yAt) {
      const double v = numberOf(image.host[static_cast<size_t>(xAt)]);
      if (v == 0) return;
      for (int64_t k = 0; k < s.cout; ++k) {
        z[static_cast<size_t>(yAt + k)] += v * numberOf(weights.host[static_cast<size_t>(weightAt + k)]);
      }
    });
  };
  addProducts(s, x, weight);
  if (adds) addProducts(added, shortcut, shortcutWeight);
  if (options.pre) expectEqual(s, "pre", z, pre);
  for (size_t i = 0; i < outputs && options.signs; ++i) {
    if (bit(signs.host.data(), i) != (z[i] > 0)) {
      throw langevin::test::Failure{nameOf(s, "signs", i, z[i] > 0, bit(signs.host.data(), i))};
    }
  }
  for (double& v : z) v = v > 0 ? v : slope * v;
  expectEqual(s, "y", z, y);
}

template <class T, class BackwardInput>
void checkBackwardInput(BackwardInput backwardInput, const ConvShape& s, bool signed_ = true, bool added = true) {
  Stream stream(properties());
  const auto inputs = static_cast<size_t>(s.inputCount());
  Array<T> dy(static_cast<size_t>(s.outputCount())), weight(static_cast<size_t>(s.weightCount())), add(inputs, added),
      dx(inputs);
  Array<uint8_t> signs((inputs + 7) / 8, signed_);
  Random random;
  for (Array<T>* array : {&dy, &weight, &add}) array->fill(stream, random);
  signs.fill(stream, random, 256);
  const float slope = 0.5f;
  backwardInput(stream, cuda::ConvBackwardInput{dy.device, weight.device, signs.device, add.device, dx.device, s, slope,
                                                DTypeOf<T>::value});
  dx.read(stream);

  std::vector<double> expected(inputs);
  eachProduct(s, [&](int64_t xAt, int64_t weightAt, int64_t yAt) {
    double sum = 0;
    for (int64_t k = 0; k < s.cout; ++k) {
      sum += static_cast<double>(numberOf(dy.host[static_cast<size_t>(yAt + k)])) *
             numberOf(weight.host[static_cast<size_t>(weightAt + k)]);
    }
    expected[static_cast<size_t>(xAt)] += sum;
  });
  for (size_t i = 0; i < inputs; ++i) {
    if (signed_ && !bit(signs.host.data(), i)) expected[i] *= slope;
    if (added) expected[i] += numberOf(add.host[i]);
  }
  expectEqual(s, "dx", expected, dx);
}

template <class T, class BackwardWeight>
void checkBackwardWeight(BackwardWeight backwardWeight, const ConvShape& s, bool biased = true) {
  Stream stream(properties());
  Array<T> x(static_cast<size_t>(s.inputCount())), dy(static_cast<size_t>(s.outputCount())),
      dweight(static_cast<size_t>(s.weightCount())), dbias(static_cast<size_t>(s.cout), biased);
  Random random;
  for (Array<T>* array : {&x, &dy}) array->fill(stream, random);
  backwardWeight(stream,
                 cuda::ConvBackwardWeight{x.device, dy.device, dweight.device, dbias.device, s, DTypeOf<T>::value});
  dweight.read(stream), dbias.read(stream);

  std::vector<double> expected(dweight.host.size()), bias(dbias.host.size());
  eachProduct(s, [&](int64_t xAt, int64_t weightAt, int64_t yAt) {
    const double v = numberOf(x.host[static_cast<size_t>(xAt)]);
    if (v == 0) return;
    for (int64_t k = 0; k < s.cout; ++k) {
      expected[static_cast<size_t>(weightAt + k)] += v * numberOf(dy.host[static_cast<size_t>(yAt + k)]);
    }
  });
  expectEqual(s, "dweight", expected, dweight);
  for (size_t i = 0; i < dy.host.size(); ++i) bias[i % bias.size()] += numberOf(dy.host[i]);
  if (biased) expectEqual(s, "dbias", bias, dbias);
}

/// For the implementations that may decline: taking the case is part of it.
template <class C, class F>
auto taken(F implementation) {
  return [implementation](Stream& stream, const C& c) { CHECK(implementation(stream, c)); };
}
const auto sm80Forward = taken<cuda::ConvForward>(cuda::sm80::forward);
const auto sm80BackwardInput = taken<cuda::ConvBackwardInput>(cuda::sm80::backwardInput);
const auto sm80BackwardWeight = taken<cuda::ConvBackwardWeight>(cuda::sm80::backwardWeight);
const auto stemForward = taken<cuda::ConvForward>(cuda::stem::forward);
const auto stemBackwardInput = taken<cuda::ConvBackwardInput>(cuda::stem::backwardInput);

// batch, height, width, cin, cout, kh, kw, stride, padding
const ConvShape kTensorCoreShapes[] = {
    {2, 8, 8, 32, 160, 3, 3, 1, 1},     // 64 × 64 tiles
    {17, 16, 16, 8, 160, 3, 3, 1, 1},   // 128 × 160
    {67, 12, 11, 16, 128, 1, 1, 1, 0},  // 128 × 128
    {70, 11, 12, 8, 64, 3, 3, 1, 1},    // 128 × 64
    {3, 9, 7, 40, 32, 3, 3, 1, 1},      // 128 × 32
    {2, 9, 13, 72, 16, 3, 3, 1, 1},     // 128 × 16
    {2, 20, 17, 72, 16, 3, 3, 1, 1},    // few channels from shared memory with its halo: forward …
    {1, 33, 18, 16, 8, 3, 3, 1, 2},
    {2, 16, 15, 8, 16, 3, 3, 1, 0},
    {2, 20, 17, 16, 72, 3, 3, 1, 1},  // … and backward
    {1, 12, 35, 8, 40, 3, 3, 1, 0},
    {2, 9, 8, 24, 88, 3, 3, 2, 1},  // stride 2, both parities of extents, columns that leave a tile unfilled
    {2, 8, 8, 160, 24, 3, 3, 2, 1},
    {3, 7, 9, 16, 40, 1, 1, 2, 0},  // phases without a tap
    {2, 10, 9, 16, 24, 3, 3, 3, 0},
    {2, 6, 5, 24, 16, 5, 2, 1, 2},  // taps that are not square
    {1, 2, 3, 16, 8, 5, 5, 1, 3},   // an image smaller than the kernel
    {1, 1, 1, 8, 8, 1, 1, 1, 0},    // one pixel
    {2, 9, 9, 8, 16, 2, 2, 4, 1},   // pixels that no tap reaches
};
const ConvShape kStrided{2, 9, 8, 24, 88, 3, 3, 2, 1};
const ConvShape kPlainShapes[] = {
    {2, 9, 7, 5, 9, 3, 3, 1, 1},   {2, 8, 8, 16, 160, 3, 3, 1, 1}, {3, 9, 9, 17, 33, 3, 3, 2, 1},
    {2, 8, 9, 12, 64, 3, 3, 2, 1}, {1, 5, 5, 3, 130, 5, 5, 3, 2},  {2, 20, 20, 4, 20, 1, 1, 1, 0},
    {1, 3, 4, 8, 132, 2, 3, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 0},    {2, 6, 6, 160, 4, 3, 3, 1, 1},
    {1, 11, 3, 1, 8, 1, 1, 7, 0},  {5, 33, 31, 2, 3, 3, 3, 1, 1},
};
const ConvShape kStemShapes[] = {
    {2, 9, 7, 3, 16, 3, 3, 1, 1},
    {3, 8, 8, 1, 32, 3, 3, 1, 1},
    {1, 9, 9, 3, 48, 5, 3, 2, 2},
    {1, 3, 3, 1, 16, 3, 3, 1, 0},
};

/// With a shortcut of `channels`, and one of `others` and of no other operands, where its result is as large as the
/// convolution's.
template <class T, class Forward, size_t n>
void checkShortcuts(Forward forward, const ConvShape (&shapes)[n], int64_t channels, int64_t others) {
  for (const ConvShape& s : shapes) {
    const ConvShape added = s.shortcut(channels);
    if (added.outHeight() != s.outHeight() || added.outWidth() != s.outWidth()) continue;
    checkForward<T>(forward, s, {true, true, true, true, channels});
    checkForward<T>(forward, s, {false, false, false, false, others});
  }
}

template <class T>
void checkTensorCores() {
  for (const ConvShape& s : kTensorCoreShapes) {
    checkForward<T>(sm80Forward, s);
    checkBackwardInput<T>(sm80BackwardInput, s);
    checkBackwardWeight<T>(sm80BackwardWeight, s);
  }
  checkForward<T>(sm80Forward, kStrided, kNone, 1.0f);
  checkBackwardInput<T>(sm80BackwardInput, kStrided, false, false);
  checkBackwardWeight<T>(sm80BackwardWeight, kStrided, false);
}
TEST("bf16 on tensor cores with a shortcut") { checkShortcuts<bf16>(sm80Forward, kTensorCoreShapes, 72, 8); }
TEST("f32 as TF32 on tensor cores with a shortcut") { checkShortcuts<float>(sm80Forward, kTensorCoreShapes, 72, 8); }
TEST("bf16 on tensor cores") { checkTensorCores<bf16>(); }
TEST("f32 as TF32 on tensor cores") { checkTensorCores<float>(); }

TEST("tensor cores leave channels that do not come in eights, and long strides, to the plain kernels") {
  Stream stream(properties());
  CHECK(!cuda::sm80::forward(stream, {{}, {}, {}, {}, {}, {}, {}, {1, 4, 4, 12, 16, 3, 3, 1, 1}, 1, DType::bf16}));
  CHECK(!cuda::sm80::forward(
      stream, {{}, {}, {}, {}, {}, {}, {}, {1, 4, 4, 16, 16, 3, 3, 1, 1}, 1, DType::bf16, {&stream, {}, {}, 12}}));
  CHECK(!cuda::sm80::backwardWeight(stream, {{}, {}, {}, {}, {1, 4, 4, 16, 12, 3, 3, 1, 1}, DType::bf16}));
  CHECK(!cuda::sm80::backwardInput(stream, {{}, {}, {}, {}, {}, {1, 9, 9, 16, 16, 3, 3, 5, 1}, 1, DType::bf16}));
}

template <class T>
void checkPlain() {
  for (const ConvShape& s : kPlainShapes) {
    checkForward<T>(cuda::simt::forward, s);
    checkBackwardInput<T>(cuda::simt::backwardInput, s);
    checkBackwardWeight<T>(cuda::simt::backwardWeight, s);
  }
  checkForward<T>(cuda::simt::forward, kPlainShapes[0], kNone, 1.0f);
  checkBackwardInput<T>(cuda::simt::backwardInput, kPlainShapes[0], false, false);
  checkBackwardWeight<T>(cuda::simt::backwardWeight, kPlainShapes[0], false);
}
TEST("f32 by plain kernels with a shortcut") { checkShortcuts<float>(cuda::simt::forward, kPlainShapes, 5, 12); }
TEST("bf16 by plain kernels with a shortcut") { checkShortcuts<bf16>(cuda::simt::forward, kPlainShapes, 5, 12); }
TEST("f32 by plain kernels") { checkPlain<float>(); }
TEST("bf16 by plain kernels") { checkPlain<bf16>(); }

template <class T>
void checkStem() {
  for (const ConvShape& s : kStemShapes) {
    checkForward<T>(stemForward, s);
    checkBackwardInput<T>(stemBackwardInput, s);
  }
  checkForward<T>(stemForward, kStemShapes[0], kNone, 1.0f);
  checkBackwardInput<T>(stemBackwardInput, kStemShapes[0], false, false);
}
TEST("first layers, f32") { checkStem<float>(); }
TEST("first layers, bf16") { checkStem<bf16>(); }

}  // namespace

TEST_MAIN
