// The host's share of convolution_sm90_plan.h: shapes, boxes, views and taps.
#include "../../core/counts.h"
#include "convolution_sm90_plan.h"

namespace langevin::cuda::sm90 {

bool takes(const ConvShape& s, DType dtype) {
  constexpr int64_t kMostElements = int64_t{1} << 34;
  const bool evenOrUncut = s.stride == 1 || (s.stride == 2 && s.height % 2 == 0 && s.width % 2 == 0);
  return dtype == DType::bf16 && evenOrUncut && s.kh <= 5 && s.kw <= 5 && s.padding <= 64 && s.batch > 0 &&
         s.inputCount() < kMostElements && s.outputCount() < kMostElements && s.weightCount() < kMostElements &&
         canMapTensors();
}

TensorView viewOf(const Image& image, const Boxes& boxes, int channels, int swizzleBytes) {
  const int64_t cuts = image.cut ? 2 : 1, row = image.width * image.channels;
  TensorView view;
  view.base = image.base;
  view.swizzleBytes = swizzleBytes;
  view.axis(cuts * image.channels, 1, channels);
  view.axis(image.width / cuts, cuts * image.channels, 1 << boxes.widthLog);
  view.axis(cuts, row, 1);
  view.axis(image.height / cuts, cuts * row, 1 << boxes.heightLog);
  view.axis(image.batch, image.height * row, 1 << boxes.imagesLog);
  return view;
}

Boxes coverWith(int pixelsLog, int64_t columns, int64_t rows, int64_t images) {
  Boxes best = {};
  int64_t fewest = -1;
  for (int width = pixelsLog; width >= 0; --width) {
    for (int height = pixelsLog - width; height >= 0; --height) {
      const int depth = pixelsLog - width - height;
      const auto across = static_cast<int32_t>(ceilDiv(columns, int64_t{1} << width));
      const auto down = static_cast<int32_t>(ceilDiv(rows, int64_t{1} << height));
      const auto deep = static_cast<int32_t>(ceilDiv(images, int64_t{1} << depth));
      const int64_t count = int64_t{across} * down * deep;
      if (fewest >= 0 && count >= fewest) continue;
      fewest = count;
      best = {width, height, depth, across, down, deep};
    }
  }
  return best;
}

/// v = 2·part + parity, also where v is negative.
static int32_t parityOf(int64_t v) { return static_cast<int32_t>(v & 1); }
static int32_t partOf(int64_t v) { return static_cast<int32_t>((v - (v & 1)) / 2); }

int tapsOfForward(Tap* taps, const ConvShape& s) {
  int count = 0;
  for (int64_t ky = 0; ky < s.kh; ++ky) {
    for (int64_t kx = 0; kx < s.kw; ++kx) {
      // Output pixel (i, j) reads x at (i·stride + row, j·stride + column).
      const int64_t row = ky - s.padding, column = kx - s.padding;
      const auto slice = static_cast<int32_t>(ky * s.kw + kx);
      taps[count++] = s.stride == 2 ? Tap{parityOf(column) * static_cast<int32_t>(s.cin), partOf(column), parityOf(row),
                                          partOf(row), slice}
                                    : Tap{0, static_cast<int32_t>(column), 0, static_cast<int32_t>(row), slice};
    }
  }
  return count;
}

static int activeClusters(const Stream& stream, const void* kernel, size_t sharedBytes, unsigned blocks) {
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = blocks;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(kBlockThreads);
  config.dynamicSmemBytes = sharedBytes;
  config.stream = stream.handle();
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  const cudaError_t status =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(sharedBytes));
  if (status != cudaSuccess || cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) != cudaSuccess) {
    cudaGetLastError();  // then single blocks serve
    return 0;
  }
  return clusters;
}

ActiveClusters::ActiveClusters(const Stream& stream, const void* kernel, size_t sharedBytes)
    : ofTwo(activeClusters(stream, kernel, sharedBytes, 2)), ofFour(activeClusters(stream, kernel, sharedBytes, 4)) {}

}  // namespace langevin::cuda::sm90
