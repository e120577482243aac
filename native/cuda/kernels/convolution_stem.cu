// First layers: convolutions from, and input gradients to, images of 1 or 3 channels, by FFMA with all weights in
// shared memory; f32 and bf16, sums in f32. Tensor cores would multiply mostly padding here (27 inner indices, or 3
// columns).
//
// A thread computes two neighbouring pixels: forward, 16 channels of each, so that 16 weights from shared memory (four
// broadcasts of 16 bytes) serve 32 FFMA; backward, their 1 or 3 channels, so that eight gradients a pixel and eight
// weights serve 16. Pixels are read again for each tap, from L1.
//
// 3 → 16 at 32×32, batch 64: 57 MFLOP and 2.5 MB (bf16), each under 1 µs on an H100 (3.0 TB/s, 60 TFLOP/s); the bound
// is the 108 broadcasts a thread, about 2 µs. Not measured on hardware.
#include <type_traits>

#include "convolution_epilogue.h"

namespace langevin::cuda::stem {

constexpr int kPixels = 2, kChannels = 16, kOctet = 8;
constexpr unsigned kStemThreads = 128;
constexpr int64_t kMaxWeights = 8192;

/// All weights as f32, [tap][input channel][output channel], in shared memory.
template <class T>
LANGEVIN_DEVICE const float* shareWeights(unsigned char* shared, const T* weight, int count) {
  float* weights = reinterpret_cast<float*>(shared);
  for (int i = threadIdx.x; i < count; i += blockDim.x) weights[i] = widen(weight[i]);
  __syncthreads();
  return weights;
}

template <class T, int cin>
__global__ void __launch_bounds__(kStemThreads)
    convolveForward(const T* x, const T* weight, const Conv s, const ForwardEpilogue<T> epilogue) {
  LANGEVIN_DYNAMIC_SHARED(shared);
  const float* weights = shareWeights(shared, weight, s.kh * s.kw * cin * s.cout);
  const int64_t groups = s.cout / kChannels, pixels = int64_t{s.batch} * s.outHeight * s.outWidth;
  const int64_t pair = firstItem() / groups, first = pair * kPixels;
  const int channel = static_cast<int>(firstItem() - pair * groups) * kChannels;
  if (first >= pixels) return;

  Pixel places[kPixels];
  float sums[kPixels][kChannels];
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    places[p] = pixelOf(static_cast<int>(first + p < pixels ? first + p : first), s.outHeight, s.outWidth);
#pragma unroll
    for (int i = 0; i < kChannels; ++i) sums[p][i] = 0;
  }
  const float* w = weights + channel;
  for (int u = 0; u < s.kh; ++u) {
    for (int v = 0; v < s.kw; ++v) {
      float input[kPixels][cin];
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const int row = places[p].row * s.stride - s.padding + u, column = places[p].column * s.stride - s.padding + v;
        const bool inside = row >= 0 && row < s.height && column >= 0 && column < s.width;
        const T* from = x + ((static_cast<int64_t>(places[p].image) * s.height + row) * s.width + column) * cin;
#pragma unroll
        for (int c = 0; c < cin; ++c) input[p][c] = inside ? widen(from[c]) : 0.0f;
      }
#pragma unroll
      for (int c = 0; c < cin; ++c, w += s.cout) {
#pragma unroll
        for (int i = 0; i < kChannels; i += 4) {
          float quad[4];
          loadVector(w + i, quad);
#pragma unroll
          for (int e = 0; e < 4 * kPixels; ++e) {
            sums[e / 4][i + e % 4] = fmaf(input[e / 4][c], quad[e % 4], sums[e / 4][i + e % 4]);
          }
        }
      }
    }
  }
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    if (first + p >= pixels) break;
#pragma unroll
    for (int half = 0; half < kChannels; half += kOctet) {
      float z[kOctet];
#pragma unroll
      for (int i = 0; i < kOctet; ++i) z[i] = sums[p][half + i];
      const uint32_t bits = epilogue.template store<kOctet, true>(first + p, channel + half, z);
      if (epilogue.signs) {
        epilogue.signs[((first + p) * s.cout + channel + half) / 8] = static_cast<uint8_t>(bits);
      }
    }
  }
}

template <class T, int cin>
__global__ void __launch_bounds__(kStemThreads, 7)
    convolveBackwardInput(const T* dy, const T* weight, const Conv s, const BackwardInputEpilogue<T> epilogue) {
  LANGEVIN_DYNAMIC_SHARED(shared);
  const float* weights = shareWeights(shared, weight, s.kh * s.kw * cin * s.cout);
  const int64_t first = firstItem() * kPixels, pixels = int64_t{s.batch} * s.height * s.width;
  if (first >= pixels) return;

  Pixel places[kPixels];
  float sums[kPixels][cin];
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    places[p] = pixelOf(static_cast<int>(first + p < pixels ? first + p : first), s.height, s.width);
#pragma unroll
    for (int c = 0; c < cin; ++c) sums[p][c] = 0;
  }
  for (int u = 0; u < s.kh; ++u) {
    for (int v = 0; v < s.kw; ++v) {
      const T* from[kPixels];
      bool any = false;
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const int row = places[p].row + s.padding - u, column = places[p].column + s.padding - v;
        const int y = row / s.stride, left = column / s.stride;
        const bool inside = row >= 0 && column >= 0 && y * s.stride == row && left * s.stride == column &&
                            y < s.outHeight && left < s.outWidth;
        from[p] = inside ? dy + ((static_cast<int64_t>(places[p].image) * s.outHeight + y) * s.outWidth + left) * s.cout
                         : nullptr;
        any = any || inside;
      }
      if (!any) continue;
      const float* w = weights + (u * s.kw + v) * cin * s.cout;
#pragma unroll 1  // unrolled, it takes 56 to 122 registers; so, and with 7 blocks in view, at most 72 and no spill
      for (int channel = 0; channel < s.cout; channel += kOctet) {
        float gradient[kPixels][kOctet];
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
          if (from[p]) {
            loadVector(from[p] + channel, gradient[p]);
          } else {
#pragma unroll
            for (int i = 0; i < kOctet; ++i) gradient[p][i] = 0;
          }
        }
#pragma unroll
        for (int c = 0; c < cin; ++c) {
          float octet[kOctet];
          loadVector(w + c * s.cout + channel, octet);
#pragma unroll
          for (int e = 0; e < kOctet * kPixels; ++e) {
            float& sum = sums[e / kOctet][c];
            sum = fmaf(gradient[e / kOctet][e % kOctet], octet[e % kOctet], sum);
          }
        }
      }
    }
  }
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    if (first + p < pixels) epilogue.template store<cin, false>(first + p, 0, sums[p]);
  }
}

/// Calls f with the number of an image's channels, as a constant; false where it is neither 1 nor 3 or the weights are
/// too many.
template <class F>
static bool withChannels(const ConvShape& s, const F& f) {
  if (s.cout % kChannels != 0 || s.weightCount() > kMaxWeights) return false;
  if (s.cin == 1) return f(std::integral_constant<int, 1>{}), true;
  if (s.cin == 3) return f(std::integral_constant<int, 3>{}), true;
  return false;
}

static LaunchShape shapeOf(const Conv& s, int64_t threads) {
  return {gridOf(ceilDiv(threads, kStemThreads)), dim3(kStemThreads),
          sizeof(float) * static_cast<size_t>(s.kh * s.kw * s.cin * s.cout)};
}

bool forward(Stream& stream, const ConvForward& c) {
  if (c.shortcut.x) return false;
  return withChannels(c.s, [&](auto cin) {
    const Conv s = checkedConv(c.s);
    const int64_t pairs = ceilDiv(int64_t{s.batch} * s.outHeight * s.outWidth, kPixels);
    withFloat(c.dtype, [&](auto element) {
      using T = decltype(element);
      stream.launch(convolveForward<T, decltype(cin)::value>, shapeOf(s, pairs * (s.cout / kChannels)), c.x, c.weight,
                    s, epilogueOf<T>(c));
    });
  });
}

bool backwardInput(Stream& stream, const ConvBackwardInput& c) {
  return withChannels(c.s, [&](auto cin) {
    const Conv s = checkedConv(c.s);
    const int64_t pairs = ceilDiv(int64_t{s.batch} * s.height * s.width, kPixels);
    withFloat(c.dtype, [&](auto element) {
      using T = decltype(element);
      stream.launch(convolveBackwardInput<T, decltype(cin)::value>, shapeOf(s, pairs), c.dy, c.weight, s,
                    epilogueOf<T>(c));
    });
  });
}

}  // namespace langevin::cuda::stem
