// How a convolution by Winograd's F(4×4, 3×3) is cut into pieces.
//
//   tile     4×4 output pixels and the patch of 6×6 input pixels that they need, transformed to 36 frequencies
//   group    tiles of one task, whose products [36][tiles][2 vectors] stay in L2
//   pair     two vectors of output channels
//
// For each frequency the products of a group and a pair are a product of matrices, [tiles × source channels] × [source
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

struct WinogradPlan {
  int64_t batch, height, width;
  int64_t sourceChannels, outChannels;
  int64_t tileRows, tileColumns, tiles;
  int64_t blocks;          // of kChannelBlock source channels
  int64_t vectors, pairs;  // of output channels
  bool sharesWeights;      // else the patches
  int64_t groupTiles, groups;
  int64_t chunkBlocks, chunks;  // blocks of source channels that are summed at once

  // Transformed patches lie as [frequency][block][tile][16], weights as [frequency][block][16][pair], products as
  // [frequency][tile][pair], these distances apart.
  int64_t patchBlock, patchFrequency, weightFrequency, productFrequency;
  int64_t stripCount;  // floats of the columns of a row of patches
  int64_t* offsets;    // [block of a chunk], for the kernel
};

/// Where a tile's outputs lie.
struct TilePlace {
  int64_t image, row, column, rows, columns;
};
LANGEVIN_INLINE TilePlace placeOf(const WinogradPlan& p, int64_t tile) {
  const int64_t perImage = p.tileRows * p.tileColumns, inImage = tile % perImage;
  const int64_t row = inImage / p.tileColumns * kWinogradTile, column = inImage % p.tileColumns * kWinogradTile;
  return {tile / perImage, row, column, least(kWinogradTile, p.height - row), least(kWinogradTile, p.width - column)};
}

/// Kernels by the number of tiles that they multiply, the largest first. The last may compute a few tiles too many.
struct TileKernels {
  MultiplyKernel<float> kernels[4];
  int count;
  LANGEVIN_INLINE const MultiplyKernel<float>& of(int64_t tiles) const {
    int i = 0;
    while (i < count - 1 && kernels[i].segment * kernels[i].segments > tiles) ++i;
    return kernels[i];
  }
};

template <int S, int R, int Q>
constexpr MultiplyKernel<float> tileKernel() {
  return {S, R, multiply<float, S, R, Q, kChannelBlock>};
}

static TileKernels tileKernels(int vectors) {
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers
  if (vectors == 2) return {{tileKernel<4, 3, 2>(), tileKernel<4, 2, 2>(), tileKernel<4, 1, 2>()}, 3};
  return {{tileKernel<7, 4, 1>(), tileKernel<8, 2, 1>(), tileKernel<8, 1, 1>(), tileKernel<4, 1, 1>()}, 4};
#else  // 16 registers
  if (vectors == 2) return {{tileKernel<2, 3, 2>(), tileKernel<2, 2, 2>(), tileKernel<2, 1, 2>()}, 3};
  return {{tileKernel<4, 3, 1>(), tileKernel<4, 2, 1>(), tileKernel<4, 1, 1>()}, 3};
#endif
}

/// At least `count` floats, an odd number of cache lines: 36 frequencies a power of two apart would share a few sets of
/// the caches.
LANGEVIN_INLINE int64_t oddLines(int64_t count) { return (ceilDivide(count, 16) | 1) * 16; }

/// Bytes of L2 (1 MiB) for a task's transformed patches.
constexpr int64_t kPatchBytes = 576 << 10;
/// Of 80 channels the weights of a pair, transformed, are 360 KiB at 16 lanes. The same in all layers, as sums over
/// more channels are made in parts of this length, and the result must not depend on the batch.
constexpr int64_t kMostChunkBlocks = 5;
/// Tiles of a group: a multiple of what the largest kernel takes, at most as many as have their products in L2.
constexpr int64_t kGroupUnit = 12, kNarrowGroupUnit = 8, kMostGroupTiles = 132;

static WinogradPlan planWinograd(int64_t batch, int64_t height, int64_t width, int64_t sourceChannels,
                                 int64_t outChannels) {
  constexpr int64_t L = Lane::lanes, size = sizeof(float);
  WinogradPlan p;
  p.batch = batch, p.height = height, p.width = width;
  p.sourceChannels = sourceChannels, p.outChannels = outChannels;
  p.tileRows = ceilDivide(height, kWinogradTile), p.tileColumns = ceilDivide(width, kWinogradTile);
  p.tiles = batch * p.tileRows * p.tileColumns;
  p.blocks = ceilDivide(sourceChannels, kChannelBlock);
  p.vectors = ceilDivide(outChannels, L);
  p.pairs = ceilDivide(p.vectors, kMaxVectors);
  p.sharesWeights = p.vectors * L <= p.tiles;

  const int64_t unit = p.vectors == 1 ? kNarrowGroupUnit : kGroupUnit;
  const int64_t fitting = kPatchBytes / (kFrequencies * p.blocks * kChannelBlock * size);
  const int64_t limit = p.sharesWeights ? most(unit, least(1 * unit, fitting / unit * unit)) : kMostGroupTiles;
  p.groups = ceilDivide(p.tiles, limit);
  p.groupTiles = least(limit, ceilDivide(ceilDivide(p.tiles, p.groups), 4) * 4);
  p.groups = ceilDivide(p.tiles, p.groupTiles);

  p.chunks = ceilDivide(p.blocks, kMostChunkBlocks);
  p.chunkBlocks = ceilDivide(p.blocks, p.chunks);
  p.chunks = ceilDivide(p.blocks, p.chunkBlocks);

  // The last kernel call of a group may read and write up to three tiles past its own.
  p.patchBlock = oddLines(((p.sharesWeights ? p.groupTiles : p.tiles) + 3) * kChannelBlock);
  p.patchFrequency = oddLines(p.patchBlock * p.blocks);
  p.weightFrequency = oddLines((p.sharesWeights ? p.blocks : p.chunkBlocks) * kChannelBlock * kMaxVectors * L);
  p.productFrequency = oddLines((p.groupTiles + 3) * least(p.vectors, kMaxVectors) * L);
  p.stripCount = kWinogradPatch * (p.tileColumns * kWinogradTile + 2) * L;
  return p;
}

/// Whether Winograd's way is less work than the direct one. In multiply-adds of vectors, a transformed patch costs
/// about 150 a vector of channels and a tile of outputs as much. The batch does not count: an image's result must not
/// depend on how many others there are.
static bool worthWinograd(int64_t height, int64_t width, int64_t sourceChannels, int64_t outChannels) {
  constexpr double kTransform = 150, kWorth = 0.75;
  const double tiles = static_cast<double>(ceilDivide(height, kWinogradTile) * ceilDivide(width, kWinogradTile));
  const double depth = static_cast<double>(ceilDivide(sourceChannels, kChannelBlock) * kChannelBlock);
  const double vectors = static_cast<double>(ceilDivide(outChannels, kChannelBlock));
  const double winograd = tiles * (kFrequencies * depth * vectors + kTransform * (depth / kChannelBlock + vectors));
  return winograd < kWorth * 9 * static_cast<double>(height * width * sourceChannels) * vectors;
}

}  // namespace langevin::LANGEVIN_ISA
