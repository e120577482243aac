// A convolution as a matrix product, the same for every implementation: rows of the product are pixels of a regular
// grid of the output, its inner index runs over taps and source channels.
//
// The forward pass is one such product. The input gradient of a convolution of stride s is s² of them, its *phases*:
// input pixels of equal residue mod s have one list of taps, so that no tap is ever multiplied with an inserted zero.
#pragma once
#include "../../core/counts.h"
#include "../convolution.h"

namespace langevin::cuda {

/// ConvShape in 32-bit numbers.
struct Conv {
  int batch, height, width, cin, cout, kh, kw, stride, padding, outHeight, outWidth;
  LANGEVIN_INLINE int phaseRows() const { return stride < height ? stride : height; }
  LANGEVIN_INLINE int phaseColumns() const { return stride < width ? stride : width; }
};

/// Row m of the product is pixel (n, i, j) of batch × rows × columns, j fastest: pixel (outRow + i·outStep, outColumn +
/// j·outStep) of the output. Its inner index is (u, v, channel): source pixel (i·step + top + u·turn, j·step + left +
/// v·turn), times the matrix of tap (u, v).
struct PixelGrid {
  int rows, columns;
  int sourceHeight, sourceWidth, channels;
  int step, top, left, turn;
  int tapRows, tapColumns, firstTapRow, firstTapColumn, tapStep, kernelColumns;
  int outHeight, outWidth, outRow, outColumn, outStep;

  LANGEVIN_INLINE int inner() const { return tapRows * tapColumns * channels; }
  LANGEVIN_INLINE int tap(int u, int v) const {
    return (firstTapRow + u * tapStep) * kernelColumns + firstTapColumn + v * tapStep;
  }
};

LANGEVIN_INLINE PixelGrid forwardGrid(const Conv& s) {
  return {s.outHeight, s.outWidth, s.height, s.width, s.cin, s.stride,    -s.padding, -s.padding, 1, s.kh,
          s.kw,        0,          0,        1,       s.kw,  s.outHeight, s.outWidth, 0,          0, 1};
}

/// Input pixel (a + i·stride, b + j·stride) takes output pixel (i + (a + padding − ky)/stride, …) for every ky that
/// makes the division exact.
LANGEVIN_INLINE PixelGrid backwardGrid(const Conv& s, int phase) {
  const int a = phase / s.phaseColumns(), b = phase % s.phaseColumns();
  const int tapRow = (a + s.padding) % s.stride, tapColumn = (b + s.padding) % s.stride;
  PixelGrid g;
  g.rows = (s.height - a + s.stride - 1) / s.stride, g.columns = (s.width - b + s.stride - 1) / s.stride;
  g.sourceHeight = s.outHeight, g.sourceWidth = s.outWidth, g.channels = s.cout;
  g.step = 1, g.turn = -1;
  g.top = (a + s.padding) / s.stride, g.left = (b + s.padding) / s.stride;
  g.tapRows = tapRow < s.kh ? (s.kh - tapRow + s.stride - 1) / s.stride : 0;
  g.tapColumns = tapColumn < s.kw ? (s.kw - tapColumn + s.stride - 1) / s.stride : 0;
  g.firstTapRow = tapRow, g.firstTapColumn = tapColumn, g.tapStep = s.stride, g.kernelColumns = s.kw;
  g.outHeight = s.height, g.outWidth = s.width, g.outRow = a, g.outColumn = b, g.outStep = s.stride;
  return g;
}

struct Pixel {
  int image, row, column;
};
LANGEVIN_INLINE Pixel pixelOf(int m, int rows, int columns) {
  const int line = m / columns;
  return {line / rows, line % rows, m - line * columns};
}

/// The output pixel of row m of the product.
LANGEVIN_INLINE int64_t outputPixel(const PixelGrid& g, int m) {
  if (g.outStep == 1) return m;
  const Pixel p = pixelOf(m, g.rows, g.columns);
  return (static_cast<int64_t>(p.image) * g.outHeight + g.outRow + p.row * g.outStep) * g.outWidth + g.outColumn +
         p.column * g.outStep;
}

/// The inner index of a product, advanced without divisions. Beyond the last tap: u ≥ tapRows.
struct Inner {
  int u = 0, v = 0, channel = 0;
  LANGEVIN_DEVICE void advance(const PixelGrid& g, int by) {
    channel += by;
    while (channel >= g.channels) {
      channel -= g.channels;
      if (++v == g.tapColumns) v = 0, ++u;
      if (u >= g.tapRows) return;
    }
  }
};

/// The shape in 32 bits; one beyond them (none that training meets) is a fault.
inline Conv checkedConv(const ConvShape& s) {
  constexpr int64_t limit = int64_t{1} << 30;
  const int64_t sizes[] = {s.height + 2 * s.padding,
                           s.width + 2 * s.padding,
                           s.batch * s.height * s.width,
                           s.batch * s.outHeight() * s.outWidth(),
                           s.kh * s.kw * s.cin,
                           s.kh * s.kw * s.cout,
                           s.cin,
                           s.cout};
  for (const int64_t size : sizes) {
    if (size > limit) fault("a convolution of more than 2^30 pixels or weights of a channel");
  }
  const auto small = [](int64_t v) { return static_cast<int>(v); };
  return {small(s.batch), small(s.height), small(s.width),   small(s.cin),         small(s.cout),      small(s.kh),
          small(s.kw),    small(s.stride), small(s.padding), small(s.outHeight()), small(s.outWidth())};
}

/// What a forward pass sums over: the convolution, and its shortcut where it has one.
template <class T>
struct ForwardSources {
  struct Source {
    const T *x, *weight;
    Conv s;
  } sources[2];
  int count;
};
template <class T>
ForwardSources<T> sourcesOf(const ConvForward& c) {
  const auto source = [](const void* x, const void* weight, const ConvShape& s) {
    return typename ForwardSources<T>::Source{static_cast<const T*>(x), static_cast<const T*>(weight), checkedConv(s)};
  };
  ForwardSources<T> made = {{source(c.x, c.weight, c.s)}, 1};
  if (c.shortcut.x) {
    made.sources[made.count++] = source(c.shortcut.x, c.shortcut.weight, c.s.shortcut(c.shortcut.channels));
  }
  return made;
}

/// A one-dimensional grid of that many blocks.
inline dim3 gridOf(int64_t blocks) {
  if (blocks > 0x7fffffff) fault("a convolution of too many blocks for a launch");
  return dim3(static_cast<unsigned>(blocks));
}

}  // namespace langevin::cuda
