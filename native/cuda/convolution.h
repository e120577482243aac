// Convolutions as every implementation takes them: checked pointers and shapes. kernels/convolution.cu checks the
// buffers, then asks the fastest implementation that the stream's level allows; each takes what it is made for and
// returns false otherwise; the plain one takes everything.
#pragma once
#include "stream.h"

namespace langevin::cuda {

/// A 1×1 convolution of another image, added to the same sums: of shape s.shortcut(channels). Without x there is none.
struct ConvShortcut {
  const void *x = nullptr, *weight = nullptr, *bias = nullptr;
  int64_t channels = 0;
};

/// z = conv(x, weight) + bias + residual + shortcut; y = slope == 1 ? z : leakyRelu(z, slope); optional: bias,
/// residual, pre (z itself), signs (one bit per element of z, set where z > 0), shortcut. All pointers are device
/// memory; images, weights and biases hold `dtype` (f32 or bf16).
struct ConvForward {
  const void *x, *weight, *bias, *residual;
  void *y, *pre;
  uint8_t* signs;
  ConvShape s;
  float slope;
  DType dtype;
  ConvShortcut shortcut = {};
};

/// dx = ((∂conv/∂x)ᵀ·dy)·(sign bit of x's own activation ? 1 : slope) + add; optional: signs, add.
struct ConvBackwardInput {
  const void *dy, *weight;
  const uint8_t* signs;
  const void* add;
  void* dx;
  ConvShape s;
  float slope;
  DType dtype;
};

/// dweight = (∂conv/∂weight)ᵀ·dy; optional: dbias = Σ dy. Partial sums are added in a fixed order.
struct ConvBackwardWeight {
  const void *x, *dy;
  void *dweight, *dbias;
  ConvShape s;
  DType dtype;
};

/// convolution_simt.cu: every shape, f32 and bf16, FFMA with f32 accumulation: what the fast ones are checked against.
namespace simt {
void forward(Stream& stream, const ConvForward& c);
void backwardInput(Stream& stream, const ConvBackwardInput& c);
void backwardWeight(Stream& stream, const ConvBackwardWeight& c);
}  // namespace simt

/// convolution_stem.cu: images of 1 or 3 channels; f32 and bf16, FFMA with f32 accumulation.
namespace stem {
bool forward(Stream& stream, const ConvForward& c);
bool backwardInput(Stream& stream, const ConvBackwardInput& c);
}  // namespace stem

/// convolution_sm80.cu: cp.async, ldmatrix, mma.sync; bf16, and f32 where the stream's precision is tf32.
namespace sm80 {
bool forward(Stream& stream, const ConvForward& c);
bool backwardInput(Stream& stream, const ConvBackwardInput& c);
bool backwardWeight(Stream& stream, const ConvBackwardWeight& c);
/// convolution_halo_sm80.cu: 3×3 to at most 16 channels; what the two above try first.
bool forwardToFew(Stream& stream, const ConvForward& c);
bool backwardInputToFew(Stream& stream, const ConvBackwardInput& c);
}  // namespace sm80

/// convolution_sm90.cu: TMA, wgmma, warp specialisation; bf16.
namespace sm90 {
bool forward(Stream& stream, const ConvForward& c);
bool backwardInput(Stream& stream, const ConvBackwardInput& c);
bool backwardWeight(Stream& stream, const ConvBackwardWeight& c);
}  // namespace sm90

}  // namespace langevin::cuda
