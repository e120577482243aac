// Tiles of the operands of convolution_simt.cu: eight inner indices at a time, from memory to registers (load) and from
// there to shared memory as [inner][row] or [inner][column] (store). A thread moves quads.
#pragma once
#include "convolution_epilogue.h"

namespace langevin::cuda::simt {

constexpr int kDepth = 8;   // inner indices at a time
constexpr int kRowPad = 4;  // floats that keep transposed stores of neighbouring quads in different banks

/// Items of four values that a thread moves for a tile of so many rows or columns.
LANGEVIN_INLINE constexpr int itemsOf(int extent) {
  return (extent * kDepth / 4 + static_cast<int>(kThreads) - 1) / kThreads;
}
LANGEVIN_INLINE constexpr int pitchOf(int extent) { return extent + kRowPad; }

/// Rows (or columns) whose neighbours lie apart in memory: quads of neighbouring inner indices, stored transposed.
/// Source::at(item, k) is where inner index k of that item's row is, null where it is zero. `whole`: quads do not
/// straddle taps.
template <class Source, int extent, bool whole>
struct GatheredTile {
  static constexpr int kItems = itemsOf(extent);
  Source source;
  const PixelGrid& g;
  Inner inner;
  float values[kItems][4];

  LANGEVIN_DEVICE GatheredTile(const Source& source, const PixelGrid& g) : source(source), g(g) {
    inner.advance(g, threadIdx.x % 2 * 4);
  }
  LANGEVIN_DEVICE void load() {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      Inner k = inner;
      if constexpr (whole) {
        const auto* from = source.at(i, k);
        if (from) {
          loadVector(from, values[i]);
        } else {
          values[i][0] = values[i][1] = values[i][2] = values[i][3] = 0;
        }
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j, k.advance(g, 1)) {
          const auto* from = source.at(i, k);
          values[i][j] = from ? widen(*from) : 0.0f;
        }
      }
    }
    inner.advance(g, kDepth);
  }
  LANGEVIN_DEVICE void store(float* tile) const {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = threadIdx.x + i * kThreads;
      if (extent * kDepth / 4 % kThreads && item >= extent * kDepth / 4) break;
#pragma unroll
      for (int j = 0; j < 4; ++j) tile[(item % 2 * 4 + j) * pitchOf(extent) + item / 2] = values[i][j];
    }
  }
};
/// The row (or column) of a thread's item of such a tile.
LANGEVIN_DEVICE int gatheredRow(int item) { return static_cast<int>(threadIdx.x + item * kThreads) / 2; }

/// Rows are pixels of a grid: x forward, dy backward.
template <class T, int extent>
struct Pixels {
  static constexpr int kItems = itemsOf(extent);
  const T* source;
  const PixelGrid& g;
  int row[kItems], column[kItems];  // source pixel of tap (0, 0)
  int64_t base[kItems];

  LANGEVIN_DEVICE Pixels(const T* source, const PixelGrid& g, int firstRow, int rows) : source(source), g(g) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int m = firstRow + gatheredRow(i);
      const Pixel p = pixelOf(m < rows ? m : 0, g.rows, g.columns);
      row[i] = m < rows ? p.row * g.step + g.top : -(1 << 30);
      column[i] = p.column * g.step + g.left;
      base[i] = static_cast<int64_t>(p.image) * g.sourceHeight * g.sourceWidth;
    }
  }
  LANGEVIN_DEVICE const T* at(int i, const Inner& k) const {
    const int y = row[i] + k.u * g.turn, x = column[i] + k.v * g.turn;
    if (k.u >= g.tapRows || y < 0 || y >= g.sourceHeight || x < 0 || x >= g.sourceWidth) return nullptr;
    return source + (base[i] + static_cast<int64_t>(y) * g.sourceWidth + x) * g.channels + k.channel;
  }
};
template <class T, int extent, bool whole>
using PixelTile = GatheredTile<Pixels<T, extent>, extent, whole>;

/// Columns are input channels, weight[tap][column][inner channel]: the weights as the input gradient takes them.
template <class T>
struct TransposedWeights {
  const T* weight;
  const PixelGrid& g;
  int first, columns;

  LANGEVIN_DEVICE const T* at(int i, const Inner& k) const {
    const int column = first + gatheredRow(i);
    if (k.u >= g.tapRows || column >= columns) return nullptr;
    return weight + (static_cast<int64_t>(g.tap(k.u, k.v)) * columns + column) * g.channels + k.channel;
  }
};
template <class T, int extent, bool whole>
using TransposedWeightTile = GatheredTile<TransposedWeights<T>, extent, whole>;

/// A dense matrix [depth][columns]: the weights of the forward pass, or dy as [pixels][cout].
template <class T, int extent, bool whole>
struct MatrixTile {
  static constexpr int kItems = itemsOf(extent), kQuads = extent / 4;
  const T* matrix;
  int first, columns, depth, end;
  float values[kItems][4];

  /// Columns from `first`, inner indices [begin, end).
  LANGEVIN_DEVICE MatrixTile(const T* matrix, int first, int columns, int begin, int end)
      : matrix(matrix), first(first), columns(columns), depth(begin), end(end) {}
  LANGEVIN_DEVICE void load() {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = threadIdx.x + i * kThreads;
      const int k = depth + item / kQuads, column = first + item % kQuads * 4;
      if (k < end && column < columns && item < kDepth * kQuads) {
        loadChannels<4, whole>(matrix + static_cast<int64_t>(k) * columns, column, columns, values[i]);
      } else {
        values[i][0] = values[i][1] = values[i][2] = values[i][3] = 0;
      }
    }
    depth += kDepth;
  }
  LANGEVIN_DEVICE void store(float* tile) const {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = threadIdx.x + i * kThreads;
      if (extent * kDepth / 4 % kThreads && item >= kDepth * kQuads) break;
      storeVector(tile + item / kQuads * pitchOf(extent) + item % kQuads * 4, values[i]);
    }
  }
};

/// Rows are weights (tap, input channel), the inner index runs over output pixels: x as the weight gradient takes it.
template <class T, int extent, bool whole>
struct WindowTile {
  static constexpr int kItems = itemsOf(extent), kQuads = extent / 4;
  static constexpr int kPlaces = whole ? 1 : 4;  // taps that a quad of rows spans
  const T* x;
  const Conv& s;
  int end, pixel, row, column, image;  // the pixel of item 0
  int u[kPlaces], v[kPlaces], channel[kPlaces];
  float values[kItems][4];

  LANGEVIN_DEVICE WindowTile(const T* x, const Conv& s, int firstRow, int begin, int end) : x(x), s(s), end(end) {
    static_assert(kThreads % kQuads == 0, "all items of a thread are of the same rows");
    pixel = begin + threadIdx.x / kQuads;
    const Pixel p = pixelOf(pixel, s.outHeight, s.outWidth);
    image = p.image, row = p.row, column = p.column;
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const int weight = firstRow + threadIdx.x % kQuads * 4 + j, tap = weight / s.cin;
      channel[j] = weight - tap * s.cin;
      u[j] = tap / s.kw, v[j] = tap - u[j] * s.kw;
    }
  }
  LANGEVIN_DEVICE void advance(int pixels) {
    pixel += pixels, column += pixels;
    while (column >= s.outWidth) {
      column -= s.outWidth;
      if (++row == s.outHeight) row = 0, ++image;
    }
  }
  LANGEVIN_DEVICE const T* at(int j) const {
    const int y = row * s.stride - s.padding + u[j], left = column * s.stride - s.padding + v[j];
    if (pixel >= end || u[j] >= s.kh || y < 0 || y >= s.height || left < 0 || left >= s.width) return nullptr;
    return x + ((static_cast<int64_t>(image) * s.height + y) * s.width + left) * s.cin + channel[j];
  }
  LANGEVIN_DEVICE void load() {
#pragma unroll
    for (int i = 0; i < kItems; ++i, advance(kDepth / kItems)) {
      if constexpr (whole) {
        const T* from = at(0);
        if (from) {
          loadVector(from, values[i]);
        } else {
          values[i][0] = values[i][1] = values[i][2] = values[i][3] = 0;
        }
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const T* from = at(j);
          values[i][j] = from ? widen(*from) : 0.0f;
        }
      }
    }
  }
  LANGEVIN_DEVICE void store(float* tile) const {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = threadIdx.x + i * kThreads;
      storeVector(tile + item / kQuads * pitchOf(extent) + item % kQuads * 4, values[i]);
    }
  }
};

}  // namespace langevin::cuda::simt
