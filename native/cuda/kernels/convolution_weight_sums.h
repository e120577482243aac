// What every weight gradient needs besides its product: the split of the sum over pixels into parts, the ordered second
// stage that adds them, and the gradient of the bias. Where the sum is cut depends on the shape alone, so that the same
// bits come out of every GPU of one architecture.
//
// Bytes: parts × weights × 4, written and read; dy once. Both are memory-bound: bytes / 3.0 TB/s on an H100. Not
// measured on hardware.
#pragma once
#include "convolution_epilogue.h"

namespace langevin::cuda {

struct WeightParts {
  int count, pixels;  // so many pixels a part, the last one fewer
};

/// Enough parts that `tiles` tiles fill the 132 multiprocessors of an H100 twice, each of at least 16 steps of so many
/// pixels.
inline WeightParts weightParts(const Conv& s, int64_t tiles, int step) {
  const int64_t pixels = int64_t{s.batch} * s.outHeight * s.outWidth;
  const int64_t wanted = larger(1, smaller(264 / tiles, pixels / (16 * step)));
  const int64_t each = ceilDiv(ceilDiv(pixels, wanted), step) * step;
  return {static_cast<int>(ceilDiv(pixels, each)), static_cast<int>(each)};
}

/// to[i] = Σ parts[p][i], in order of p.
template <class T>
__global__ void __launch_bounds__(kThreads) addWeightParts(const float* parts, int count, int64_t n, T* to) {
  for (int64_t i = firstItem(); i < n; i += itemStride()) {
    float sum = parts[i];
    for (int p = 1; p < count; ++p) sum += parts[p * n + i];
    to[i] = narrow<T>(sum);
  }
}

/// Room for the parts of a weight gradient, [part][weight].
inline float* partialWeights(Stream& stream, int64_t weights, const WeightParts& parts) {
  return static_cast<float*>(stream.workspace(0, sizeof(float) * static_cast<size_t>(parts.count * weights)));
}
template <class T>
void addParts(Stream& stream, const float* sums, const WeightParts& parts, int64_t weights, T* dweight) {
  stream.launch(addWeightParts<T>, loopOver(stream, weights), sums, parts.count, weights, dweight);
}

constexpr int kBiasColumns = 32, kBiasLanes = kThreads / kBiasColumns;

/// sums[part][column] = Σ dy over the part's pixels: eight lanes a column, added as a tree.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sumBiasParts(const T* dy, int64_t pixels, int channels, int64_t pixelsPerPart, float* sums) {
  LANGEVIN_SHARED(float, lanes, [kBiasLanes][kBiasColumns]);
  const int column = threadIdx.x % kBiasColumns, lane = threadIdx.x / kBiasColumns;
  const int channel = blockIdx.x * kBiasColumns + column;
  const int64_t begin = blockIdx.y * pixelsPerPart, end = smaller(pixels, begin + pixelsPerPart);
  float sum = 0;
  if (channel < channels) {
    for (int64_t p = begin + lane; p < end; p += kBiasLanes) sum += widen(dy[p * channels + channel]);
  }
  lanes[lane][column] = sum;
  for (int half = kBiasLanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) lanes[lane][column] += lanes[lane + half][column];
  }
  if (lane == 0 && channel < channels) {
    sums[static_cast<int64_t>(blockIdx.y) * channels + channel] = lanes[0][column];
  }
}

/// dbias[channel] = Σ dy
template <class T>
void sumBias(Stream& stream, const T* dy, T* dbias, const Conv& s) {
  const int64_t pixels = int64_t{s.batch} * s.outHeight * s.outWidth;
  const int64_t each = larger(1024, ceilDiv(pixels, 512)), parts = ceilDiv(pixels, each);
  float* sums = static_cast<float*>(stream.workspace(1, sizeof(float) * static_cast<size_t>(parts * s.cout)));
  LaunchShape shape{gridOf(ceilDiv(s.cout, kBiasColumns)), dim3(kThreads)};
  shape.grid.y = static_cast<unsigned>(parts);
  stream.launch(sumBiasParts<T>, shape, dy, pixels, s.cout, each, sums);
  stream.launch(addWeightParts<T>, loopOver(stream, s.cout), sums, parts, s.cout, dbias);
}

}  // namespace langevin::cuda
