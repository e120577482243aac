// Reductions of [outer, axis, inner] over the middle axis, as reduce.cu and norm.cu use them.
//
// One kernel serves all shapes (tiling.h). Each thread joins the rows of its column (or, where inner is 1, its packs of
// the row), the lanes are folded pairwise in shared memory, and where the axis takes several chunks a second launch of
// the same kernel folds their partial results. Sums of f32 and bf16 are taken in f64, as on the CPU.
#pragma once
#include <type_traits>

#include "pack.h"
#include "tiling.h"

namespace langevin::cuda {

// ---- kinds: term(element, its index along the axis) is joined ----

struct SumOf {
  using Accumulator = double;
  static LANGEVIN_DEVICE double start() { return 0; }
  static LANGEVIN_DEVICE double term(float v, int64_t) { return static_cast<double>(v); }
  static LANGEVIN_DEVICE double join(double a, double b) { return a + b; }
};
struct SumSquaresOf : SumOf {
  static LANGEVIN_DEVICE double term(float v, int64_t) { return static_cast<double>(v) * static_cast<double>(v); }
};

/// The larger of the two, or NaN where either is.
LANGEVIN_DEVICE float maximumOf(float a, float b) {
  const float larger = a > b ? a : b;  // b where either is NaN
  return a != a ? a : larger;
}
LANGEVIN_DEVICE float minimumOf(float a, float b) {
  const float smaller = a < b ? a : b;
  return a != a ? a : smaller;
}
struct MaxOf {
  using Accumulator = float;
  static LANGEVIN_DEVICE float start() { return -INFINITY; }
  static LANGEVIN_DEVICE float term(float v, int64_t) { return v; }
  static LANGEVIN_DEVICE float join(float a, float b) { return maximumOf(a, b); }
};
struct MinOf {
  using Accumulator = float;
  static LANGEVIN_DEVICE float start() { return INFINITY; }
  static LANGEVIN_DEVICE float term(float v, int64_t) { return v; }
  static LANGEVIN_DEVICE float join(float a, float b) { return minimumOf(a, b); }
};

/// An element and where it is; index −1: none yet.
struct Candidate {
  float value;
  int32_t index;
};
/// The first index of the largest element, NaN being largest: the same whatever the order of joins.
struct ArgmaxOf {
  using Accumulator = Candidate;
  static LANGEVIN_DEVICE Candidate start() { return {0, -1}; }
  static LANGEVIN_DEVICE Candidate term(float v, int64_t index) { return {v, static_cast<int32_t>(index)}; }
  static LANGEVIN_DEVICE bool beats(float a, float b) { return a > b || (a != a && b == b); }
  static LANGEVIN_DEVICE Candidate join(Candidate a, Candidate b) {
    if (a.index < 0) return b;
    if (b.index < 0) return a;
    if (beats(a.value, b.value)) return a;
    if (beats(b.value, a.value)) return b;
    return a.index < b.index ? a : b;
  }
};

// ---- elements in, results out: of the tensor's type, or partial results as they are ----

template <class Kind, class From>
LANGEVIN_DEVICE typename Kind::Accumulator termOf(From v, int64_t index) {
  if constexpr (std::is_same_v<From, typename Kind::Accumulator>) {
    return v;
  } else {
    return Kind::term(widen(v), index);
  }
}
template <class To, class A>
LANGEVIN_DEVICE To resultOf(A v) {
  if constexpr (std::is_same_v<To, A>) {
    return v;
  } else if constexpr (std::is_same_v<A, Candidate>) {
    return v.index;
  } else {
    return narrow<To>(static_cast<float>(v));
  }
}

/// y[outer, chunk, column] = the reduction of the chunk's rows. V adjacent columns are a pack; where kAlongRow, there
/// is one column, a pack is V adjacent elements of it, and they are folded in the end.
template <class Kind, int V, bool kAlongRow, class From, class To>
__global__ void __launch_bounds__(kThreads, 4) reduceTiles(const From* x, To* y, Tiling t) {
  ptx::waitForPrevious();
  ptx::allowNext();
  using A = typename Kind::Accumulator;
  constexpr int kResults = kAlongRow ? 1 : V;
  LANGEVIN_SHARED(A, parts, [kResults][kThreads]);
  const Place p = placeOf(t);
  A accumulator[V];
  for (int v = 0; v < V; ++v) accumulator[v] = Kind::start();
  const From* const column = x + (p.outer * t.rows * t.columns + p.column) * V;
#pragma unroll(V > 4 ? 2 : 4)
  for (int64_t r = p.firstRow; r < p.endRow; r += t.rowLanes) {
    const Group<From, V> pack = loadPack<V>(column + r * t.columns * V);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      accumulator[v] = Kind::join(accumulator[v], termOf<Kind>(pack.v[v], kAlongRow ? r * V + v : r));
    }
  }
  if constexpr (kAlongRow) {
#pragma unroll
    for (int step = V / 2; step > 0; step /= 2) {
      for (int v = 0; v < step; ++v) accumulator[v] = Kind::join(accumulator[v], accumulator[v + step]);
    }
  }
  for (int v = 0; v < kResults; ++v) parts[v][threadIdx.x] = accumulator[v];
  foldLanes<Kind>(parts, t, p.row);
  if (p.row != 0) return;
  const int64_t at = ((p.outer * t.chunks + p.chunk) * t.columns + p.column) * kResults;
  for (int v = 0; v < kResults; ++v) y[at + v] = resultOf<To>(parts[v][threadIdx.x]);
}

/// y [outer, inner] = the reduction of x [outer, axis, inner]. Uses workspace 0 where the axis takes several chunks.
template <class Kind, class From, class To>
void reduceAxis(Stream& stream, const From* x, To* y, int64_t outer, int64_t axis, int64_t inner) {
  using A = typename Kind::Accumulator;
  constexpr int V = kPackSize<From>;
  const bool packedColumns = inner % V == 0, packedRows = !packedColumns && inner == 1 && axis % V == 0;
  const auto run = [&](auto* target, const Tiling& t) {
    using Target = std::remove_pointer_t<decltype(target)>;
    if constexpr (V > 1) {
      if (packedColumns)
        return stream.launch(reduceTiles<Kind, V, false, From, Target>, t.launch(target), x, target, t);
      if (packedRows) return stream.launch(reduceTiles<Kind, V, true, From, Target>, t.launch(target), x, target, t);
    }
    stream.launch(reduceTiles<Kind, 1, false, From, Target>, t.launch(target), x, target, t);
  };
  const Tiling t = Tiling::forReduction(outer, packedRows ? axis / V : axis, packedColumns ? inner / V : inner);
  if (t.chunks == 1) return run(y, t);
  A* const partial = static_cast<A*>(stream.workspace(0, sizeof(A) * static_cast<size_t>(outer * t.chunks * inner)));
  run(partial, t);
  const Tiling fold = Tiling::forFolding(outer, t.chunks, inner);
  stream.launch(reduceTiles<Kind, 1, false, A, To>, fold.launch(y), partial, y, fold);
}

}  // namespace langevin::cuda
