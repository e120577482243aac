// Copies of a tile's input and of a chunk's weights in the order in which the kernel reads them. Each packed input
// vector serves taps · 16 · (vectors of the super-block) FMAs, so these copies cost one or two percent; in return the
// kernel sees no borders, no strides and no tails. bf16 is widened to f32 here.
#pragma once
#include "convolution_plan.h"

namespace langevin::LANGEVIN_ISA {

/// One vector of storage type S, or only its first n lanes (the others 0).
template <class T, class S>
LANGEVIN_INLINE Vec<T> loadLanes(const S* p, int64_t n) {
  if (n >= Vec<T>::lanes) return loadWide(p);
  Vec<T> v = Vec<T>::zero();
  for (int i = 0; i < Vec<T>::lanes && i < n; ++i) v.v[i] = widen(p[i]);
  return v;
}
template <class T, class S>
LANGEVIN_INLINE void storeLanes(Vec<T> v, S* p, int64_t n) {
  if (n >= Vec<T>::lanes) return storeNarrow(v, p);
  for (int i = 0; i < Vec<T>::lanes && i < n; ++i) p[i] = narrow<S>(v.v[i]);
}

template <class T>
LANGEVIN_INLINE void zeroFill(T* p, int64_t n) {
  int64_t i = 0;
  for (; i + Vec<T>::lanes <= n; i += Vec<T>::lanes) Vec<T>::zero().store(p + i);
  for (; i < n; ++i) p[i] = 0;
}

/// y[0, n) = x[i · stride].
template <class T, class S>
LANGEVIN_INLINE void copyChannels(T* y, const S* x, int64_t n, int64_t stride) {
  if (stride == 1 && n == kChannelBlock) {
#pragma GCC unroll 8
    for (int i = 0; i < kChannelBlock; i += Vec<T>::lanes) loadWide(x + i).store(y + i);
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = widen(x[i * stride]);
}

/// The input of a convolution, or the left matrix of a product.
template <class S>
struct SourceView {
  const S* data;
  int64_t image, row, pixel, channel;  // strides
};

/// Packs `rows` input rows of one image from input row firstRow on, for a chunk of channel blocks, to `tile`.
template <class T, class S>
static void packRows(const Plan<T>& plan, const SourceView<S>& x, int64_t image, int64_t firstRow, int64_t rows,
                     int64_t firstBlock, int64_t blocks, T* tile) {
  const Geometry& g = plan.g;
  const bool merged = g.pitch != kChannelBlock;
  const int64_t channels = merged ? g.pitch : g.sourceChannels;
  for (int64_t r = 0; r < rows; ++r) {
    if (!plan.usedRows[r % g.step]) continue;
    const int64_t row = firstRow + r;
    const bool inside = row >= 0 && row < g.sourceHeight;
    const S* source = x.data + image * x.image + (inside ? row : 0) * x.row;
    for (int64_t residue = 0; residue < g.step; ++residue) {
      if (!plan.usedColumns[residue]) continue;
      T* target = tile + r * plan.rowPitch + residue * plan.columnsPerResidue * g.pitch;
      // Packed columns [begin, end) are inside the image.
      const int64_t first = plan.minColumn + residue;
      int64_t begin = first >= 0 ? 0 : ceilDivide(-first, g.step);
      int64_t end = first >= g.sourceWidth ? 0 : ceilDivide(g.sourceWidth - first, g.step);
      begin = inside ? least(begin, plan.columnsPerResidue) : plan.columnsPerResidue;
      end = most(begin, least(end, plan.columnsPerResidue));
      for (int64_t b = 0; b < blocks; ++b) {
        T* y = target + b * plan.blockPitch;
        const int64_t channel = (firstBlock + b) * kChannelBlock;
        const int64_t count = merged ? channels : least(kChannelBlock, channels - channel);
        zeroFill(y, begin * g.pitch);
        const S* s = source + (first + begin * g.step) * x.pixel + channel * x.channel;
        if (count == kChannelBlock && x.channel == 1) {
          for (int64_t j = begin; j < end; ++j, s += g.step * x.pixel) {
            copyChannels(y + j * kChannelBlock, s, kChannelBlock, 1);
          }
        } else {
          const int64_t zeros = merged ? count : plan.tailDepth;
          for (int64_t j = begin; j < end; ++j, s += g.step * x.pixel) {
            copyChannels(y + j * g.pitch, s, count, x.channel);
            for (int64_t c = count; c < zeros; ++c) y[j * g.pitch + c] = 0;
          }
        }
        zeroFill(y + end * g.pitch, (plan.columnsPerResidue - end) * g.pitch);
      }
    }
  }
}

/// The weights of a convolution, [tap][input channel][output channel] through strides, or the right matrix.
template <class S>
struct WeightView {
  const S* data;
  int64_t tap, input, output;  // strides
};

/// rows[i][j] ↔ rows[j][i] of a square of lanes × lanes: log₂(lanes) rounds, each exchanging the off-diagonal blocks of
/// half the size.
template <class T, int half>
LANGEVIN_INLINE void transposeRound(Vec<T>* rows) {
  constexpr int L = Vec<T>::lanes;
  using Index = decltype(Vec<T>::zero().v > Vec<T>::zero().v);  // integer lanes of the same width
  Index low, high;
#pragma GCC unroll 16
  for (int j = 0; j < L; ++j) {
    low[j] = (j & half) ? j - half + L : j;
    high[j] = (j & half) ? j + L : j + half;
  }
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if (i & half) continue;
    const auto a = rows[i].v, b = rows[i + half].v;
#if defined(__clang__)
    for (int j = 0; j < L; ++j) {
      rows[i].v[j] = low[j] < L ? a[low[j]] : b[low[j] - L];
      rows[i + half].v[j] = high[j] < L ? a[high[j]] : b[high[j] - L];
    }
#else
    rows[i].v = __builtin_shuffle(a, b, low);
    rows[i + half].v = __builtin_shuffle(a, b, high);
#endif
  }
  if constexpr (half > 1) transposeRound<T, half / 2>(rows);
}
template <class T>
LANGEVIN_INLINE void transpose(Vec<T>* rows) {
  transposeRound<T, Vec<T>::lanes / 2>(rows);
}

/// y[c][n] for c < depth, n < width (a multiple of lanes): the weights of one tap from input channel `input` and output
/// channel `output` on, 0 where c >= inputs or n >= outputs.
template <class T, class S>
static void packMatrix(const WeightView<S>& w, int64_t tap, int64_t input, int64_t inputs, int64_t depth,
                       int64_t output, int64_t outputs, int64_t width, T* y) {
  constexpr int L = Vec<T>::lanes;
  const S* source = w.data + tap * w.tap + input * w.input + output * w.output;
  if (w.output == 1) {
    for (int64_t c = 0; c < depth; ++c) {
      for (int64_t n = 0; n < width; n += L) {
        const int64_t count = c < inputs ? most(0, outputs - n) : 0;
        loadLanes<T>(source + c * w.input + n, count).store(y + c * width + n);
      }
    }
    return;
  }
  for (int64_t n = 0; n < width; n += L) {
    int64_t c = 0;
    for (; w.input == 1 && n + L <= outputs && c + L <= inputs; c += L) {
      Vec<T> rows[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) {
        rows[i] = loadWide(source + (n + i) * w.output + c);
        __builtin_prefetch(source + (n + 2 * L + i) * w.output + c);  // rows lie too far apart for the hardware
      }
      transpose<T>(rows);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) rows[i].store(y + (c + i) * width + n);
    }
    for (; c < depth; ++c) {
      for (int64_t i = n; i < n + L; ++i) {
        y[c * width + i] = c < inputs && i < outputs ? widen(source[c * w.input + i * w.output]) : T(0);
      }
    }
  }
}

/// All weights of a super-block's chunk: [vectors by twos][phase][full block][tap][16][vectors], then the partial
/// block.
template <class T, class S>
static void packWeights(const Plan<T>& plan, const WeightView<S>& w, int64_t superBlock, int64_t chunk, T* panel) {
  const Geometry& g = plan.g;
  constexpr int64_t L = Plan<T>::lanes;
  const bool merged = g.pitch != kChannelBlock;
  const int64_t depth = merged ? g.sourceChannels : kChannelBlock;
  const int64_t firstBlock = chunk * plan.chunkBlocks, blocks = least(plan.chunkBlocks, plan.blocks - firstBlock);
  const int64_t firstVector = superBlock * plan.vectors;
  const int64_t vectors = least(plan.vectors, ceilDivide(g.outChannels, L) - firstVector);
  for (int64_t v = 0; v < vectors; v += kMaxVectors) {
    const int64_t width = least(kMaxVectors, vectors - v) * L;
    const int64_t output = (firstVector + v) * L, outputs = g.outChannels - output;
    for (int64_t i = 0; i < g.phaseCount; ++i) {
      const Phase& p = g.phases[i];
      T* y = panel + plan.blockWeights * v * L + p.firstTap * plan.chunkBlocks * depth * width;
      for (int64_t b = firstBlock; b < firstBlock + blocks; ++b) {
        const int64_t inputs = least(depth, g.sourceChannels - b * depth);
        const int64_t packed = inputs == depth ? depth : plan.tailDepth;
        for (int64_t t = p.firstTap; t < p.firstTap + p.taps; ++t, y += packed * width) {
          packMatrix(w, g.taps[t].weight, b * depth, inputs, packed, output, outputs, width, y);
        }
      }
    }
  }
}

}  // namespace langevin::LANGEVIN_ISA
