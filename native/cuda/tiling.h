// How [outer, rows, columns] is laid over blocks of threads: the shape of every reduction, normalisation and
// per-channel map.
//
// Threads of a block lie side by side over columns (so that a warp reads adjacent memory), then over rows, then, where
// those are few, over several outer indices. A thread walks down the rows of its column in steps of rowLanes, keeping
// what belongs to the column in registers. Everything follows from the extents alone, never from the GPU, so that sums
// have the same order everywhere.
#pragma once
#include "groups.h"

namespace langevin::cuda {

struct Tiling {
  int64_t outer, rows, columns;  // columns: in packs
  int64_t tiles, chunks;         // parts of the columns, and of the rows
  int64_t rowsPerChunk;
  int32_t tileColumns, rowLanes, outersPerBlock;

  /// For the first stage of a reduction: as many chunks of rows as fill a large GPU, each worth a block's while.
  static Tiling forReduction(int64_t outer, int64_t rows, int64_t columns) {
    return Tiling(outer, rows, columns, 64, 512, 1024);
  }
  /// For the second stage: all rows in one chunk, walked by many lanes.
  static Tiling forFolding(int64_t outer, int64_t rows, int64_t columns) {
    return Tiling(outer, rows, columns, 16, 1, 1);
  }
  /// For maps: each thread takes a few rows, whatever their number.
  static Tiling forMap(int64_t outer, int64_t rows, int64_t columns) {
    return Tiling(outer, rows, columns, 64, int64_t{1} << 40, int64_t{1} << 40);
  }

  /// For a block that walks over all rows of a tile itself.
  static Tiling forOneBlock(int64_t rows, int64_t columns) { return Tiling(1, rows, columns, 64, 1, 1); }

  /// The launch of a kernel that writes nothing but these buffers, and begins with ptx::waitForPrevious() and
  /// ptx::allowNext().
  LaunchShape launch(const void* written, const void* alsoWritten = nullptr) const {
    const int64_t blocks = ceilDiv(outer, outersPerBlock) * chunks * tiles;
    LaunchShape shape = overlapped({dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, written);
    shape.writes[1] = alsoWritten;
    return shape;
  }

 private:
  /// Loads of a thread before rows are split further.
  static constexpr int64_t kRowsPerThread = 8;

  Tiling(int64_t outer, int64_t rows, int64_t columns, int64_t widest, int64_t mostChunks, int64_t wantedBlocks)
      : outer(outer), rows(rows), columns(columns) {
    constexpr int64_t threads = kThreads;
    const int64_t wantedLanes = larger(1, smaller(ceilDiv(rows, 4), threads));
    const int64_t most = smaller(larger(1, columns), larger(widest, threads / wantedLanes));
    tiles = ceilDiv(larger(1, columns), most);
    tileColumns = static_cast<int32_t>(ceilDiv(larger(1, columns), tiles));
    rowLanes = static_cast<int32_t>(smaller(wantedLanes, threads / tileColumns));
    const int64_t worthwhile = ceilDiv(rows, rowLanes * kRowsPerThread);
    const int64_t useful = ceilDiv(wantedBlocks, larger(1, smaller(wantedBlocks, outer) * tiles));
    chunks = larger(1, smaller(smaller(worthwhile, mostChunks), useful));
    rowsPerChunk = larger(1, ceilDiv(rows, chunks));
    chunks = larger(1, ceilDiv(rows, rowsPerChunk));
    outersPerBlock = chunks > 1 ? 1 : static_cast<int32_t>(threads / (tileColumns * rowLanes));
  }
};

/// What a thread of a Tiling works on: rows firstRow, firstRow + rowLanes, … below endRow of one column of one outer
/// index. An idle thread has no rows.
struct Place {
  int64_t outer, chunk, column;
  int64_t chunkStart, firstRow, endRow;
  int32_t row;  // the lane; rowLanes where idle
  bool active;
};

LANGEVIN_DEVICE Place placeOf(const Tiling& t, int64_t block) {
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const int32_t outerLane = thread / (t.tileColumns * t.rowLanes);
  Place p;
  p.column = block % t.tiles * t.tileColumns + thread % t.tileColumns;
  p.chunk = block / t.tiles % t.chunks;
  p.outer = block / (t.tiles * t.chunks) * t.outersPerBlock + outerLane;
  p.active = outerLane < t.outersPerBlock && p.outer < t.outer && p.column < t.columns;
  p.row = p.active ? thread / t.tileColumns % t.rowLanes : t.rowLanes;
  p.chunkStart = p.chunk * t.rowsPerChunk;
  p.firstRow = p.chunkStart + p.row;
  p.endRow = p.active ? smaller(t.rows, p.chunkStart + t.rowsPerChunk) : 0;
  return p;
}

LANGEVIN_DEVICE Place placeOf(const Tiling& t) { return placeOf(t, blockIdx.x); }

/// parts[i][thread of lane 0] = the join of parts[i] over the row lanes, pairwise, for every i < N. Every thread of the
/// block calls it, having written its own parts.
template <class Kind, int N, class A>
LANGEVIN_DEVICE void foldLanes(A (&parts)[N][kThreads], const Tiling& t, int32_t row) {
  const uint32_t thread = threadIdx.x;
  for (int32_t lanes = t.rowLanes; lanes > 1;) {
    const int32_t half = (lanes + 1) / 2;
    __syncthreads();
    if (row + half < lanes) {
      const uint32_t other = thread + static_cast<uint32_t>(half * t.tileColumns);
      for (int i = 0; i < N; ++i) parts[i][thread] = Kind::join(parts[i][thread], parts[i][other]);
    }
    lanes = half;
  }
}

}  // namespace langevin::cuda
