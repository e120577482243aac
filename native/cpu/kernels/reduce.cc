// Reductions of [outer, axis, inner] over the middle axis; argmax and its gradient.
//
// 4 bytes per f32 element, read once: memory speed. A block is a part of the axis by a part of the inner columns (or
// several whole outer indices where those are small); where the axis takes several blocks, their partial results are
// folded pairwise in a second pass. See columns.h for order and accuracy.
//
// Measured (elements.h), GB/s: sum of all 38 in L3 and 30 in DRAM, over [rows, 16] likewise, maximum 62 and 26.
#include "../columns.h"
#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

namespace {

/// How [outer, axis, inner] is cut into blocks.
struct Plan {
  int64_t outer, axis, inner;
  int64_t columns, columnChunks;  // of the inner axis
  int64_t rows, rowChunks;        // of the middle axis
  int64_t outersPerBlock;

  Plan(int64_t outer, int64_t axis, int64_t inner) : outer(outer), axis(axis), inner(inner) {
    columns = smaller(inner, kMaxWidth);
    columnChunks = ceilDiv(inner, columns);
    const int64_t repeats = repeatsOf(columns, axis);
    rows = larger(1, kBlock / (columns * repeats)) * repeats;
    rowChunks = larger(1, ceilDiv(axis, rows));
    outersPerBlock = rowChunks * columnChunks > 1 ? 1 : larger(1, kBlock / larger(1, axis * inner));
  }
};

/// Reduces rows [r0, r1) and columns [c0, c1) of one outer index into result[0, c1 − c0).
template <class Kind, class T, class A>
LANGEVIN_INLINE void reduceBlock(const Plan& p, const T* x, int64_t r0, int64_t r1, int64_t c0, int64_t c1, A* result) {
  if (p.columnChunks == 1) return reduceRows<Kind>(x + r0 * p.inner, r1 - r0, p.inner, result);
  for (int64_t c = 0; c < c1 - c0; ++c) result[c] = Kind::template start<A>();
  reduceColumns<Kind>(x + r0 * p.inner + c0, r1 - r0, c1 - c0, p.inner, result);
}

template <class Kind, class T>
void reduceAs(Stream& stream, const T* x, T* y, const Plan& p) {
  using C = ComputeOf<T>;
  using A = typename Kind::template Accumulator<C>;
  const int64_t outerBlocks = ceilDiv(p.outer, p.outersPerBlock);
  A* partial = nullptr;  // [outer, rowChunks, inner]
  if (p.rowChunks > 1) {
    partial = static_cast<A*>(stream.scratch(0, 0, sizeof(A) * static_cast<size_t>(p.outer * p.rowChunks * p.inner)));
  }
  stream.parallel(outerBlocks * p.rowChunks * p.columnChunks, [&](int64_t block, int) {
    const int64_t c0 = block % p.columnChunks * p.columns, c1 = smaller(p.inner, c0 + p.columns);
    const int64_t chunk = block / p.columnChunks % p.rowChunks;
    const int64_t r0 = chunk * p.rows, r1 = smaller(p.axis, r0 + p.rows);
    const int64_t first = block / (p.columnChunks * p.rowChunks) * p.outersPerBlock;
    const int64_t last = smaller(p.outer, first + p.outersPerBlock);
    A result[kMaxWidth];
    for (int64_t o = first; o < last; ++o) {
      reduceBlock<Kind>(p, x + o * p.axis * p.inner, r0, r1, c0, c1, result);
      if (partial) {
        std::memcpy(partial + (o * p.rowChunks + chunk) * p.inner + c0, result,
                    sizeof(A) * static_cast<size_t>(c1 - c0));
      } else {
        for (int64_t c = 0; c < c1 - c0; ++c) y[o * p.inner + c0 + c] = narrow<T>(static_cast<C>(result[c]));
      }
    }
  });
  if (!partial) return;
  stream.parallel(p.outer, [&](int64_t o, int) {
    A* const parts = partial + o * p.rowChunks * p.inner;
    foldColumns<Kind>(parts, p.rowChunks, p.inner);
    for (int64_t c = 0; c < p.inner; ++c) y[o * p.inner + c] = narrow<T>(static_cast<C>(parts[c]));
  });
}

void reduce(Stream& stream, int64_t kind, In x, Out y, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(xCount);
    T* const target = y.as<T>(yCount);
    if (yCount == 0) return;
    const Plan plan(outer, axis, inner);
    switch (static_cast<Reduce>(kind)) {
      case Reduce::sum:
        return reduceAs<SumOf>(stream, source, target, plan);
      case Reduce::sumSquares:
        return reduceAs<SumSquaresOf>(stream, source, target, plan);
      case Reduce::max:
        return reduceAs<MaxOf>(stream, source, target, plan);
      case Reduce::min:
        return reduceAs<MinOf>(stream, source, target, plan);
    }
    fault("there is no reduce kind %lld", static_cast<long long>(kind));
  });
}

/// Whether candidate comes before best: larger, or the first NaN.
template <class C>
LANGEVIN_INLINE bool beats(C candidate, C best) {
  return candidate > best || (candidate != candidate && best == best);
}

void argmax(Stream& stream, In x, Out y, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(xCount);
    int32_t* const target = y.as<int32_t>(yCount);
    if (yCount > 0 && axis == 0) fault("an axis of no elements");
    forRows(stream, yCount, axis, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const T* const column = source + i / inner * axis * inner + i % inner;
        int64_t best = 0;
        for (int64_t a = 1; a < axis; ++a) {
          if (beats(widen(column[a * inner]), widen(column[best * inner]))) best = a;
        }
        target[i] = static_cast<int32_t>(best);
      }
    });
  });
}

void pick(Stream& stream, In x, In index, Out y, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  const int32_t* const at = index.as<int32_t>(yCount);
  checkIndices(at, yCount, axis);
  withFloat(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const source = x.as<T>(xCount);
    T* const target = y.as<T>(yCount);
    if (yCount == 0) return;
    forRows(stream, outer, inner, [&](int64_t first, int64_t last) {
      for (int64_t i = first * inner; i < last * inner; ++i) {
        target[i] = source[(i / inner * axis + at[i]) * inner + i % inner];
      }
    });
  });
}

void pickBackward(Stream& stream, In index, In dy, Out dx, int64_t outer, int64_t axis, int64_t inner) {
  const int64_t xCount = countOf(outer, axis, inner), yCount = countOf(outer, inner);
  const int32_t* const at = index.as<int32_t>(yCount);
  checkIndices(at, yCount, axis);
  withFloat(dy.dtype, [&](auto type) {
    using T = decltype(type);
    const T* const gradient = dy.as<T>(yCount);
    T* const target = dx.as<T>(xCount);
    if (xCount == 0) return;
    forRows(stream, outer, countOf(axis, inner), [&](int64_t first, int64_t last) {
      std::memset(target + first * axis * inner, 0, sizeof(T) * static_cast<size_t>((last - first) * axis * inner));
      for (int64_t i = first * inner; i < last * inner; ++i) {
        target[(i / inner * axis + at[i]) * inner + i % inner] = gradient[i];
      }
    });
  });
}

}  // namespace

void fillReduce(OpTable& ops) {
  ops.reduce = reduce;
  ops.argmax = argmax;
  ops.pick = pick;
  ops.pickBackward = pickBackward;
}

}  // namespace langevin::LANGEVIN_ISA
