// How a convolution by one of Winograd's schemes is cut into pieces.
//
//   tile     4×4 or 2×2 output pixels and the patch of input pixels that they need, transformed to 36 or 25 frequencies
//   group    tiles of one task, whose products [frequency][tile][2 vectors] stay in L2
//   pair     two vectors of output channels
//
// Where tiles at the bottom or right end of an image reach beyond it, not all of their frequencies are needed: in a
// group those at the bottom come first, then whole ones, then those on the right and in the corner, so that what a
// frequency needs is one range. 7×7 outputs of stride 2 take 18² products instead of 20², 14×14 of stride 1 23² instead
// of 24².
//
// For each frequency, the products of a group and a pair are a product of matrices, [tiles × source channels] × [source
// channels × pair]. Of its two factors, the smaller (all the net's weights, or all the batch's patches) is transformed
// once, into memory that the tasks share; the larger is transformed by each task for itself, so that it never leaves
// L2:
//
//   weights shared   a task is a group: it transforms its patches, then goes through the pairs. Layers of few channels
//   patches shared   a task is a pair and a group: it transforms its weights, a chunk of source channels at a time.
//                    Layers of many channels and few pixels: 640 → 640 at 8×8 has 15 MB of weights and would have 59 MB
//                    of them transformed, against 3 MB of patches for 8 images
//
// All of it depends on the shape alone, never on the number of threads.
#pragma once
#include "convolution_pack.h"
#include "convolution_winograd_transform.h"

namespace langevin::LANGEVIN_ISA {

/// A convolution of stride 1 or 2 of 3×3 taps with padding 1, or its input gradient, whose source is the output's
/// gradient.
struct WinogradShape {
  int64_t batch;
  int64_t sourceHeight, sourceWidth, sourceChannels;
  int64_t outHeight, outWidth, outChannels;
};

struct WinogradPlan : WinogradShape {
  int frequencies, tile, step;
  int64_t tileRows, tileColumns, tiles;
  int64_t blocks;          // of kChannelBlock source channels
  int64_t vectors, pairs;  // of output channels
  bool sharesWeights;      // else the patches
  int64_t groupTiles, groups;
  int64_t chunkBlocks, chunks;  // blocks of source channels that are summed at once

  // Transformed patches lie as [frequency][block][tile][16], weights as [frequency][block][16][pair] (bf16:
  // [frequency][block][8][pair][2]), products as [frequency][tile][pair], these distances apart.
  int64_t patchBlock, patchFrequency, weightFrequency, productFrequency;
  int64_t stripCount;  // floats of the columns of a row of patches
  int64_t* offsets;    // [block of a chunk], for the kernel

  struct Kinds {
    int64_t bottom, whole, right;  // how many there are
  };
  bool clipped;    // whether some tiles reach beyond the image; then only:
  int64_t* order;  // [position]: which tile lies there; else nullptr, and tiles lie in order
  Kinds* kinds;    // [group]
};

/// Which tile this is, and how many of its outputs there are.
struct TilePlace {
  int64_t image, tileRow, tileColumn;
  int64_t pixel, rows, columns;  // the first output among all
};
LANGEVIN_INLINE TilePlace placeOf(const WinogradPlan& p, int64_t t) {
  const int64_t perImage = p.tileRows * p.tileColumns, image = t / perImage, inImage = t % perImage;
  const int64_t tileRow = inImage / p.tileColumns, tileColumn = inImage % p.tileColumns;
  const int64_t row = tileRow * p.tile, column = tileColumn * p.tile;
  return {image,
          tileRow,
          tileColumn,
          (image * p.outHeight + row) * p.outWidth + column,
          least(p.tile, p.outHeight - row),
          least(p.tile, p.outWidth - column)};
}

LANGEVIN_INLINE int64_t tileAt(const WinogradPlan& p, int64_t position) {
  return p.order ? p.order[position] : position;
}

/// Fills p.order and p.kinds.
static void orderTiles(const WinogradPlan& p) {
  const bool rowsClipped = p.outHeight % p.tile != 0, columnsClipped = p.outWidth % p.tile != 0;
  const auto kindOf = [&](int64_t t) {
    const bool right = columnsClipped && t % p.tileColumns == p.tileColumns - 1;
    const bool bottom = rowsClipped && t / p.tileColumns % p.tileRows == p.tileRows - 1;
    return bottom ? (right ? 3 : 0) : (right ? 2 : 1);
  };
  for (int64_t group = 0; group < p.groups; ++group) {
    const int64_t first = group * p.groupTiles, last = least(p.tiles, first + p.groupTiles);
    int64_t counts[4] = {0, 0, 0, 0};
    for (int64_t t = first; t < last; ++t) ++counts[kindOf(t)];
    p.kinds[group] = {counts[0], counts[1], counts[2]};
    int64_t next[4] = {first, first + counts[0], first + counts[0] + counts[1], last - counts[3]};
    for (int64_t t = first; t < last; ++t) p.order[next[kindOf(t)]++] = t;
  }
}

/// The tiles of a group that need a frequency.
struct TileRange {
  int64_t begin, end;
};
template <class Scheme>
LANGEVIN_INLINE TileRange tilesThatNeed(const WinogradPlan& p, int64_t group, int64_t tiles, int64_t frequency) {
  if (!p.order) return {0, tiles};
  const WinogradPlan::Kinds& kinds = p.kinds[group];
  const bool bottom = Scheme::needs(frequency / Scheme::points, p.outHeight - (p.tileRows - 1) * Scheme::tile);
  const bool right = Scheme::needs(frequency % Scheme::points, p.outWidth - (p.tileColumns - 1) * Scheme::tile);
  const int64_t whole = kinds.bottom + kinds.whole;
  return {bottom ? 0 : kinds.bottom, !right ? whole : bottom ? tiles : whole + kinds.right};
}

/// Points that the tiles along an axis of so many outputs need, together.
template <class Scheme>
static int64_t pointsAlong(int64_t outputs) {
  const int64_t tiles = ceilDivide(outputs, Scheme::tile);
  int64_t points = (tiles - 1) * Scheme::points;
  for (int i = 0; i < Scheme::points; ++i) points += Scheme::needs(i, outputs - (tiles - 1) * Scheme::tile);
  return points;
}

/// Kernels by the number of tiles that they multiply, the largest first. The last may compute a few tiles too many.
template <class F>
struct TileKernels {
  MultiplyKernel<F> kernels[4];
  int count;
  LANGEVIN_INLINE int64_t largest() const { return kernels[0].segment * kernels[0].segments; }
  LANGEVIN_INLINE const MultiplyKernel<F>& of(int64_t tiles) const {
    int i = 0;
    while (i < count - 1 && kernels[i].segment * kernels[i].segments > tiles) ++i;
    return kernels[i];
  }
};

template <class F, int S, int R, int Q>
constexpr MultiplyKernel<F> tileKernel() {
  return {S, R, multiply<F, S, R, Q, kChannelBlock>};
}

template <class F>
static TileKernels<F> tileKernels(int vectors) {
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers
  if (vectors == 2) return {{tileKernel<F, 4, 3, 2>(), tileKernel<F, 4, 2, 2>(), tileKernel<F, 4, 1, 2>()}, 3};
  return {{tileKernel<F, 7, 4, 1>(), tileKernel<F, 8, 2, 1>(), tileKernel<F, 8, 1, 1>(), tileKernel<F, 4, 1, 1>()}, 4};
#else  // 16 registers
  if (vectors == 2) return {{tileKernel<F, 2, 3, 2>(), tileKernel<F, 2, 2, 2>(), tileKernel<F, 2, 1, 2>()}, 3};
  return {{tileKernel<F, 4, 3, 1>(), tileKernel<F, 4, 2, 1>(), tileKernel<F, 4, 1, 1>()}, 3};
#endif
}

/// At least `count` elements, an odd number of cache lines: frequencies a power of two apart would share a few sets of
/// the caches.
template <class F>
LANGEVIN_INLINE int64_t oddLines(int64_t count) {
  constexpr int64_t line = 64 / sizeof(F);
  return (ceilDivide(count, line) | 1) * line;
}

/// Bytes of L2 (1 MiB) for a task's transformed patches.
constexpr int64_t kPatchBytes = 576 << 10;
/// … and for shared patches where they are not the smaller: L3 has 32 MiB, but the scratch memory is kept (24 MiB here
/// were no faster for WRN-28-10).
constexpr int64_t kSharedBytes = 12 << 20;
/// Of 80 channels (bf16: 160) the weights of a pair, transformed, are 360 KiB at 16 lanes. The same in all layers, as
/// sums over more channels are made in parts of this length, and the result must not depend on the batch.
template <class F>
constexpr int64_t kMostChunkBlocks = 5 * sizeof(float) / sizeof(F);
/// Tiles of a group, multiples of what the largest kernel takes. Where weights are shared, few, for the sake of L1 and
/// L2; else as many as have their products in L2. Clipped: two images of 16 tiles have 32, 24, 24 and 18 to multiply.
constexpr int64_t kGroupUnit = 12, kGroupTiles = 24, kNarrowGroupTiles = 28, kClippedGroupTiles = 32;
constexpr int64_t kMostGroupTiles = 132;

template <class Scheme, class F>
static WinogradPlan planWinograd(const WinogradShape& shape) {
  constexpr int64_t L = Lane::lanes, size = sizeof(F);
  WinogradPlan p;
  static_cast<WinogradShape&>(p) = shape;
  p.frequencies = Scheme::points * Scheme::points, p.tile = Scheme::tile, p.step = Scheme::step;
  p.tileRows = ceilDivide(p.outHeight, p.tile), p.tileColumns = ceilDivide(p.outWidth, p.tile);
  p.tiles = p.batch * p.tileRows * p.tileColumns;
  p.clipped = p.outHeight % p.tile != 0 || p.outWidth % p.tile != 0;
  p.order = nullptr, p.kinds = nullptr;
  p.blocks = ceilDivide(p.sourceChannels, kChannelBlock);
  p.vectors = ceilDivide(p.outChannels, L);
  p.pairs = ceilDivide(p.vectors, kMaxVectors);
  const int64_t fitting = kPatchBytes / (p.frequencies * p.blocks * kChannelBlock * size);
  const int64_t patchBytes = p.frequencies * p.tiles * p.blocks * kChannelBlock * size;
  // Where few patches fit, each task would read all weights for their sake: then patches, as long as L3 holds them.
  p.sharesWeights = p.vectors * L <= p.tiles && (fitting >= kGroupTiles || patchBytes > kSharedBytes);
  int64_t limit = kMostGroupTiles;
  if (p.sharesWeights) {
    limit = p.vectors == 1 ? kNarrowGroupTiles : p.clipped ? kClippedGroupTiles : kGroupTiles;
    if (limit > fitting) limit = fitting >= kGroupTiles ? kGroupTiles : kGroupUnit;
  }
  p.groups = ceilDivide(p.tiles, limit);
  p.groupTiles = least(limit, ceilDivide(ceilDivide(p.tiles, p.groups), 4) * 4);
  p.groups = ceilDivide(p.tiles, p.groupTiles);

  p.chunks = ceilDivide(p.blocks, kMostChunkBlocks<F>);
  p.chunkBlocks = ceilDivide(p.blocks, p.chunks);
  p.chunks = ceilDivide(p.blocks, p.chunkBlocks);

  // The last kernel call of a group may read and write up to three tiles past its own.
  p.patchBlock = oddLines<F>(((p.sharesWeights ? p.groupTiles : p.tiles) + 3) * kChannelBlock);
  p.patchFrequency = oddLines<F>(p.patchBlock * p.blocks);
  p.weightFrequency = oddLines<F>((p.sharesWeights ? p.blocks : p.chunkBlocks) * kChannelBlock * kMaxVectors * L);
  p.productFrequency = oddLines<float>((p.groupTiles + 3) * least(p.vectors, kMaxVectors) * L);
  p.stripCount = Scheme::points * ((p.tileColumns - 1) * Scheme::step + Scheme::patch) * L;
  return p;
}

/// Whether Winograd's way is less work than the direct one, of `taps` multiply-adds an output. In multiply-adds of
/// vectors, a transformed patch costs about four a frequency and vector of channels, a tile of outputs as much. The
/// batch does not count: an image's result must not depend on how many others there are. Weights of more than 256 MiB,
/// transformed, are left to the direct kernels: the scratch memory is kept.
template <class Scheme, class F>
static bool worthWinograd(const WinogradShape& s, double taps) {
  constexpr double kFrequencies = Scheme::points * Scheme::points, kTransform = 4, kWorth = 0.9;
  constexpr double kMostWeightBytes = 256 << 20;
  const double tiles =
      static_cast<double>(ceilDivide(s.outHeight, Scheme::tile) * ceilDivide(s.outWidth, Scheme::tile));
  const double blocks = static_cast<double>(ceilDivide(s.sourceChannels, kChannelBlock));
  const double vectors = static_cast<double>(ceilDivide(s.outChannels, kChannelBlock));
  const double needed = static_cast<double>(pointsAlong<Scheme>(s.outHeight) * pointsAlong<Scheme>(s.outWidth));
  const double products = needed * blocks * kChannelBlock * vectors / Factors<F>::channels;
  const double winograd = products + tiles * kFrequencies * kTransform * (blocks + vectors);
  if (kFrequencies * blocks * vectors * kChannelBlock * kChannelBlock * sizeof(float) > kMostWeightBytes) return false;
  const double outputs = static_cast<double>(s.outHeight * s.outWidth);
  return winograd < kWorth * taps * outputs * static_cast<double>(s.sourceChannels) * vectors;
}

}  // namespace langevin::LANGEVIN_ISA
