// The primitive of every reduction: a contiguous run is read as rows of `width` columns; each column is accumulated
// down the rows (vectorised across columns, four rows at a time), then columns are folded pairwise.
//
// A sum over one long row (width 64), over the axis of [axis, channels] (width a multiple of channels), and the
// statistics of a normalisation are all this. Nothing depends on the instruction set or the number of threads, and no
// accumulator sees more than 64 of a block's elements one after another, so that the error is that of pairwise
// summation. Sums of f32 and bf16 are taken in f64.
#pragma once
#include "scalar_math.h"

namespace langevin::LANGEVIN_ISA {

struct SumOf {
  template <class C>
  using Accumulator = double;
  template <class C>
  static LANGEVIN_INLINE double start() {
    return 0;
  }
  static LANGEVIN_INLINE double term(double v) { return v; }
  static LANGEVIN_INLINE double join(double a, double b) { return a + b; }
};
struct SumSquaresOf : SumOf {
  static LANGEVIN_INLINE double term(double v) { return v * v; }
};
struct MaxOf {
  template <class C>
  using Accumulator = C;
  template <class C>
  static LANGEVIN_INLINE C start() {
    return -static_cast<C>(__builtin_inf());
  }
  template <class C>
  static LANGEVIN_INLINE C term(C v) {
    return v;
  }
  template <class C>
  static LANGEVIN_INLINE C join(C a, C b) {
    return maximumOf(a, b);
  }
};
struct MinOf : MaxOf {
  template <class C>
  static LANGEVIN_INLINE C start() {
    return static_cast<C>(__builtin_inf());
  }
  template <class C>
  static LANGEVIN_INLINE C join(C a, C b) {
    return minimumOf(a, b);
  }
};

/// The widest run of columns reduced at once.
constexpr int64_t kMaxWidth = 512;
/// The width that repeated short rows are brought to: four of them are 1 KiB of f32, near enough for the prefetcher to
/// see one stream (with 256, a sum from DRAM ran at 10 GB/s instead of 30).
constexpr int64_t kRepeatedWidth = 64;

/// How many rows of `columns` elements to read as one of at most `width`, of `rows` in all.
LANGEVIN_INLINE int64_t repeatsOf(int64_t columns, int64_t rows, int64_t width = kRepeatedWidth) {
  const int64_t most = smaller(width / larger(1, columns), rows / 4);
  int64_t repeats = 1;
  while (repeats * 2 <= most) repeats *= 2;
  return repeats;
}

/// accumulator[c] = join(accumulator[c], term(x[r·stride + c])) for r < rows, c < width.
template <class Kind, class T, class A>
LANGEVIN_INLINE void reduceColumns(const T* x, int64_t rows, int64_t width, int64_t stride, A* accumulator) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const T *const x0 = x + r * stride, *const x1 = x0 + stride, *const x2 = x1 + stride, *const x3 = x2 + stride;
    LANGEVIN_INDEPENDENT
    for (int64_t c = 0; c < width; ++c) {
      const A first = Kind::join(Kind::term(static_cast<A>(widen(x0[c]))), Kind::term(static_cast<A>(widen(x1[c]))));
      const A second = Kind::join(Kind::term(static_cast<A>(widen(x2[c]))), Kind::term(static_cast<A>(widen(x3[c]))));
      accumulator[c] = Kind::join(accumulator[c], Kind::join(first, second));
    }
  }
  for (; r < rows; ++r) {
    LANGEVIN_INDEPENDENT
    for (int64_t c = 0; c < width; ++c) {
      accumulator[c] = Kind::join(accumulator[c], Kind::term(static_cast<A>(widen(x[r * stride + c]))));
    }
  }
}

/// accumulator[c] = the join of accumulator[c + i·columns] for i < repeats, pairwise.
template <class Kind, class A>
LANGEVIN_INLINE void foldColumns(A* accumulator, int64_t repeats, int64_t columns) {
  while (repeats > 1) {
    const int64_t half = (repeats + 1) / 2;
    A* const upper = accumulator + half * columns;
    LANGEVIN_INDEPENDENT
    for (int64_t c = 0; c < (repeats - half) * columns; ++c) accumulator[c] = Kind::join(accumulator[c], upper[c]);
    repeats = half;
  }
}

/// accumulator[0, columns) = the reduction of contiguous rows [rows, columns]; room for repeats·columns.
template <class Kind, class T, class A>
LANGEVIN_INLINE void reduceRows(const T* x, int64_t rows, int64_t columns, A* accumulator) {
  const int64_t repeats = repeatsOf(columns, rows), width = repeats * columns;
  for (int64_t c = 0; c < width; ++c) accumulator[c] = Kind::template start<A>();
  reduceColumns<Kind>(x, rows / repeats, width, width, accumulator);
  const int64_t rest = rows % repeats;
  reduceColumns<Kind>(x + (rows - rest) * columns, 1, rest * columns, 0, accumulator);
  foldColumns<Kind>(accumulator, repeats, columns);
}

}  // namespace langevin::LANGEVIN_ISA
