// A training batch from u8 images: gather, reflect-padded random crop, mirror, scale, noise, in one kernel.
//
// Per element: reads 1 byte, writes 4; with noise, four normals a thread (random.cu), which bound it. 64 images of
// CIFAR are 196,608 elements: 1 MB, about 1 µs. A thread makes four elements in a row of the result: those that share a
// counter of the noise.
//
// Not measured on hardware.
#include "../groups.h"
#include "../random.h"
#include "training.h"

namespace langevin::cuda {

namespace {

struct ImageShape {
  int64_t count, height, width, channels, padding;
  bool flip;
};

/// Where an image is cropped: the window's top left corner in the padded image, and whether it is mirrored.
struct Crop {
  int64_t top, left;
  bool mirror;
};

/// By words 0, 1 and 2 of Philox counter (image, step, stream + 1, purpose).
LANGEVIN_DEVICE Crop cropOf(Philox p, int64_t stepOffset, int64_t image, const ImageShape& s) {
  ++p.stream;
  const Words words = randomWords(p, stepOffset, image);
  const uint64_t choices = static_cast<uint64_t>(2 * s.padding + 1);
  return {static_cast<int64_t>(words.w[0] * choices >> 32), static_cast<int64_t>(words.w[1] * choices >> 32),
          s.flip && words.w[2] >> 31 != 0};
}

/// An index in [−(n − 1), 2n − 2] reflected into [0, n), the edge not repeated.
LANGEVIN_DEVICE int64_t reflect(int64_t i, int64_t n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }

/// Goes through the elements of the batch in order and gives each one's byte of the images.
class Cursor {
 public:
  LANGEVIN_DEVICE Cursor(int64_t element, const ImageShape& shape, const Philox& philox, int64_t stepOffset)
      : shape_(shape), philox_(philox), stepOffset_(stepOffset) {
    channel_ = element % shape.channels, element /= shape.channels;
    column_ = element % shape.width, element /= shape.width;
    row_ = element % shape.height, image_ = element / shape.height;
    crop_ = cropOf(philox_, stepOffset_, image_, shape_);
  }

  LANGEVIN_DEVICE int64_t image() const { return image_; }

  /// Where the element's byte is in its image.
  LANGEVIN_DEVICE int64_t source() const {
    const int64_t across = crop_.mirror ? shape_.width - 1 - column_ : column_;
    const int64_t fromRow = reflect(row_ + crop_.top - shape_.padding, shape_.height);
    const int64_t fromColumn = reflect(across + crop_.left - shape_.padding, shape_.width);
    return (fromRow * shape_.width + fromColumn) * shape_.channels + channel_;
  }

  LANGEVIN_DEVICE void advance() {
    if (++channel_ < shape_.channels) return;
    channel_ = 0;
    if (++column_ < shape_.width) return;
    column_ = 0;
    if (++row_ < shape_.height) return;
    row_ = 0;
    crop_ = cropOf(philox_, stepOffset_, ++image_, shape_);
  }

 private:
  const ImageShape& shape_;
  const Philox& philox_;
  const int64_t stepOffset_;
  int64_t channel_, column_, row_, image_;
  Crop crop_;
};

__global__ void imageBatchKernel(const uint8_t* images, const int32_t* index, float* y, int64_t n, ImageShape shape,
                                 float noiseStd, Philox philox, const int64_t* stepOffset, KernelFault* faults) {
  LANGEVIN_SHARED(float, valueOf, [256]);  // what each byte becomes: the quotient of f64 is slow
  valueOf[threadIdx.x] = static_cast<float>(threadIdx.x / 127.5 - 1.0);
  __syncthreads();
  const int64_t size = shape.height * shape.width * shape.channels, total = shape.count * size;
  for (int64_t begin = firstGroup<kDrawn>(); begin < total; begin += groupStride<kDrawn>()) {
    float noise[kDrawn] = {};
    if (noiseStd != 0) randomNormals(philox, *stepOffset, begin / kDrawn, noise);
    Cursor cursor(begin, shape, philox, *stepOffset);
    Group<float, kDrawn> result{};
    for (int i = 0; i < kDrawn && begin + i < total; ++i) {
      const int64_t image = checkedIndex(index, cursor.image(), n, faults);
      if (image >= 0) result.v[i] = valueOf[images[image * size + cursor.source()]] + noiseStd * noise[i];
      cursor.advance();
    }
    storeGroup(y, begin, total, result);
  }
}

void imageBatch(Stream& stream, In images, In index, Out y, int64_t n, int64_t count, int64_t height, int64_t width,
                int64_t channels, int64_t padding, bool flip, double noiseStd, Philox philox) {
  const int64_t size = countOf(height, width, channels);
  const uint8_t* const source = images.as<uint8_t>(countOf(n, size));
  const int32_t* const at = index.as<int32_t>(count);
  const int64_t total = countOf(count, size);
  float* const target = y.as<float>(total);
  if (padding < 0 || (padding > 0 && (padding >= height || padding >= width))) {
    fault("images of %lld x %lld cannot be reflected by %lld", static_cast<long long>(height),
          static_cast<long long>(width), static_cast<long long>(padding));
  }
  static_assert(kThreads == 256, "one thread for each byte's value");
  stream.launch(imageBatchKernel, loopOverGroups<kDrawn>(stream, total), source, at, target, n,
                ImageShape{count, height, width, channels, padding, flip}, static_cast<float>(noiseStd), philox,
                stream.stepOffset(), stream.faults());
}

}  // namespace

void fillImages(OpTable& ops) { ops.imageBatch = imageBatch; }

}  // namespace langevin::cuda
