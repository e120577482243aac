// The weight gradient: dweight[tap][c][n] = Σ over output pixels of x[pixel + tap][c] · dy[pixel][n], and dbias[n] = Σ
// dy.
//
// A matrix product whose inner dimension is the pixels: a block of P input channels × Q vectors of output channels
// stays in registers while the pixels of one tile pass by, as P broadcasts and Q loads for P·Q FMAs; then the sums go
// back to an accumulator that lives in L2. Wide layers run in parallel over blocks of the weight; narrow ones, whose
// weight is one block, over a fixed number of image groups, whose partial sums are then added in order.
#pragma once
#include "convolution_engine.h"

namespace langevin::LANGEVIN_ISA {

/// sums[P][width] += Σ over rows × columns: x[row][column · pitch + p] · dy[row][column · width + n], width = Q ·
/// lanes.
template <class T, int P, int Q, int pitch = kChannelBlock>
static void addOuterProducts(const T* x, int64_t xRow, const T* dy, int64_t rows, int64_t columns, T* sums) {
  using V = Vec<T>;
  constexpr int width = Q * V::lanes;
  V sum[P][Q];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) sum[p][q] = V::load(sums + p * width + q * V::lanes);
  }
  for (int64_t row = 0; row < rows; ++row) {
    const T* a = x + row * xRow;
    for (int64_t column = 0; column < columns; ++column, a += pitch, dy += width) {
      V b[Q];
#pragma GCC unroll 4
      for (int q = 0; q < Q; ++q) b[q] = V::load(dy + q * V::lanes);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const V s = V::broadcast(a[p]);
#pragma GCC unroll 4
        for (int q = 0; q < Q; ++q) sum[p][q] = fma(s, b[q], sum[p][q]);
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) sum[p][q].store(sums + p * width + q * V::lanes);
  }
}

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kOuterWide = 8, kOuterNarrow = 16;
#else
constexpr int kOuterWide = 4, kOuterNarrow = 8;
#endif

/// One tap, one block of input channels, one column of q vectors. With a pitch of 1 or 3, where a tap is a row of three
/// pixels, the 3 or 9 values of that row.
template <class T>
LANGEVIN_INLINE void addOuterBlock(int q, int64_t channels, int64_t pitch, const T* x, int64_t xRow, const T* dy,
                                   int64_t rows, int64_t columns, T* sums) {
  constexpr int L = Vec<T>::lanes;
  if (pitch == 1) {
    return q == 2 ? addOuterProducts<T, 3, 2, 1>(x, xRow, dy, rows, columns, sums)
                  : addOuterProducts<T, 3, 1, 1>(x, xRow, dy, rows, columns, sums);
  }
  if (pitch == 3) {
    return q == 2 ? addOuterProducts<T, 9, 2, 3>(x, xRow, dy, rows, columns, sums)
                  : addOuterProducts<T, 9, 1, 3>(x, xRow, dy, rows, columns, sums);
  }
  if (q == 2) {
    for (int64_t c = 0; c < channels; c += kOuterWide) {
      addOuterProducts<T, kOuterWide, 2>(x + c, xRow, dy, rows, columns, sums + c * 2 * L);
    }
  } else {
    for (int64_t c = 0; c < channels; c += kOuterNarrow) {
      addOuterProducts<T, kOuterNarrow, 1>(x + c, xRow, dy, rows, columns, sums + c * L);
    }
  }
}

/// How the work is split: `pieces` blocks of the weight × `groups` of tiles.
struct WeightSplit {
  int64_t pieces, groups, pieceSize;
};

template <class T>
static WeightSplit splitWeight(const Plan<T>& plan) {
  WeightSplit split;
  split.pieces = plan.superBlocks * plan.chunks;
  split.groups = split.pieces >= 8 ? 1 : least(plan.tiles, ceilDivide(16, split.pieces));
  split.pieceSize = plan.blockWeights * plan.vectors * Plan<T>::lanes;
  return split;
}

/// Adds the tiles of a group to `sums`, [vectors by twos][block][tap][16][vectors].
template <class T, class S>
static void addTiles(Stream& stream, int thread, const Plan<T>& plan, const SourceView<S>& x, const S* dy,
                     int64_t piece, int64_t firstTile, int64_t lastTile, T* sums) {
  const Geometry& g = plan.g;
  constexpr int64_t L = Plan<T>::lanes;
  const int64_t firstVector = piece / plan.chunks * plan.vectors, firstBlock = piece % plan.chunks * plan.chunkBlocks;
  const int64_t vectors = least(plan.vectors, ceilDivide(g.outChannels, L) - firstVector);
  const int64_t blocks = least(plan.chunkBlocks, plan.blocks - firstBlock);
  const int64_t imagePixels = plan.bandRows * g.outWidth;
  const int64_t depth = g.pitch == kChannelBlock ? kChannelBlock : g.sourceChannels;
  T* tile = static_cast<T*>(stream.scratch(thread, 1, sizeof(T) * plan.chunkBlocks * plan.blockPitch + 64));
  T* packedDy = static_cast<T*>(stream.scratch(thread, 2, sizeof(T) * imagePixels * plan.vectors * L));
  for (int64_t t = firstTile; t < lastTile; ++t) {
    const int64_t image = t / plan.bands * plan.tileImages, firstRow = t % plan.bands * plan.bandRows;
    const int64_t outRows = least(plan.bandRows, g.outHeight - firstRow);
    for (int64_t i = image; i < least(g.batch, image + plan.tileImages); ++i) {
      packRows(plan, x, i, firstRow * g.step + plan.minRow, (outRows - 1) * g.step + plan.rowSpan, firstBlock, blocks,
               tile);
      const int64_t pixels = outRows * g.outWidth;
      for (int64_t v = 0; v < vectors; v += kMaxVectors) {
        const int64_t q = least(kMaxVectors, vectors - v), channel = (firstVector + v) * L;
        T* y = packedDy + v * L * pixels;
        const S* source = dy + ((i * g.outHeight + firstRow) * g.outWidth) * g.outChannels + channel;
        for (int64_t p = 0; p < pixels; ++p, source += g.outChannels) {
          for (int64_t k = 0; k < q * L; k += L, y += L) {
            loadLanes<T>(source + k, most(0, g.outChannels - channel - k)).store(y);
          }
        }
      }
      for (int64_t v = 0; v < vectors; v += kMaxVectors) {
        const int q = static_cast<int>(least(kMaxVectors, vectors - v));
        T* target = sums + plan.blockWeights * v * L;
        for (int64_t b = 0; b < blocks; ++b) {
          const int64_t channels = least(kChannelBlock, g.sourceChannels - (firstBlock + b) * kChannelBlock);
          for (int64_t k = 0; k < g.tapCount; ++k, target += depth * q * L) {
            addOuterBlock(q, channels, g.pitch, tile + plan.offsets[b * g.tapCount + k], plan.rowPitch * g.step,
                          packedDy + v * L * pixels, outRows, g.outWidth, target);
          }
        }
      }
    }
  }
}

/// dweight of one tap of a piece = the sum of the groups' partial sums, in order.
template <class T, class S>
static void writeWeightTap(const Plan<T>& plan, const WeightSplit& split, int64_t piece, int64_t tap, const T* partial,
                           S* dweight) {
  const Geometry& g = plan.g;
  constexpr int64_t L = Plan<T>::lanes;
  const int64_t firstVector = piece / plan.chunks * plan.vectors, firstBlock = piece % plan.chunks * plan.chunkBlocks;
  const int64_t vectors = least(plan.vectors, ceilDivide(g.outChannels, L) - firstVector);
  const int64_t blocks = least(plan.chunkBlocks, plan.blocks - firstBlock);
  const int64_t groupStride = split.pieces * split.pieceSize;
  for (int64_t v = 0; v < vectors; v += kMaxVectors) {
    const int64_t q = least(kMaxVectors, vectors - v), channel = (firstVector + v) * L;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t input = (firstBlock + b) * kChannelBlock;
      const int64_t depth = g.pitch == kChannelBlock ? kChannelBlock : g.sourceChannels;
      const T* s = partial + plan.blockWeights * v * L + (b * g.tapCount + tap) * depth * q * L;
      for (int64_t c = 0; c < least(kChannelBlock, g.sourceChannels - input); ++c) {
        S* target = dweight + (tap * g.sourceChannels + input + c) * g.outChannels + channel;
        for (int64_t k = 0; k < q * L; k += L) {
          Vec<T> sum = Vec<T>::load(s + c * q * L + k);
          for (int64_t i = 1; i < split.groups; ++i) sum = sum + Vec<T>::load(s + c * q * L + k + i * groupStride);
          if (g.outChannels > channel + k) storeLanes(sum, target + k, g.outChannels - channel - k);
        }
      }
    }
  }
}

/// `partial` holds groups × pieces × pieceSize values where groups > 1.
template <class T, class S>
static void convolveWeight(Stream& stream, const Plan<T>& plan, const WeightSplit& split, const SourceView<S>& x,
                           const S* dy, T* partial, S* dweight) {
  stream.parallel(split.pieces * split.groups, [&](int64_t block, int thread) {
    const int64_t piece = block % split.pieces, group = block / split.pieces;
    T* sums = split.groups > 1 ? partial + block * split.pieceSize
                               : static_cast<T*>(stream.scratch(thread, 0, sizeof(T) * split.pieceSize));
    zeroFill(sums, split.pieceSize);
    addTiles(stream, thread, plan, x, dy, piece, plan.tiles * group / split.groups,
             plan.tiles * (group + 1) / split.groups, sums);
    if (split.groups > 1) return;
    for (int64_t tap = 0; tap < plan.g.tapCount; ++tap) writeWeightTap(plan, split, piece, tap, sums, dweight);
  });
  if (split.groups == 1) return;
  stream.parallel(split.pieces * plan.g.tapCount, [&](int64_t block, int) {
    const int64_t piece = block / plan.g.tapCount;
    writeWeightTap(plan, split, piece, block % plan.g.tapCount, partial + piece * split.pieceSize, dweight);
  });
}

/// dbias: sums over at most kBiasGroups ranges of pixels, added in order. `partial`: kBiasGroups × channels.
constexpr int64_t kBiasGroups = 32;
template <class T, class S>
static void sumBias(Stream& stream, const S* dy, int64_t pixels, int64_t channels, T* partial, S* dbias) {
  constexpr int L = Vec<T>::lanes;
  const int64_t groups = most(1, least(kBiasGroups, pixels / 64));
  stream.parallel(groups, [&](int64_t group, int) {
    const int64_t begin = pixels * group / groups, end = pixels * (group + 1) / groups;
    for (int64_t n = 0; n < channels; n += L) {
      Vec<T> sum = Vec<T>::zero();
      for (int64_t p = begin; p < end; ++p) sum = sum + loadLanes<T>(dy + p * channels + n, channels - n);
      storeLanes(sum, partial + group * channels + n, channels - n);
    }
  });
  for (int64_t n = 0; n < channels; ++n) {
    T sum = 0;
    for (int64_t group = 0; group < groups; ++group) sum += partial[group * channels + n];
    dbias[n] = narrow<S>(sum);
  }
}

}  // namespace langevin::LANGEVIN_ISA
