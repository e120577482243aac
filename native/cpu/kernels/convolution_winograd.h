// 3×3 convolutions of stride 1 and padding 1, and their input gradients, by Winograd's F(4×4, 3×3): a quarter of the
// multiply-adds of the direct kernel, in f32. The input gradient is a convolution of dy with the kernel turned by 180°
// and its channels exchanged. convolution_winograd_transform.h has the mathematics, convolution_winograd_plan.h the
// blocking.
//
// Operations of a tile of 16 pixels: 36·cin·cout multiply-adds instead of 144·cin·cout, and per vector of channels 144
// operations for a patch and 130 for its outputs. Bytes: input and output once, as in the direct kernel, and the
// transformed patches and products to and from L2, 4.6 KB a tile and vector of each; patches or weights, whichever are
// fewer bytes, once to L3.
#pragma once
#include "convolution_engine.h"
#include "convolution_winograd_plan.h"

namespace langevin::LANGEVIN_ISA {

/// Bᵀ d of the columns [first, first + columns) of six rows of one vector of channels, to strip [6][columns][lanes]:
/// `source` is the first pixel; rows [begin, end) of the six are inside of the image, and the channels below `count`.
/// `whole`: all six, all channels.
template <bool whole, class S>
LANGEVIN_INLINE void transformColumns(const WinogradPlan& p, const SourceView<S>& x, const S* source, int64_t first,
                                      int64_t columns, int64_t begin, int64_t end, int64_t count, float* strip) {
  constexpr int L = Lane::lanes;
  for (int64_t c = 0; c < columns; ++c, source += x.pixel, strip += L) {
    Lane d[kWinogradPatch], sums[kWinogradPatch];
    const bool inside = first + c >= 0 && first + c < p.width;
    if (inside) {
#pragma GCC unroll 6
      for (int i = 0; i < kWinogradPatch; ++i) {
        if constexpr (whole) {
          d[i] = Lane::load(source + i * x.row);
        } else {
          d[i] = i >= begin && i < end ? loadLanes<float>(source + i * x.row, count) : Lane::zero();
        }
      }
      inputRows(d, sums);
    }
#pragma GCC unroll 6
    for (int i = 0; i < kWinogradPatch; ++i) (inside ? sums[i] : Lane::zero()).store(strip + i * columns * L);
  }
}

/// Transforms the patches of tiles [first, last) to v, where tile `first` lies at 0. `strip` has room for p.stripCount
/// floats.
template <class S>
static void transformPatches(const WinogradPlan& p, const SourceView<S>& x, int64_t first, int64_t last, float* v,
                             float* strip) {
  for (int64_t t = first; t < last;) {
    const TilePlace place = placeOf(p, t);
    const int64_t tiles = least(last - t, p.tileColumns - place.column / kWinogradTile);
    const int64_t columns = tiles * kWinogradTile + 2, row = place.row - 1, column = place.column - 1;  // padding
    const int64_t begin = most(0, -row), end = least(kWinogradPatch, p.height - row);
    const S* source = x.data + place.image * x.image + row * x.row + column * x.pixel;
    for (int64_t channel = 0; channel < p.blocks * kChannelBlock; channel += Lane::lanes) {
      const int64_t count = most(0, least(Lane::lanes, p.sourceChannels - channel));
      bool whole = false;
      if constexpr (sizeof(S) == sizeof(float)) {
        whole = begin == 0 && end == kWinogradPatch && count == Lane::lanes;
        if (whole) {
          transformColumns<true>(p, x, source + channel, column, columns, begin, end, count, strip);
        }
      }
      if (!whole) transformColumns<false>(p, x, source + channel, column, columns, begin, end, count, strip);
      const int64_t block = channel / kChannelBlock;
      transformRows(strip, columns, tiles, v + block * p.patchBlock + channel % kChannelBlock, p.patchFrequency,
                    kChannelBlock);
    }
    t += tiles, v += tiles * kChannelBlock;
  }
}

/// Transforms the weights of a pair for blocks [firstBlock, lastBlock) to u, where block `firstBlock` lies at 0.
/// `turned`: by 180°.
template <class S>
static void transformWeights(const WinogradPlan& p, const WeightView<S>& w, bool turned, int64_t pair,
                             int64_t firstBlock, int64_t lastBlock, float* u) {
  const int64_t first = pair * kMaxVectors, output = first * Lane::lanes;
  const int64_t width = least(kMaxVectors, p.vectors - first) * Lane::lanes;
  alignas(64) float taps[9 * kChannelBlock * kMaxVectors * Lane::lanes];
  for (int64_t b = firstBlock; b < lastBlock; ++b, u += kChannelBlock * width) {
    const int64_t input = b * kChannelBlock, inputs = least(kChannelBlock, p.sourceChannels - input);
    for (int64_t t = 0; t < 9; ++t) {
      packMatrix(w, turned ? 8 - t : t, input, inputs, kChannelBlock, output, p.outChannels - output, width,
                 taps + t * kChannelBlock * width);
    }
    for (int64_t i = 0; i < kChannelBlock * width; i += Lane::lanes) {
      transformKernel(taps + i, kChannelBlock * width, u + i, p.weightFrequency);
    }
  }
}

/// products[frequency][tile][pair] = or += Σ over `blocks` blocks of patches · weights. ahead(tile) is called for each
/// tile in turn, spread over the work, to ask for memory that will be needed.
template <class AskAhead>
static void multiplyFrequencies(const WinogradPlan& p, const TileKernels& kernels, int64_t tiles, int64_t blocks,
                                int64_t width, const float* patches, const float* weights, float* products,
                                bool accumulate, const AskAhead& ahead) {
  for (int64_t f = 0; f < kFrequencies; ++f) {
    for (int64_t t = f * tiles / kFrequencies; t < (f + 1) * tiles / kFrequencies; ++t) ahead(t);
    const float* const v = patches + f * p.patchFrequency;
    const float* const u = weights + f * p.weightFrequency;
    float* const m = products + f * p.productFrequency;
    for (int64_t t = 0; t < tiles;) {
      const MultiplyKernel<float>& kernel = kernels.of(tiles - t);
      const float* segments[kMaxSegments];
      for (int r = 0; r < kernel.segments; ++r) segments[r] = v + (t + r * kernel.segment) * kChannelBlock;
      kernel.run(segments, p.offsets, blocks, kChannelBlock, u, m + t * width, accumulate,
                 {reinterpret_cast<const char*>(v), 0});
      t += kernel.segment * kernel.segments;
    }
  }
}

/// The outputs of tiles [first, last) and a pair.
template <class Epilogue>
static void transformOutputs(const WinogradPlan& p, int64_t first, int64_t last, int64_t pair, const float* products,
                             const Epilogue& epilogue) {
  constexpr int64_t L = Lane::lanes;
  const int64_t vectors = least(kMaxVectors, p.vectors - pair * kMaxVectors);
  for (int64_t t = first; t < last; ++t) {
    const TilePlace place = placeOf(p, t);
    const int64_t pixel = (place.image * p.height + place.row) * p.width + place.column;
    for (int64_t k = 0; k < vectors; ++k, products += L) {
      const int64_t channel = (pair * kMaxVectors + k) * L, count = least(L, p.outChannels - channel);
      if (count == L) {
        const Lane constant = epilogue.constantOf(channel, L);
        const int64_t base = pixel * p.outChannels + channel, row = p.width * p.outChannels;
        transformProducts(products, p.productFrequency, [&](int i, int j, Lane sum) {
          if (i < place.rows && j < place.columns) {
            epilogue.finish(sum, constant, base + i * row + j * p.outChannels, L);
          }
        });
        continue;
      }
      float y[kWinogradTile][kWinogradTile * L];
      transformProducts(products, p.productFrequency, [&](int i, int j, Lane sum) { sum.store(y[i] + j * L); });
      for (int64_t i = 0; i < place.rows; ++i) {
        epilogue(PixelRun{pixel + i * p.width, 1, place.columns, channel, count, L}, y[i]);
      }
    }
  }
}

/// Asks for the lines that transformOutputs will write.
template <class Epilogue>
LANGEVIN_INLINE void prefetchOutputs(const WinogradPlan& p, int64_t tile, int64_t pair, const Epilogue& epilogue) {
  const TilePlace place = placeOf(p, tile);
  const int64_t pixel = (place.image * p.height + place.row) * p.width + place.column;
  const int64_t width = kMaxVectors * Lane::lanes, channel = pair * width;
  for (int64_t i = 0; i < place.rows; ++i) {
    epilogue.prefetch(
        PixelRun{pixel + i * p.width, 1, place.columns, channel, least(width, p.outChannels - channel), 0});
  }
}

/// Asks for the pixels that are the tile's own: those of its outputs.
template <class S>
LANGEVIN_INLINE void prefetchPatch(const WinogradPlan& p, const SourceView<S>& x, int64_t tile) {
  if (tile >= p.tiles) return;
  const TilePlace place = placeOf(p, tile);
  const S* row = x.data + place.image * x.image + place.row * x.row + place.column * x.pixel;
  constexpr int64_t line = 64 / sizeof(S);
  for (int64_t i = 0; i < place.rows; ++i, row += x.row) {
    for (int64_t k = 0; k < place.columns * x.pixel; k += line) __builtin_prefetch(row + k, 0, 2);
  }
}

/// y = x convolved with w, turned by 180° or not, given to the epilogue. x's pixels must be dense.
template <class S, class Epilogue>
static void convolveWinograd(Stream& stream, int64_t batch, int64_t height, int64_t width, const SourceView<S>& x,
                             int64_t sourceChannels, const WeightView<S>& w, bool turned, const Epilogue& epilogue) {
  constexpr int64_t kTaskBlocks = 4, kTaskTiles = 8, size = sizeof(float);
  WinogradPlan p = planWinograd(batch, height, width, sourceChannels, epilogue.channels);
  const TileKernels kernels[kMaxVectors] = {tileKernels(1), tileKernels(2)};
  const int64_t patchCount = kFrequencies * p.patchFrequency, weightCount = kFrequencies * p.weightFrequency;
  const int64_t sharedCount = p.sharesWeights ? p.pairs * weightCount : patchCount;
  Arena arena{
      static_cast<char*>(stream.scratch(0, 3, static_cast<size_t>(sharedCount * size + p.chunkBlocks * 8 + 128)))};
  float* const shared = arena.take<float>(sharedCount);
  p.offsets = arena.take<int64_t>(p.chunkBlocks);
  for (int64_t b = 0; b < p.chunkBlocks; ++b) p.offsets[b] = b * p.patchBlock;

  const auto strip = [&](int thread) {
    return static_cast<float*>(stream.scratch(thread, 2, static_cast<size_t>(p.stripCount * size)));
  };

  if (p.sharesWeights) {
    const int64_t parts = ceilDivide(p.blocks, kTaskBlocks);
    stream.parallel(p.pairs * parts, [&](int64_t task, int) {
      const int64_t pair = task / parts, first = task % parts * kTaskBlocks;
      const int64_t vectors = least(kMaxVectors, p.vectors - pair * kMaxVectors);
      transformWeights(p, w, turned, pair, first, least(p.blocks, first + kTaskBlocks),
                       shared + pair * weightCount + first * kChannelBlock * vectors * Lane::lanes);
    });
  } else {
    stream.parallel(ceilDivide(p.tiles, kTaskTiles), [&](int64_t task, int thread) {
      const int64_t first = task * kTaskTiles;
      transformPatches(p, x, first, least(p.tiles, first + kTaskTiles), shared + first * kChannelBlock, strip(thread));
    });
  }

  const int64_t tasks = p.sharesWeights ? p.groups : p.groups * p.pairs;
  stream.parallel(tasks, [&](int64_t task, int thread) {
    const int64_t group = task % p.groups, first = group * p.groupTiles, last = least(p.tiles, first + p.groupTiles);
    const int64_t firstPair = task / p.groups, lastPair = p.sharesWeights ? p.pairs : firstPair + 1;
    float* const own = static_cast<float*>(
        stream.scratch(thread, 0, static_cast<size_t>((p.sharesWeights ? patchCount : weightCount) * size)));
    float* const products =
        static_cast<float*>(stream.scratch(thread, 1, static_cast<size_t>(kFrequencies * p.productFrequency * size)));
    if (p.sharesWeights) transformPatches(p, x, first, last, own, strip(thread));
    for (int64_t pair = firstPair; pair < lastPair; ++pair) {
      const int64_t vectors = least(kMaxVectors, p.vectors - pair * kMaxVectors);
      for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
        const int64_t firstBlock = chunk * p.chunkBlocks, lastBlock = least(p.blocks, firstBlock + p.chunkBlocks);
        if (!p.sharesWeights) transformWeights(p, w, turned, pair, firstBlock, lastBlock, own);
        const int64_t width = vectors * Lane::lanes, base = firstBlock * kChannelBlock;
        const float* const patches =
            (p.sharesWeights ? own : shared + first * kChannelBlock) + firstBlock * p.patchBlock;
        const float* const weights = p.sharesWeights ? shared + pair * weightCount + base * width : own;
        const bool lastChunk = chunk == p.chunks - 1;
        const bool patchesNext = p.sharesWeights && pair == firstPair && chunk == 0;
        // A guess at which group this thread takes next.
        const int64_t next = first + stream.threads() * p.groupTiles;
        multiplyFrequencies(p, kernels[vectors - 1], last - first, lastBlock - firstBlock, width, patches, weights,
                            products, chunk > 0, [&](int64_t tile) {
                              if (lastChunk) prefetchOutputs(p, first + tile, pair, epilogue);
                              if (patchesNext) prefetchPatch(p, x, next + tile);
                            });
      }
      transformOutputs(p, first, last, pair, products, epilogue);
    }
  });
}

}  // namespace langevin::LANGEVIN_ISA
