// How one convolution is cut into pieces: the geometry that forward, input gradient and matmul share, and the blocking.
//
// All three compute, on a grid of output pixels, a sum over taps and input channels. A *phase* is a regular sub-grid of
// the output that has one list of taps: the forward pass has one phase; the input gradient of a convolution of stride s
// has s² (input pixels of equal residue mod s), so that no tap is ever multiplied with an inserted zero.
//
//   task      a super-block of output channels × some consecutive tiles; tasks run in parallel
//   chunk     so many blocks of 16 input channels that their weights, packed, stay in L2 while the task's tiles pass by
//   tile      so many output rows (a band of one image, or several whole images) that their packed input stays in L1/L2
//   segment   S neighbouring pixels of a row: what the kernel computes R of at a time
//
// Packed input of a tile: [block of 16 channels][row][column residue mod stride][column][16 channels], zeros outside
// the image. The blocking depends on the shape alone, never on the number of threads.
#pragma once
#include "../../core/op_table.h"
#include "../stream.h"
#include "convolution_kernel.h"

namespace langevin::LANGEVIN_ISA {

/// Where the input pixel of a tap lies: (row·step + tap.row, column·step + tap.column), and its matrix of weights.
struct Tap {
  int64_t row, column, weight;
};
/// The output pixels (row + i·outStep, column + j·outStep), i < rows, j < columns.
struct Phase {
  int64_t row, column, rows, columns;
  int64_t firstTap, taps;
};

struct Geometry {
  int64_t batch;
  int64_t sourceHeight, sourceWidth, sourceChannels;
  int64_t outHeight, outWidth, outChannels;
  int64_t step, outStep;
  int64_t phaseCount, tapCount;
  Phase* phases;
  Tap* taps;
  /// Input rows in which a pixel's taps are contiguous, [kw · cin], need no blocks of channels: pixels of 1 or 3
  /// channels then lie `pitch` apart and a "tap" is a whole row of the kernel.
  int64_t pitch;
};

LANGEVIN_INLINE int64_t ceilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }
LANGEVIN_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
LANGEVIN_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
LANGEVIN_INLINE int64_t modulo(int64_t a, int64_t b) { return (a % b + b) % b; }

/// Consecutive pieces of one scratch allocation.
struct Arena {
  char* next;
  template <class U>
  LANGEVIN_INLINE U* take(int64_t count) {
    U* p = reinterpret_cast<U*>(next);
    next += ceilDivide(count * static_cast<int64_t>(sizeof(U)), 64) * 64;
    return p;
  }
};

template <class T>
struct Plan {
  static constexpr int lanes = Vec<T>::lanes;
  Geometry g;
  MultiplyKernel<T> kernels[kMaxVectors + 1];  // by number of vectors

  // channels
  int64_t blocks, tailDepth;    // blocks of kChannelBlock channels; the last one's depth if partial, else 0
  int64_t chunkBlocks, chunks;  // blocks of a chunk
  int64_t vectors;              // of output channels in a super-block
  int64_t superBlocks;
  int64_t blockWeights;  // packed weights of one vector-column of a chunk: Σ taps · depth

  // pixels
  int64_t gridRows, gridColumns;  // of the largest phase
  int64_t minRow, minColumn, span, rowSpan;
  int64_t columnsPerResidue, rowPitch, blockPitch, imageRows;
  int64_t bandRows, bands;  // a tile: a band of rows of one image …
  int64_t tileImages;       // … or, where bands == 1, so many images
  int64_t tiles, tilesPerTask, groups;
  int64_t aheadSteps;   // prefetches that the kernel makes during a tile
  int64_t sumsPerTask;  // kept between chunks

  int64_t* offsets;   // [phase][block of chunk][tap]
  int64_t* held;      // [thread · 8]: which weights the thread's scratch holds
  uint8_t* usedRows;  // [step], [step]: residues of rows and columns that some tap reads
  uint8_t* usedColumns;

  LANGEVIN_INLINE int64_t segmentsPerRow(const Phase& p, int q) const {
    return ceilDivide(p.columns, kernels[q].segment);
  }
};

/// Bytes of L2 for the packed weights of a chunk and for the packed input of a tile; their sum leaves room in 1 MiB
/// for sums and output.
constexpr int64_t kWeightBytes = 416 << 10, kTileBytes = 144 << 10;
constexpr int64_t kSuperBlockChannels = 160;

/// Fills in the blocking of plan.g. Its small tables live in slot 3 of the executor thread's scratch, after `reserved`.
template <class T>
static void blockPlan(Stream& stream, Plan<T>& plan, Arena arena) {
  const Geometry& g = plan.g;
  const bool merged = g.pitch != kChannelBlock;
  constexpr int64_t L = Plan<T>::lanes, size = sizeof(T);

  plan.gridRows = plan.gridColumns = 0;
  for (int64_t i = 0; i < g.phaseCount; ++i) {
    plan.gridRows = most(plan.gridRows, g.phases[i].rows);
    plan.gridColumns = most(plan.gridColumns, g.phases[i].columns);
  }
  for (int q = 1; q <= kMaxVectors; ++q) {
    plan.kernels[q] = g.pitch == 1   ? chooseKernel<T, 1>(plan.gridColumns, q)
                      : g.pitch == 3 ? chooseKernel<T, 3>(plan.gridColumns, q)
                                     : chooseKernel<T, kChannelBlock>(plan.gridColumns, q);
  }

  // Channels.
  const int64_t depth = merged ? g.sourceChannels : kChannelBlock;
  plan.blocks = ceilDivide(g.sourceChannels, depth);
  const int64_t tail = g.sourceChannels % depth;
  plan.tailDepth = ceilDivide(tail, 4) * 4;
  const int64_t vectors = ceilDivide(g.outChannels, L);
  // A task should see at least 512 pixels where it packs several chunks, and there should be 16 tasks or so: few
  // pixels, narrow super-blocks.
  const int64_t pixels = g.batch * g.outHeight * g.outWidth;
  plan.superBlocks = ceilDivide(vectors * L, pixels < 8192 ? kSuperBlockChannels / 2 : kSuperBlockChannels);
  plan.vectors = ceilDivide(vectors, plan.superBlocks);
  if (plan.superBlocks > 1) plan.vectors = ceilDivide(plan.vectors, 2) * 2;
  plan.superBlocks = ceilDivide(vectors, plan.vectors);
  // A chunk is a sum's length, on which its rounding depends: not on how many images there are.
  const int64_t widest = least(vectors, kSuperBlockChannels / L);
  const int64_t weightBytesOfBlock = most(1, g.tapCount) * depth * widest * L * size;
  plan.chunks = most(1, ceilDivide(plan.blocks, most(1, kWeightBytes / weightBytesOfBlock)));
  plan.chunkBlocks = most(1, ceilDivide(plan.blocks, plan.chunks));
  plan.chunks = most(1, ceilDivide(plan.blocks, plan.chunkBlocks));
  plan.blockWeights = g.tapCount * plan.chunkBlocks * depth;

  // Extent of the taps.
  int64_t maxRow = INT64_MIN, maxColumn = INT64_MIN;
  plan.minRow = plan.minColumn = INT64_MAX;
  for (int64_t t = 0; t < g.tapCount; ++t) {
    plan.minRow = least(plan.minRow, g.taps[t].row), maxRow = most(maxRow, g.taps[t].row);
    plan.minColumn = least(plan.minColumn, g.taps[t].column), maxColumn = most(maxColumn, g.taps[t].column);
  }
  if (g.tapCount == 0) plan.minRow = maxRow = plan.minColumn = maxColumn = 0;  // all padding: the gradient is zero
  if (merged) maxColumn += g.sourceChannels / g.pitch - 1;
  plan.usedRows = arena.take<uint8_t>(g.step);
  plan.usedColumns = arena.take<uint8_t>(g.step);
  for (int64_t i = 0; i < g.step; ++i) plan.usedRows[i] = plan.usedColumns[i] = 0;
  for (int64_t t = 0; t < g.tapCount; ++t) {
    plan.usedRows[(g.taps[t].row - plan.minRow) % g.step] = 1;
    plan.usedColumns[(g.taps[t].column - plan.minColumn) % g.step] = 1;
  }
  plan.rowSpan = maxRow - plan.minRow + 1;
  int64_t columns = plan.gridColumns;
  for (int q = 1; q <= kMaxVectors; ++q) columns = most(columns, plan.kernels[q].segment);
  plan.columnsPerResidue = columns + (maxColumn - plan.minColumn) / g.step;
  plan.rowPitch = plan.columnsPerResidue * g.step * g.pitch;

  // Tiles: what fits L2, but at least 16 tasks where they keep 48 pixels each.
  constexpr int64_t kTasks = 16, kTaskPixels = 48;
  const int64_t chunkRowBytes = plan.rowPitch * plan.chunkBlocks * size;
  plan.imageRows = (plan.gridRows - 1) * g.step + plan.rowSpan;
  plan.tileImages = 1;
  int64_t rows = plan.gridRows;
  if (plan.imageRows * chunkRowBytes > kTileBytes) {
    rows = least(rows, most(1, (kTileBytes / chunkRowBytes - plan.rowSpan) / g.step + 1));
  }
  plan.bands = most(ceilDivide(plan.gridRows, rows), least(ceilDivide(kTasks, plan.superBlocks * most(1, g.batch)),
                                                           plan.gridRows * plan.gridColumns / kTaskPixels));
  plan.bands = least(plan.bands, plan.gridRows);
  if (plan.bands == 1) {
    // As many images as fit, but no more than leave the kernel's last call full.
    const int q = plan.vectors >= 2 ? 2 : 1;
    const int64_t segments = plan.gridRows * ceilDivide(plan.gridColumns, plan.kernels[q].segment);
    const int64_t R = plan.kernels[q].segments;
    const int64_t limit = least(g.batch * plan.superBlocks / kTasks, kTileBytes / (plan.imageRows * chunkRowBytes));
    for (int64_t images = 2; images <= least(8, limit); ++images) {
      const int64_t now = ceilDivide(plan.tileImages * segments, R) * images;
      const int64_t then = ceilDivide(images * segments, R) * plan.tileImages;
      if (then < now) plan.tileImages = images;
    }
  }
  plan.bandRows = ceilDivide(plan.gridRows, plan.bands);
  plan.bands = ceilDivide(plan.gridRows, plan.bandRows);
  if (plan.bands > 1) plan.imageRows = (plan.bandRows - 1) * g.step + plan.rowSpan;
  plan.blockPitch = plan.tileImages * plan.imageRows * plan.rowPitch;
  plan.tiles = ceilDivide(g.batch, plan.tileImages) * plan.bands;

  // Tasks: about 64, but fewer where a task packs its weights chunk by chunk.
  const int64_t tilePixels = plan.tileImages * plan.bandRows * plan.gridColumns;
  plan.tilesPerTask = most(1, plan.tiles * plan.superBlocks / 64);
  if (plan.chunks > 1) plan.tilesPerTask = most(plan.tilesPerTask, ceilDivide(512, tilePixels));
  plan.tilesPerTask = least(plan.tilesPerTask, plan.tiles);
  plan.groups = ceilDivide(plan.tiles, plan.tilesPerTask);

  int64_t sums = 0;
  plan.aheadSteps = 0;
  const int64_t pairs = plan.vectors / 2, single = plan.vectors % 2;
  for (int64_t i = 0; i < g.phaseCount; ++i) {
    for (int q = 1; q <= kMaxVectors; ++q) {
      const MultiplyKernel<T>& k = plan.kernels[q];
      const int64_t segments = plan.tileImages * plan.bandRows * plan.segmentsPerRow(g.phases[i], q);
      const int64_t calls = (q == 2 ? pairs : single) * ceilDivide(segments, k.segments);
      sums += calls * k.segments * k.segment * q * L;
      plan.aheadSteps += calls * g.phases[i].taps * plan.chunkBlocks * kChannelBlock / kAheadInterval;
    }
  }
  plan.sumsPerTask = plan.chunks == 1 ? kMaxPixels * kMaxVectors * L : sums * plan.tilesPerTask;

  plan.offsets = arena.take<int64_t>(plan.chunkBlocks * g.tapCount);
  int64_t* offset = plan.offsets;
  for (int64_t i = 0; i < g.phaseCount; ++i) {
    const Phase& p = g.phases[i];
    for (int64_t b = 0; b < plan.chunkBlocks; ++b) {
      for (int64_t t = p.firstTap; t < p.firstTap + p.taps; ++t) {
        const int64_t row = g.taps[t].row - plan.minRow, column = g.taps[t].column - plan.minColumn;
        *offset++ = b * plan.blockPitch + row * plan.rowPitch +
                    (column % g.step * plan.columnsPerResidue + column / g.step) * g.pitch;
      }
    }
  }
  plan.held = arena.take<int64_t>(stream.threads() * 8);
  for (int64_t i = 0; i < stream.threads(); ++i) plan.held[i * 8] = -1;
}

/// Bytes of the plan's tables at most.
static int64_t planBytes(const Stream& stream, int64_t phases, int64_t taps, int64_t blocks, int64_t step) {
  return phases * static_cast<int64_t>(sizeof(Phase)) + taps * static_cast<int64_t>(sizeof(Tap)) + taps * blocks * 8 +
         2 * step + stream.threads() * 64 + 512;
}

}  // namespace langevin::LANGEVIN_ISA
