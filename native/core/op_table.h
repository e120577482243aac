// The contract between TypeScript and every backend: one function pointer per op.
//
// An op is destination-passing: it reads its inputs, writes its outputs, returns nothing, and is enqueued on the
// device's stream. Shapes were inferred and checked in TypeScript; here only dtypes and element counts are checked
// (Buffer::as), so that a wrong call is a fault and never a crash. Tensors are dense and row-major; images are NHWC,
// convolution weights [kh, kw, cin, cout], linear weights [in, out].
//
// A backend fills every member. The addon turns each into a JavaScript function whose parameters are those of the C++
// type in order: a buffer is a handle (0: absent), a Dims is six numbers, a ConvShape, PoolShape, NormShape or Philox
// its fields in order, a List an array of handles, anything else a number. `src/native/contract.ts` is its mirror.
#pragma once
#include "dtype.h"

namespace langevin {

/// The device's execution context, defined by each backend (threads and scratch memory, or a CUDA stream).
class Stream;

/// Philox4x32-10: key = seed (low, high word), counter = (element / 4, step, stream, purpose); element e takes output
/// word e % 4. The same numbers on every backend and for any number of threads.
struct Philox {
  int64_t seed;
  int64_t step;
  int64_t stream;
  int64_t purpose;
};

struct ConvShape {
  int64_t batch, height, width, cin;  // input  [batch, height, width, cin]
  int64_t cout, kh, kw;               // weight [kh, kw, cin, cout]
  int64_t stride, padding;            // both axes; zeros outside
  LANGEVIN_INLINE int64_t outHeight() const { return (height + 2 * padding - kh) / stride + 1; }
  LANGEVIN_INLINE int64_t outWidth() const { return (width + 2 * padding - kw) / stride + 1; }
  LANGEVIN_INLINE int64_t inputCount() const { return batch * height * width * cin; }
  LANGEVIN_INLINE int64_t outputCount() const { return batch * outHeight() * outWidth() * cout; }
  LANGEVIN_INLINE int64_t weightCount() const { return kh * kw * cin * cout; }
  /// The 1×1 convolution of a second image, as large and as strided as this one's, whose result conv2d can add.
  LANGEVIN_INLINE ConvShape shortcut(int64_t channels) const {
    return {batch, height, width, channels, cout, 1, 1, stride, 0};
  }
};

struct PoolShape {
  int64_t batch, height, width, channels;
  int64_t window, stride;  // no padding
  LANGEVIN_INLINE int64_t outHeight() const { return (height - window) / stride + 1; }
  LANGEVIN_INLINE int64_t outWidth() const { return (width - window) / stride + 1; }
};

/// x is [outer, positions, channels]; mean and variance are taken for each of the outer × channels/groupSize groups of
/// positions × groupSize values. Batch norm: outer 1, groupSize 1; instance norm: outer = batch, groupSize 1;
/// layer norm (GroupNorm(1)): outer = batch, groupSize = channels.
struct NormShape {
  int64_t outer, positions, channels, groupSize;
  LANGEVIN_INLINE int64_t groups() const { return outer * (channels / groupSize); }
  LANGEVIN_INLINE int64_t count() const { return outer * positions * channels; }
};

/// Kinds are numbered in the order in which contract.ts lists their names.
enum class Unary : int64_t {
  neg,
  exp,
  log,
  sqrt,
  abs,
  sign,
  square,
  reciprocal,
  relu,
  leakyRelu,
  elu,
  sigmoid,
  tanh,
  silu,
  softplus,
  gelu,
  clamp,
  affine,
  power
};
enum class Binary : int64_t { add, sub, mul, div, maximum, minimum };
enum class Compare : int64_t { equal, notEqual, less, lessEqual, greater, greaterEqual };
enum class Reduce : int64_t { sum, max, min, sumSquares };

struct OpTable {
  // ---- memory: any dtype ----
  /// y[0, n) = value
  void (*fill)(Stream&, Out y, int64_t n, double value);
  /// y[0, n) = x[0, n) converted to y's dtype; to i32 and u8 by truncation towards zero, saturated
  void (*convert)(Stream&, In x, Out y, int64_t n);
  /// y[yOffset + Σ i·yStrides] = x[xOffset + Σ i·xStrides] for every index i below shape (transpose, slice, flip,
  /// broadcast, concat, pad are all this); strides in elements, of either sign. Same dtype.
  void (*stridedCopy)(Stream&, In x, InOut y, Dims shape, Dims xStrides, int64_t xOffset, Dims yStrides,
                      int64_t yOffset);
  /// y[i, :] = x[index[i], :] for i < count; x has `rows` rows of rowSize elements; an index outside [0, rows) faults
  void (*gatherRows)(Stream&, In x, In index, Out y, int64_t rows, int64_t count, int64_t rowSize);
  /// y[index[i], :] = x[i, :] for i < count in order of i, so the last of duplicate indices wins; or, where
  /// accumulate, y[index[i], :] += x[i, :], added in order of i
  void (*scatterRows)(Stream&, In x, In index, InOut y, int64_t rows, int64_t count, int64_t rowSize, bool accumulate);

  // ---- element-wise: f32, f64, bf16 (computed in f32); i32 for binary, compare and where ----
  /// y = f(x). a and b are the kind's parameters: leakyRelu(slope), elu(alpha), clamp(low, high),
  /// affine(scale, shift): a·x + b, power(exponent)
  void (*unary)(Stream&, int64_t kind, In x, Out y, int64_t n, double a, double b);
  /// dx = dy · f'(x)
  void (*unaryBackward)(Stream&, int64_t kind, In x, In dy, Out dx, int64_t n, double a, double b);
  /// y = a ∘ b over shape; a broadcast operand has stride 0 on that axis; y is dense
  void (*binary)(Stream&, int64_t kind, In a, In b, Out y, Dims shape, Dims aStrides, Dims bStrides);
  /// y (u8) = a ∘ b ? 1 : 0
  void (*compare)(Stream&, int64_t kind, In a, In b, Out y, Dims shape, Dims aStrides, Dims bStrides);
  /// y = condition (u8) ≠ 0 ? a : b
  void (*where)(Stream&, In condition, In a, In b, Out y, Dims shape, Dims conditionStrides, Dims aStrides,
                Dims bStrides);
  /// y += x
  void (*accumulate)(Stream&, In x, InOut y, int64_t n);
  /// y = x > 0 ? x : slope·x; signs: bit i%8 of byte i/8 is x[i] > 0 (LeakyReLU's derivative needs no more)
  void (*leakyRelu)(Stream&, In x, Out y, OptOut signs, int64_t n, double slope);
  /// dx = dy · (sign bit ? 1 : slope) + add
  void (*leakyReluBackward)(Stream&, In dy, In signs, OptIn add, Out dx, int64_t n, double slope);
  /// y = x · (u ≥ p ? 1/(1−p) : 0), u ~ U[0, 1) from philox: the backward pass calls it again on dy
  void (*dropout)(Stream&, In x, Out y, int64_t n, double p, Philox philox);

  // ---- reductions: x is [outer, axis, inner], y is [outer, inner]; fixed order ----
  void (*reduce)(Stream&, int64_t kind, In x, Out y, int64_t outer, int64_t axis, int64_t inner);
  /// y (i32) = the first index of the largest element; NaN counts as largest
  void (*argmax)(Stream&, In x, Out y, int64_t outer, int64_t axis, int64_t inner);
  /// y[o, i] = x[o, index[o, i], i]; an index (i32) outside [0, axis) faults
  void (*pick)(Stream&, In x, In index, Out y, int64_t outer, int64_t axis, int64_t inner);
  /// dx[o, index[o, i], i] = dy[o, i], 0 elsewhere
  void (*pickBackward)(Stream&, In index, In dy, Out dx, int64_t outer, int64_t axis, int64_t inner);

  // ---- linear algebra ----
  /// y [m, n] = op(a) · op(b) + bias[n]; op(a) is [m, k]: a is [m, k], or [k, m] where transposeA; b likewise
  void (*matmul)(Stream&, In a, In b, OptIn bias, Out y, int64_t m, int64_t n, int64_t k, bool transposeA,
                 bool transposeB);

  // ---- convolution ----
  /// z = conv(x, weight) + bias + residual + shortcut; y = slope == 1 ? z : leakyRelu(z, slope).
  /// The shortcut, where there is one, is a convolution of shape s.shortcut(shortcutChannels), of a result as large as
  /// y, with its bias: conv(shortcut, shortcutWeight) + shortcutBias.
  /// pre: z itself; signs: one bit per element of z, set where z > 0 (layout as leakyRelu's)
  void (*conv2d)(Stream&, In x, In weight, OptIn bias, OptIn residual, OptIn shortcut, OptIn shortcutWeight,
                 OptIn shortcutBias, Out y, OptOut pre, OptOut signs, ConvShape s, int64_t shortcutChannels,
                 double slope);
  /// dx = (∂conv/∂x)ᵀ·dy, then · (sign bit ? 1 : slope) of x's own activation, then + add
  void (*conv2dBackwardInput)(Stream&, In dy, In weight, OptIn signs, OptIn add, Out dx, ConvShape s, double slope);
  /// dweight = (∂conv/∂weight)ᵀ·dy; dbias[cout] = Σ dy
  void (*conv2dBackwardWeight)(Stream&, In x, In dy, Out dweight, OptOut dbias, ConvShape s);
  void (*avgPool2d)(Stream&, In x, Out y, PoolShape s);
  void (*avgPool2dBackward)(Stream&, In dy, Out dx, PoolShape s);

  // ---- normalisation ----
  /// y = (x − mean)·rstd·gamma[channel] + beta[channel]; mean and rstd = 1/√(variance + eps) (biased variance), one of
  /// each per group, are outputs: f32 where x is bf16, else of x's dtype, which gamma and beta have as well
  void (*norm)(Stream&, In x, OptIn gamma, OptIn beta, Out y, Out mean, Out rstd, NormShape s, double eps);
  void (*normBackward)(Stream&, In dy, In x, In mean, In rstd, OptIn gamma, OptOut dx, OptOut dgamma, OptOut dbeta,
                       NormShape s);
  /// y[p, c] = x[p, c]·scale[c] + shift[c]
  void (*channelAffine)(Stream&, In x, In scale, OptIn shift, Out y, int64_t positions, int64_t channels);

  // ---- heads: rows of logits ----
  /// softmax, or its logarithm, of each row
  void (*softmax)(Stream&, In x, Out y, int64_t rows, int64_t columns, bool logarithm);
  void (*softmaxBackward)(Stream&, In y, In dy, Out dx, int64_t rows, int64_t columns, bool logarithm);
  /// y[r] = log Σ exp x[r, :]
  void (*logsumexp)(Stream&, In x, Out y, int64_t rows, int64_t columns);
  /// dx[r, :] = softmax(x[r, :])·dy[r]
  void (*logsumexpBackward)(Stream&, In x, In y, In dy, Out dx, int64_t rows, int64_t columns);
  /// loss[r] = logsumexp(x[r, :]) − x[r, labels[r]]; a label outside [0, columns) faults
  void (*crossEntropy)(Stream&, In x, In labels, Out loss, int64_t rows, int64_t columns);
  /// dx[r, :] = (softmax(x[r, :]) − onehot(labels[r]))·dy[r]
  void (*crossEntropyBackward)(Stream&, In x, In labels, In dy, Out dx, int64_t rows, int64_t columns);
  /// The whole head of an energy-based classifier, x [batch, positions, channels], weight [channels, classes]: with
  /// z[i, :] = mean of x[i, :, :] over positions · weight + bias, f[i] = log Σ exp z[i, :], or z[i, labels[i]] where
  /// labels are given. weight, bias and f are of x's dtype, or all f32 where x is bf16. gradient [batch, channels] (f32
  /// where x is bf16, else of x's dtype): ∂f[i]/∂x[i, p, :], which is the same for every position p. A label outside
  /// [0, classes) faults.
  void (*energyHead)(Stream&, In x, In weight, OptIn bias, OptIn labels, Out f, OptOut gradient, int64_t batch,
                     int64_t positions, int64_t channels, int64_t classes);
  /// dx[i, p, :] = dy[i]·gradient[i, :], then · (sign bit ? 1 : slope) of x's own activation, then + add. dy is of f's
  /// dtype, dx and add of x's.
  void (*energyHeadBackward)(Stream&, In gradient, In dy, OptIn signs, OptIn add, Out dx, int64_t batch,
                             int64_t positions, int64_t channels, double slope);

  // ---- random: f32, f64, bf16 (drawn in f32) ----
  /// y ~ U[low, high): low + (high − low)·(word >> 8)·2⁻²⁴
  void (*randomUniform)(Stream&, Out y, int64_t n, double low, double high, Philox philox);
  /// y ~ N(mean, std²) by Box–Muller (core/philox.h)
  void (*randomNormal)(Stream&, Out y, int64_t n, double mean, double std, Philox philox);
  /// y (i32) uniform on [low, high): low + ⌊word·(high − low)·2⁻³²⌋
  void (*randomInt)(Stream&, Out y, int64_t n, int64_t low, int64_t high, Philox philox);

  // ---- training ----
  /// x += stepSize·clip(g, ±clip) + noiseStd·n, n ~ N(0, 1); then x is clamped to [low, high]. No clip: clip = ∞.
  void (*sgldUpdate)(Stream&, InOut x, In g, int64_t n, double stepSize, double noiseStd, double clip, double low,
                     double high, Philox philox);
  /// Adam (Kingma & Ba 2015, algorithm 1) with L2 weight decay added to the gradient; `step` counts from 1. The
  /// gradient is first multiplied by gradientScale[0] (f64) where present.
  void (*adam)(Stream&, InOutList parameters, InList gradients, InOutList firstMoments, InOutList secondMoments,
               OptIn gradientScale, double lr, double beta1, double beta2, double eps, double weightDecay,
               int64_t step);
  /// velocity = momentum·velocity + g + weightDecay·p;  p −= lr·velocity (PyTorch's SGD)
  void (*sgd)(Stream&, InOutList parameters, InList gradients, InOutList velocities, OptIn gradientScale, double lr,
              double momentum, double weightDecay);
  /// average = decay·average + (1 − decay)·x
  void (*movingAverage)(Stream&, InOutList averages, InList values, double decay);
  /// y[0] (f64) = Σ x² over all the lists' elements, in a fixed order
  void (*sumSquares)(Stream&, InList x, Out y);
  /// scale[0] (f64) = min(1, limit / (√sumSquares[0] + 1e-6)), as torch's clip_grad_norm_
  void (*clipScale)(Stream&, In sumSquares, Out scale, double limit);
  /// A training batch from u8 images [n, height, width, channels]: y[i] (f32) = image index[i], reflect-padded by
  /// `padding` and cropped at a random place, mirrored with probability ½ where flip, scaled to [-1, 1], plus
  /// noiseStd·N(0, 1) (y's element e takes normal e of philox). Image i is cropped at row ⌊w₀·(2·padding + 1)·2⁻³²⌋
  /// and column ⌊w₁·(2·padding + 1)·2⁻³²⌋ of the padded image and mirrored where flip and w₂ ≥ 2³¹, w being the words
  /// of Philox counter (i, step, stream + 1, purpose).
  void (*imageBatch)(Stream&, In images, In index, Out y, int64_t n, int64_t count, int64_t height, int64_t width,
                     int64_t channels, int64_t padding, bool flip, double noiseStd, Philox philox);
};

}  // namespace langevin
