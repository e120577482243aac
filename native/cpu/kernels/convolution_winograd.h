// 3×3 convolutions with padding 1, and their input gradients, by Winograd's minimal filtering: at stride 1 with a
// quarter of the multiply-adds of the direct kernel, at stride 2 with 25/36 of them. Transforms and sums are f32; so
// are the factors between, but of bf16 tensors, where there is AVX-512 BF16, they are rounded to bf16 (FactorOf). The
// input gradient at stride 1 is a convolution of dy with the kernel turned by 180° and its channels exchanged.
// convolution_winograd_transform.h has the mathematics, convolution_winograd_plan.h the blocking.
//
// Bytes: input and output once, as in the direct kernel; transformed patches and products to and from L2, 2.3 KB a tile
// and vector of each at stride 1; of patches and weights, whichever are fewer bytes, once to L3.
#pragma once
#include "convolution_engine.h"
#include "convolution_winograd_plan.h"

namespace langevin::LANGEVIN_ISA {

/// Bᵀ d of the columns [first, first + columns) of one vector of channels, to strip [points][columns][lanes]: `source`
/// is the first pixel; rows [begin, end) of a patch are inside of the image, and the channels below `count`. `whole`:
/// all of them are.
template <class Scheme, bool whole, class S>
LANGEVIN_INLINE void transformColumns(const WinogradPlan& p, const SourceView<S>& x, const S* source, int64_t first,
                                      int64_t columns, int64_t begin, int64_t end, int64_t count, float* strip) {
  constexpr int L = Lane::lanes;
  for (int64_t c = 0; c < columns; ++c, source += x.pixel, strip += L) {
    Lane d[Scheme::patch], sums[Scheme::points];
    const bool inside = first + c >= 0 && first + c < p.sourceWidth;
    if (inside) {
#pragma GCC unroll 6
      for (int i = 0; i < Scheme::patch; ++i) {
        if constexpr (whole) {
          d[i] = loadWide(source + i * x.row);
        } else {
          d[i] = i >= begin && i < end ? loadLanes<float>(source + i * x.row, count) : Lane::zero();
        }
      }
      Scheme::input(d, sums);
    }
#pragma GCC unroll 6
    for (int i = 0; i < Scheme::points; ++i) (inside ? sums[i] : Lane::zero()).store(strip + i * columns * L);
  }
}

/// Transforms the patches of tiles [first, last) to v, where tile `first` lies at 0. `strip` has room for p.stripCount
/// floats.
template <class Scheme, class S, class F>
static void transformPatches(const WinogradPlan& p, const SourceView<S>& x, int64_t first, int64_t last, F* v,
                             float* strip) {
  for (int64_t t = first; t < last;) {
    const TilePlace place = placeOf(p, tileAt(p, t));
    const int64_t inRow = least(last - t, p.tileColumns - place.tileColumn);
    int64_t tiles = 1;  // neighbours in a row
    while (tiles < inRow && tileAt(p, t + tiles) == tileAt(p, t) + tiles) ++tiles;
    const int64_t columns = (tiles - 1) * Scheme::step + Scheme::patch;
    const int64_t row = place.tileRow * Scheme::step + Scheme::offset;
    const int64_t column = place.tileColumn * Scheme::step + Scheme::offset;
    const int64_t begin = most(0, -row), end = least(Scheme::patch, p.sourceHeight - row);
    const S* source = x.data + place.image * x.image + row * x.row + column * x.pixel;
    for (int64_t channel = 0; channel < p.blocks * kChannelBlock; channel += Lane::lanes) {
      const int64_t count = most(0, least(Lane::lanes, p.sourceChannels - channel));
      if (begin == 0 && end == Scheme::patch && count == Lane::lanes) {
        transformColumns<Scheme, true>(p, x, source + channel, column, columns, begin, end, count, strip);
      } else {
        transformColumns<Scheme, false>(p, x, source + channel, column, columns, begin, end, count, strip);
      }
      const int64_t block = channel / kChannelBlock;
      transformRows<Scheme>(strip, columns, tiles, v + block * p.patchBlock + channel % kChannelBlock, p.patchFrequency,
                            kChannelBlock);
    }
    t += tiles, v += tiles * kChannelBlock;
  }
}

/// The weights of a block, from taps[9][16][width] to u[frequency][16][width], `pitch` between frequencies.
template <class Scheme>
LANGEVIN_INLINE void transformBlock(const float* taps, int64_t width, float* u, int64_t pitch) {
  for (int64_t i = 0; i < kChannelBlock * width; i += Lane::lanes) {
    transformKernel<Scheme>(taps + i, kChannelBlock * width, u + i, pitch);
  }
}

#if defined(__AVX512BF16__)
/// … to u[frequency][8][width][2], rounded.
template <class Scheme>
static void transformBlock(const float* taps, int64_t width, bf16* u, int64_t pitch) {
  constexpr int frequencies = Scheme::points * Scheme::points, L = Lane::lanes;
  alignas(64) float even[frequencies * L], odd[frequencies * L];
  for (int64_t c = 0; c < kChannelBlock; c += 2) {
    for (int64_t n = 0; n < width; n += L) {
      transformKernel<Scheme>(taps + c * width + n, kChannelBlock * width, even, L);
      transformKernel<Scheme>(taps + (c + 1) * width + n, kChannelBlock * width, odd, L);
      for (int f = 0; f < frequencies; ++f) {
        storePairs(Lane::load(even + f * L), Lane::load(odd + f * L), u + f * pitch + c * width + 2 * n);
      }
    }
  }
}
#endif

/// Transforms the weights of a pair for blocks [firstBlock, lastBlock) to u, where block `firstBlock` lies at 0.
/// `turned`: by 180°.
template <class Scheme, class S, class F>
static void transformWeights(const WinogradPlan& p, const WeightView<S>& w, bool turned, int64_t pair,
                             int64_t firstBlock, int64_t lastBlock, F* u) {
  const int64_t first = pair * kMaxVectors, output = first * Lane::lanes;
  const int64_t width = least(kMaxVectors, p.vectors - first) * Lane::lanes;
  alignas(64) float taps[9 * kChannelBlock * kMaxVectors * Lane::lanes];
  for (int64_t b = firstBlock; b < lastBlock; ++b, u += kChannelBlock * width) {
    const int64_t input = b * kChannelBlock, inputs = least(kChannelBlock, p.sourceChannels - input);
    for (int64_t t = 0; t < 9; ++t) {
      packMatrix(w, turned ? 8 - t : t, input, inputs, kChannelBlock, output, p.outChannels - output, width,
                 taps + t * kChannelBlock * width);
    }
    transformBlock<Scheme>(taps, width, u, p.weightFrequency);
  }
}

/// products[frequency][tile][pair] = or += Σ over `blocks` blocks of patches · weights, of a group's tiles. Meanwhile
/// the kernels ask for `ahead`, and outputAhead(tile) is called for each tile in turn, spread over the work.
template <class Scheme, class F, class OutputAhead>
static void multiplyFrequencies(const WinogradPlan& p, const TileKernels<F>& kernels, int64_t group, int64_t tiles,
                                int64_t blocks, int64_t width, const F* patches, const F* weights, float* products,
                                bool accumulate, Ahead ahead, const OutputAhead& outputAhead) {
  for (int64_t f = 0; f < p.frequencies; ++f) {
    for (int64_t t = f * tiles / p.frequencies; t < (f + 1) * tiles / p.frequencies; ++t) outputAhead(t);
    const F* const v = patches + f * p.patchFrequency;
    const F* const u = weights + f * p.weightFrequency;
    float* const m = products + f * p.productFrequency;
    const TileRange range = tilesThatNeed<Scheme>(p, group, tiles, f);
    for (int64_t t = range.begin; t < range.end;) {
      const MultiplyKernel<F>& kernel = kernels.of(range.end - t);
      const F* segments[kMaxSegments];
      for (int r = 0; r < kernel.segments; ++r) segments[r] = v + (t + r * kernel.segment) * kChannelBlock;
      kernel.run(segments, p.offsets, blocks, kChannelBlock, u, m + t * width, accumulate, ahead);
      ahead.next += ahead.step * (blocks * kChannelBlock / kAheadInterval);
      t += kernel.segment * kernel.segments;
    }
  }
}

/// The outputs of tiles [first, last) and a pair.
template <class Scheme, class Epilogue>
static void transformOutputs(const WinogradPlan& p, int64_t first, int64_t last, int64_t pair, const float* products,
                             const Epilogue& epilogue) {
  constexpr int64_t L = Lane::lanes;
  constexpr int tile = Scheme::tile;
  const int64_t vectors = least(kMaxVectors, p.vectors - pair * kMaxVectors), row = p.outWidth * p.outChannels;
  for (int64_t t = first; t < last; ++t) {
    const TilePlace place = placeOf(p, tileAt(p, t));
    for (int64_t k = 0; k < vectors; ++k, products += L) {
      const int64_t channel = (pair * kMaxVectors + k) * L, count = least(L, p.outChannels - channel);
      if (count == L) {
        const Lane constant = epilogue.constantOf(channel, L);
        const int64_t base = place.pixel * p.outChannels + channel;
        transformProducts<Scheme>(products, p.productFrequency, [&](int i, int j, Lane sum) {
          if (i < place.rows && j < place.columns) {
            epilogue.finish(sum, constant, base + i * row + j * p.outChannels, L);
          }
        });
        continue;
      }
      float y[tile][tile * L];
      transformProducts<Scheme>(products, p.productFrequency, [&](int i, int j, Lane sum) { sum.store(y[i] + j * L); });
      for (int64_t i = 0; i < place.rows; ++i) {
        epilogue(PixelRun{place.pixel + i * p.outWidth, 1, place.columns, channel, count, L}, y[i]);
      }
    }
  }
}

/// Asks for the lines that transformOutputs will write.
template <class Epilogue>
LANGEVIN_INLINE void prefetchOutputs(const WinogradPlan& p, int64_t t, int64_t pair, const Epilogue& epilogue) {
  const TilePlace place = placeOf(p, tileAt(p, t));
  const int64_t width = kMaxVectors * Lane::lanes, channel = pair * width;
  const int64_t count = least(width, p.outChannels - channel);
  for (int64_t i = 0; i < place.rows; ++i) {
    epilogue.prefetch(PixelRun{place.pixel + i * p.outWidth, 1, place.columns, channel, count, 0});
  }
}

/// The rows of the patches of the group from tile `first` on, to be brought to L2 by so many requests.
template <class S>
LANGEVIN_INLINE Ahead patchesAhead(const WinogradPlan& p, const SourceView<S>& x, int64_t first, int64_t requests) {
  if (first >= p.tiles) return {reinterpret_cast<const char*>(x.data), 0};
  const TilePlace from = placeOf(p, first), to = placeOf(p, least(p.tiles, first + p.groupTiles) - 1);
  const S* begin = x.data + from.image * x.image + least(p.sourceHeight, from.tileRow * p.step) * x.row;
  const S* end = x.data + to.image * x.image + least(p.sourceHeight, (to.tileRow + 1) * p.step) * x.row;
  return {reinterpret_cast<const char*>(begin),
          most(64, ceilDivide((end - begin) * static_cast<int64_t>(sizeof(S)), requests))};
}

/// y = x convolved with w, turned by 180° or not, given to the epilogue. x's pixels must be dense.
template <class Scheme, class S, class Epilogue>
class WinogradConvolution {
  using F = FactorOf<S>;

 public:
  WinogradConvolution(Stream& stream, const WinogradShape& shape, const SourceView<S>& x, const WeightView<S>& w,
                      bool turned, const Epilogue& epilogue)
      : stream_(stream),
        p_(planWinograd<Scheme, F>(shape)),
        x_(x),
        w_(w),
        turned_(turned),
        epilogue_(epilogue),
        kernels_{tileKernels<F>(1), tileKernels<F>(2)},
        patchCount_(p_.frequencies * p_.patchFrequency),
        weightCount_(p_.frequencies * p_.weightFrequency) {
    const int64_t count = p_.sharesWeights ? p_.pairs * weightCount_ : patchCount_;
    const int64_t order = p_.clipped ? p_.tiles : 0, kinds = p_.clipped ? p_.groups : 0;
    const int64_t bytes = count * static_cast<int64_t>(sizeof(F)) + p_.chunkBlocks * 8 + order * 8 + kinds * 24 + 256;
    Arena arena{static_cast<char*>(stream.scratch(0, 3, static_cast<size_t>(bytes)))};
    shared_ = arena.take<F>(count);
    p_.offsets = arena.take<int64_t>(p_.chunkBlocks);
    for (int64_t b = 0; b < p_.chunkBlocks; ++b) p_.offsets[b] = b * p_.patchBlock;
    if (p_.clipped) {
      p_.order = arena.take<int64_t>(order);
      p_.kinds = arena.take<WinogradPlan::Kinds>(kinds);
      orderTiles(p_);
    }
  }

  void run() {
    if (p_.sharesWeights) {
      shareWeights();
      stream_.parallel(p_.groups, [&](int64_t group, int thread) { multiplyGroup(group, 0, p_.pairs, thread); });
    } else {
      sharePatches();
      stream_.parallel(p_.groups * p_.pairs, [&](int64_t task, int thread) {
        const int64_t pair = task / p_.groups;
        multiplyGroup(task % p_.groups, pair, pair + 1, thread);
      });
    }
  }

 private:
  int64_t vectorsOf(int64_t pair) const { return least(kMaxVectors, p_.vectors - pair * kMaxVectors); }

  template <class T>
  T* scratch(int thread, int slot, int64_t count) {
    return static_cast<T*>(stream_.scratch(thread, slot, static_cast<size_t>(count) * sizeof(T)));
  }

  void shareWeights() {
    constexpr int64_t kTaskBlocks = 4;
    const int64_t parts = ceilDivide(p_.blocks, kTaskBlocks);
    stream_.parallel(p_.pairs * parts, [&](int64_t task, int) {
      const int64_t pair = task / parts, first = task % parts * kTaskBlocks;
      transformWeights<Scheme>(p_, w_, turned_, pair, first, least(p_.blocks, first + kTaskBlocks),
                               shared_ + pair * weightCount_ + first * kChannelBlock * vectorsOf(pair) * Lane::lanes);
    });
  }

  void sharePatches() {
    constexpr int64_t kTaskTiles = 8;
    stream_.parallel(ceilDivide(p_.tiles, kTaskTiles), [&](int64_t task, int thread) {
      const int64_t first = task * kTaskTiles;
      transformPatches<Scheme>(p_, x_, first, least(p_.tiles, first + kTaskTiles), shared_ + first * kChannelBlock,
                               scratch<float>(thread, 2, p_.stripCount));
    });
  }

  /// The outputs of a group of tiles and the pairs [firstPair, lastPair).
  void multiplyGroup(int64_t group, int64_t firstPair, int64_t lastPair, int thread) {
    const int64_t first = group * p_.groupTiles, last = least(p_.tiles, first + p_.groupTiles);
    F* const own = scratch<F>(thread, 0, p_.sharesWeights ? patchCount_ : weightCount_);
    float* const products = scratch<float>(thread, 1, p_.frequencies * p_.productFrequency);
    if (p_.sharesWeights) transformPatches<Scheme>(p_, x_, first, last, own, scratch<float>(thread, 2, p_.stripCount));
    for (int64_t pair = firstPair; pair < lastPair; ++pair) {
      for (int64_t chunk = 0; chunk < p_.chunks; ++chunk) multiplyChunk(group, first, last, pair, chunk, own, products);
      transformOutputs<Scheme>(p_, first, last, pair, products, epilogue_);
    }
  }

  /// products = or += the products of tiles [first, last), a pair and a chunk. `own`: what this task has transformed.
  void multiplyChunk(int64_t group, int64_t first, int64_t last, int64_t pair, int64_t chunk, F* own, float* products) {
    const int64_t firstBlock = chunk * p_.chunkBlocks, blocks = least(p_.chunkBlocks, p_.blocks - firstBlock);
    const int64_t vectors = vectorsOf(pair), width = vectors * Lane::lanes;
    const TileKernels<F>& kernels = kernels_[vectors - 1];
    if (!p_.sharesWeights) transformWeights<Scheme>(p_, w_, turned_, pair, firstBlock, firstBlock + blocks, own);
    const F* const patches = (p_.sharesWeights ? own : shared_ + first * kChannelBlock) + firstBlock * p_.patchBlock;
    const F* const weights =
        p_.sharesWeights ? shared_ + pair * weightCount_ + firstBlock * kChannelBlock * width : own;
    Ahead ahead{reinterpret_cast<const char*>(x_.data), 0};
    if (p_.sharesWeights && pair == 0 && chunk == 0) {
      // A guess at which group this thread takes next; some kernels take fewer tiles and ask more often.
      const int64_t calls = p_.frequencies * ceilDivide(last - first, kernels.largest());
      ahead = patchesAhead(p_, x_, first + stream_.threads() * p_.groupTiles,
                           calls * blocks * kChannelBlock / kAheadInterval);
    }
    const bool lastChunk = chunk == p_.chunks - 1;
    multiplyFrequencies<Scheme>(p_, kernels, group, last - first, blocks, width, patches, weights, products, chunk > 0,
                                ahead, [&](int64_t tile) {
                                  if (lastChunk) prefetchOutputs(p_, first + tile, pair, epilogue_);
                                });
  }

  Stream& stream_;
  WinogradPlan p_;
  const SourceView<S>& x_;
  const WeightView<S>& w_;
  const bool turned_;
  const Epilogue& epilogue_;
  const TileKernels<F> kernels_[kMaxVectors];  // by the number of vectors
  const int64_t patchCount_, weightCount_;
  F* shared_;  // the transformed weights, or patches
};

template <class Scheme, class S, class Epilogue>
static void convolveWinograd(Stream& stream, const WinogradShape& shape, const SourceView<S>& x, const WeightView<S>& w,
                             bool turned, const Epilogue& epilogue) {
  WinogradConvolution<Scheme, S, Epilogue>(stream, shape, x, w, turned, epilogue).run();
}

}  // namespace langevin::LANGEVIN_ISA
