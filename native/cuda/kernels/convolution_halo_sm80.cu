// 3×3 convolutions of stride 1 to at most 16 channels on tensor cores: forward, and the input gradient, with the
// fragments and the epilogue of product_sm80.h.
//
// Such layers move more bytes than they multiply: an implicit product reads its source once for each of the nine taps,
// from L2 if not from memory. Here a block loads the 18 × 18 source pixels of a 16 × 16 tile once, 64 bytes of channels
// at a time, and takes all nine taps from shared memory: ldmatrix reads rows at any pixel, so a tap is an offset. A
// warp has four rows of the tile; the six source rows under them are loaded once for the three taps of a column.
//
// 160 → 16 channels at 32×32, batch 64 (the input gradient behind a WideResNet's first wide layer), bf16: 3.0 GFLOP and
// 23 MB from memory, 8 µs at 3.0 TB/s of an H100. From L2: 1.27 times dy and the weights once a block, 38 MB, 7 µs at
// 5.5 TB/s, where nine passes would be 190 MB and 35 µs. Two stages of 30 KiB (forward: 34 KiB) leave room for three
// blocks a multiprocessor. Not measured on hardware.
#include "product_sm80.h"

namespace langevin::cuda::sm80 {

constexpr int kSide = 16, kTaps = 9, kHaloSide = kSide + 2, kHaloPixels = kHaloSide * kHaloSide, kColumns = 16;
constexpr int kLeastSide = 12;  // of an image: smaller ones would leave most of a tile unused

using HaloTile = Tile<kSide * kSide, kColumns, 4 * kSide, kColumns>;

/// The weights of one tap: as they lie in memory, [input channel][output channel], forward; read the other way round,
/// backward.
template <class T, bool backward>
struct TapLayout {
  using type = InnerStrided<T, kColumns>;
};
template <class T>
struct TapLayout<T, true> {
  using type = InnerContiguous<T, kColumns>;
};

template <class T, bool backward>
struct Halo {
  using Pixels = InnerContiguous<T, kHaloPixels>;
  using Taps = typename TapLayout<T, backward>::type;
  using Sums = Product<T, HaloTile, Pixels, Taps>;
  static constexpr int stageBytes = Pixels::bytes + kTaps * Taps::bytes, sharedBytes = 2 * stageBytes;
  static_assert(Sums::stagingBytes <= sharedBytes, "the epilogue's staging overlays the stages");

  const T *source, *weight;
  int height, width, channels, columns;  // of the source; columns of the product
  int image, top, left;                  // of the halo's corner

  /// Brings 64 bytes of channels from `first` of every pixel and every tap.
  LANGEVIN_DEVICE void load(unsigned char* stage, int first) const {
    for (int item = threadIdx.x; item < Pixels::chunks; item += HaloTile::threads) {
      const int pixel = item / kStepChunks, place = item % kStepChunks;
      const int row = top + pixel / kHaloSide, column = left + pixel % kHaloSide, channel = first + place * kLanes<T>;
      const bool inside = row >= 0 && row < height && column >= 0 && column < width && channel < channels;
      const T* from = source + ((static_cast<int64_t>(image) * height + row) * width + column) * channels + channel;
      ptx::copyAsync16(Pixels::chunk(stage, pixel, place), inside ? from : source, inside);
    }
    for (int item = threadIdx.x; item < kTaps * Taps::chunks; item += HaloTile::threads) {
      const int tap = item / Taps::chunks, line = item % Taps::chunks / Taps::chunksPerLine;
      const int place = item % Taps::chunksPerLine, along = place * kLanes<T>;
      const int channel = first + (backward ? along : line), column = backward ? line : along;
      const bool inside = channel < channels && column < columns;
      const int64_t at = backward ? (static_cast<int64_t>(tap) * columns + column) * channels + channel
                                  : (static_cast<int64_t>(tap) * channels + channel) * columns + column;
      unsigned char* tile = stage + Pixels::bytes + tap * Taps::bytes;
      ptx::copyAsync16(Taps::chunk(tile, line, place), inside ? weight + at : weight, inside);
    }
  }

  /// `left` is how many channels of the stage there are.
  LANGEVIN_DEVICE static void multiplyStage(Sums& product, unsigned char* stage, int left) {
    constexpr int rows = HaloTile::leftFragments, channelsAtOnce = kDepth<T> / 2;
    const int firstRow = Sums::warpRow() / kSide;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      if (k * channelsAtOnce >= left) break;
#pragma unroll
      for (int v = 0; v < 3; ++v) {
        uint32_t pixels[rows + 2][4];
#pragma unroll
        for (int i = 0; i < rows + 2; ++i) Pixels::loadLeft(pixels[i], stage, (firstRow + i) * kHaloSide + v, k);
#pragma unroll
        for (int u = 0; u < 3; ++u) {
          const int tap = backward ? kTaps - 1 - (3 * u + v) : 3 * u + v;
          uint32_t pair[4];
          Taps::loadRight(pair, stage + Pixels::bytes + tap * Taps::bytes, 0, k);
          const uint32_t right[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
#pragma unroll
          for (int i = 0; i < rows; ++i) {
            multiplyAdd<T>(product.sums[i][0], pixels[i + u], right[0]);
            multiplyAdd<T>(product.sums[i][1], pixels[i + u], right[1]);
          }
        }
      }
    }
  }

  LANGEVIN_DEVICE void run(Sums& product, unsigned char* shared) const {
    product.clear();
    load(shared, 0);
    ptx::commitCopies();
    for (int first = 0, stage = 0; first < channels; first += kDepth<T>, stage ^= 1) {
      if (first + kDepth<T> < channels) load(shared + (stage ^ 1) * stageBytes, first + kDepth<T>);
      ptx::commitCopies();
      ptx::waitCopies<1>();
      __syncthreads();
      multiplyStage(product, shared + stage * stageBytes, channels - first);
      __syncthreads();  // the stage is free
    }
  }
};

/// Calls f(pixel, channel, z) for every eight channels of the tile's pixels inside the image.
template <class T, bool backward, class F>
LANGEVIN_DEVICE void convolveTile(const T* source, const T* weight, const Conv& s, int tilesAcross, int tilesDown,
                                  const F& f) {
  LANGEVIN_DYNAMIC_SHARED(shared);
  const int tile = static_cast<int>(blockIdx.x), line = tile / tilesAcross;
  const int image = line / tilesDown, row = line % tilesDown * kSide, column = tile % tilesAcross * kSide;
  const int height = backward ? s.height : s.outHeight, width = backward ? s.width : s.outWidth;
  const int shift = backward ? s.padding - 2 : -s.padding;
  Halo<T, backward> halo;
  halo.source = source, halo.weight = weight;
  halo.height = backward ? s.outHeight : s.height, halo.width = backward ? s.outWidth : s.width;
  halo.channels = backward ? s.cout : s.cin, halo.columns = backward ? s.cin : s.cout;
  halo.image = image, halo.top = row + shift, halo.left = column + shift;
  typename Halo<T, backward>::Sums product;
  halo.run(product, shared);
  product.forEachOctet(shared, [&](int place, int channel, float(&z)[8]) {
    const int y = row + place / kSide, x = column + place % kSide;
    if (y < height && x < width && channel < halo.columns) {
      f((static_cast<int64_t>(image) * height + y) * width + x, channel, z);
    }
  });
}

template <class T>
__global__ void __launch_bounds__(HaloTile::threads, 3)
    haloForward(const T* x, const T* weight, const Conv s, const ForwardEpilogue<T> epilogue, int tilesAcross,
                int tilesDown) {
  convolveTile<T, false>(x, weight, s, tilesAcross, tilesDown, [&](int64_t pixel, int channel, float(&z)[8]) {
    const uint32_t bits = epilogue.template store<8, true>(pixel, channel, z);
    if (epilogue.signs) epilogue.signs[(pixel * s.cout + channel) / 8] = static_cast<uint8_t>(bits);
  });
}

template <class T>
__global__ void __launch_bounds__(HaloTile::threads, 3)
    haloBackwardInput(const T* dy, const T* weight, const Conv s, const BackwardInputEpilogue<T> epilogue,
                      int tilesAcross, int tilesDown) {
  convolveTile<T, true>(dy, weight, s, tilesAcross, tilesDown, [&](int64_t pixel, int channel, float(&z)[8]) {
    epilogue.template store<8, true>(pixel, channel, z);
  });
}

static bool suitsHalo(const ConvShape& s, int64_t columns, int64_t height, int64_t width) {
  return s.kh == 3 && s.kw == 3 && s.stride == 1 && columns <= kColumns && s.cin % 8 == 0 && s.cout % 8 == 0 &&
         height >= kLeastSide && width >= kLeastSide;
}

bool forwardToFew(Stream& stream, const ConvForward& c) {
  if (c.shortcut.x || !suitsHalo(c.s, c.s.cout, c.s.outHeight(), c.s.outWidth())) return false;
  const Conv s = checkedConv(c.s);
  const int64_t across = ceilDiv(s.outWidth, kSide), down = ceilDiv(s.outHeight, kSide);
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    stream.launch(haloForward<T>,
                  {gridOf(s.batch * down * across), dim3(HaloTile::threads), Halo<T, false>::sharedBytes}, c.x,
                  c.weight, s, epilogueOf<T>(c), across, down);
  });
  return true;
}

bool backwardInputToFew(Stream& stream, const ConvBackwardInput& c) {
  if (!suitsHalo(c.s, c.s.cin, c.s.height, c.s.width)) return false;
  const Conv s = checkedConv(c.s);
  const int64_t across = ceilDiv(s.width, kSide), down = ceilDiv(s.height, kSide);
  withFloat(c.dtype, [&](auto element) {
    using T = decltype(element);
    stream.launch(haloBackwardInput<T>,
                  {gridOf(s.batch * down * across), dim3(HaloTile::threads), Halo<T, true>::sharedBytes}, c.dy,
                  c.weight, s, epilogueOf<T>(c), across, down);
  });
  return true;
}

}  // namespace langevin::cuda::sm80
