// A training batch from u8 images: gather, reflect-padded random crop, mirror, scale, noise.
//
// Per element: reads 1 byte, writes 4, and, with noise, reads and writes 4 more in a second pass that is in L2 for a
// batch of small images. Bound by the normals.
#include "../normals.h"
#include "training.h"

namespace langevin::LANGEVIN_ISA {

namespace {

/// Where an image is cropped: the window's top left corner in the padded image, and whether it is mirrored.
struct Crop {
  int64_t top, left;
  bool mirror;
};

/// By words 0, 1 and 2 of Philox counter (i, step, stream + 1, purpose).
Crop cropOf(const Draw& draw, int64_t i, int64_t padding, bool flip) {
  const Philox& p = draw.philox;
  const uint64_t seed = static_cast<uint64_t>(p.seed), choices = static_cast<uint64_t>(2 * padding + 1);
  const Words words =
      philox4x32(static_cast<uint32_t>(i), static_cast<uint32_t>(p.step), static_cast<uint32_t>(p.stream + 1),
                 static_cast<uint32_t>(p.purpose), static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  return {static_cast<int64_t>(words.w[0] * choices >> 32), static_cast<int64_t>(words.w[1] * choices >> 32),
          flip && words.w[2] >> 31 != 0};
}

/// An index in [−(n − 1), 2n − 2] reflected into [0, n), the edge not repeated.
LANGEVIN_INLINE int64_t reflect(int64_t i, int64_t n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }

/// y [height, width, channels] = the crop of image, by a table of what each byte becomes.
void cropImage(const uint8_t* image, const float* valueOf, float* y, int64_t height, int64_t width, int64_t channels,
               int64_t padding, const Crop& crop) {
  for (int64_t row = 0; row < height; ++row) {
    const uint8_t* const line = image + reflect(row + crop.top - padding, height) * width * channels;
    for (int64_t column = 0; column < width; ++column) {
      const int64_t across = crop.mirror ? width - 1 - column : column;
      const uint8_t* const pixel = line + reflect(across + crop.left - padding, width) * channels;
      for (int64_t c = 0; c < channels; ++c) *y++ = valueOf[pixel[c]];
    }
  }
}

void imageBatch(Stream& stream, In images, In index, Out y, int64_t n, int64_t count, int64_t height, int64_t width,
                int64_t channels, int64_t padding, bool flip, double noiseStd, Philox philox) {
  const Draw draw = stream.draw(philox);
  const int64_t size = countOf(height, width, channels);
  const uint8_t* const source = images.as<uint8_t>(countOf(n, size));
  const int32_t* const at = index.as<int32_t>(count);
  const int64_t total = countOf(count, size);
  float* const target = y.as<float>(total);
  checkIndices(at, count, n);
  if (padding < 0 || (padding > 0 && (padding >= height || padding >= width))) {
    fault("images of %lld x %lld cannot be reflected by %lld", static_cast<long long>(height),
          static_cast<long long>(width), static_cast<long long>(padding));
  }
  float valueOf[256];
  for (int byte = 0; byte < 256; ++byte) valueOf[byte] = static_cast<float>(byte / 127.5 - 1.0);

  stream.parallel(count, [&](int64_t i, int) {
    cropImage(source + at[i] * size, valueOf, target + i * size, height, width, channels, padding,
              cropOf(draw, i, padding, flip));
  });
  if (noiseStd == 0) return;
  const float scale = static_cast<float>(noiseStd);
  forBatches(stream, total, [=](int64_t e, int64_t m) {
    float noise[kBatch];
    randomNormals(draw, e, noise);
    for (int64_t i = 0; i < m; ++i) target[e + i] += scale * noise[i];
  });
}

}  // namespace

void fillImages(OpTable& ops) { ops.imageBatch = imageBatch; }

}  // namespace langevin::LANGEVIN_ISA
