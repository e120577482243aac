// The weight gradient on Hopper (bf16, f32 sums).
//
//   dweight[tap, cin, cout] = Σ_pixel x[pixel + shift(tap), cin] · dy[pixel, cout]
//
// Algorithm: a matrix product whose inner dimension is the pixels of the batch. Rows are pairs (tap, cin) in chunks of
// 32 channels of one tap, each loaded by a TMA box of its own from the shifted image, so that a tile mixes taps: 9·160
// rows fill 5.6 tiles of 256, where padding each tap's 160 to 192 would waste a sixth. Both operands lie pixel by pixel
// in shared memory, that is MN-major, in rows of 64 bytes. A stage is 64 pixels.
//
// The few tiles (6, 24 and 92 in the stages of WRN-28-10) are cut along the pixels until the GPU is full; each cut
// writes f32 sums to the workspace, and a second kernel adds them in order: the same bits in every run. Blocks form
// clusters of up to 2 × 2 tiles: those with the same rows load every other chunk of x each and multicast it, those with
// the same channels every other chunk of dy.
//
// dbias = Σ_pixel dy needs no pass of its own: rows after the last one, which the tiles have nearly always, are ones.
//
// Operations: 2·pixels·taps·cin·cout, as the forward pass (30.2 GFLOP a layer at batch 64: 30.5 µs at the peak). Bytes:
// x and dy once (x again for each tap, from the cache), and 8 bytes a weight and cut for the sums: 41, 37 and 29 MB, 10
// to 14 µs at 3.0 TB/s. Predicted at batch 192 (30.2 · 3 GFLOP): 130 µs in stages 1 and 2, 150 to 170 µs in stage 3,
// whose tiles fill 92 of 132 multiprocessors. Not measured on hardware.
#include <utility>

#include "../../core/counts.h"
#include "../convolution.h"
#include "../elements.h"
#include "convolution_sm90_kernel.h"

namespace langevin::cuda::sm90 {

namespace {

constexpr int kPixels = 64, kPixelsLog = 6;  // of a stage
[[maybe_unused]] constexpr int kChunkBytes = kPixels * kOutputChunk * 2;

struct WeightPlan {
  CUtensorMap x, dy;
  Tap taps[kMostTaps];
  Boxes boxes;
  int32_t tapCount, cin, cout;
  int32_t rowTiles, channelTiles;
  int32_t clusterRows, clusterChannels;  // tiles of a cluster, 1 or 2 each
  int32_t cuts, boxesPerCut;
  float* sums;  // [cuts, taps·cin + 1, cout]: the last row is dbias
};

#if defined(LANGEVIN_HOPPER)

/// A block's part of the product.
struct WeightWork {
  int row, channel, firstBox, iterations;
  int chunks;  // of 32 rows of x in the tile; the rest of its rows are ones
  float* sums;

  LANGEVIN_DEVICE WeightWork(const WeightPlan& plan, int tileRows, int tileChannels) {
    const int block = static_cast<int>(blockIdx.x), size = plan.clusterRows * plan.clusterChannels;
    const int rank = block % size, cluster = block / size;
    const int rows = plan.rowTiles / plan.clusterRows, channels = plan.channelTiles / plan.clusterChannels;
    const int cut = cluster / rows / channels;
    row = (cluster % rows * plan.clusterRows + rank % plan.clusterRows) * tileRows;
    channel = (cluster / rows % channels * plan.clusterChannels + rank / plan.clusterRows) * tileChannels;
    const int chunksLeft = plan.tapCount * plan.cin / kOutputChunk - row / kOutputChunk;
    chunks = chunksLeft < tileRows / kOutputChunk ? chunksLeft : tileRows / kOutputChunk;
    firstBox = cut * plan.boxesPerCut;
    const int left = plan.boxes.count() - firstBox;
    iterations = left < plan.boxesPerCut ? left : plan.boxesPerCut;
    sums = plan.sums + static_cast<int64_t>(cut) * (plan.tapCount * plan.cin + 1) * plan.cout;
  }
};

/// A box for this block, or for those of `blocks`.
LANGEVIN_DEVICE void loadChunk(bool multicast, uint16_t blocks, unsigned char* target, const CUtensorMap* map,
                               uint64_t* full, int channel, int column, int parity, int row, int image) {
  if (multicast) {
    ptx::loadBoxMulticast(target, map, full, blocks, channel, column, parity, row, image);
  } else {
    ptx::loadBox(target, map, full, channel, column, parity, row, image);
  }
}

/// Ones for the rows of the tile that x does not have, in every stage. By all threads, before the barrier.
template <class Tile>
LANGEVIN_DEVICE void fillWithOnes(const WeightWork& work, const Ring<Tile>& ring) {
  constexpr uint32_t kOnes = 0x3f803f80;
  const int quads = (Tile::kParts * 4 - work.chunks) * (kChunkBytes / 16);
  for (int slot = 0; slot < Tile::kStages; ++slot) {
    uint4* const rows = reinterpret_cast<uint4*>(ring.stage(slot) + work.chunks * kChunkBytes);
    for (int i = threadIdx.x; i < quads; i += kBlockThreads) rows[i] = make_uint4(kOnes, kOnes, kOnes, kOnes);
  }
  ptx::fenceAsyncShared();
}

template <class Tile>
LANGEVIN_DEVICE void produceWeight(const WeightPlan& plan, const Place& own, const WeightWork& work,
                                   const Ring<Tile>& ring) {
  ptx::waitForPrevious();
  ptx::allowNext();
  constexpr int kColumnChunks = Tile::kChannels / kOutputChunk;
  const int chunksOfTap = plan.cin / kOutputChunk, bytes = (work.chunks + kColumnChunks) * kChunkBytes;
  const bool sharesX = plan.clusterChannels == 2, sharesDy = plan.clusterRows == 2;
  auto turn = Turn<Tile::kStages>::first();
  for (int i = 0; i < work.iterations; ++i) {
    const Corner corner(plan.boxes, work.firstBox + i);
    uint64_t* full = ring.full(turn.slot);
    ptx::waitClusterBarrier(ring.empty(turn.slot), turn.parity ^ 1);
    ptx::arriveExpecting(full, static_cast<uint32_t>(bytes));
    for (int j = 0; j < work.chunks; ++j) {
      if (sharesX && j % 2 != own.channel) continue;
      const int chunk = work.row / kOutputChunk + j;
      const Tap tap = plan.taps[chunk / chunksOfTap];
      loadChunk(sharesX, own.samePixels, ring.stage(turn.slot) + j * kChunkBytes, &plan.x, full,
                tap.channel + chunk % chunksOfTap * kOutputChunk, corner.column + tap.column, tap.parity,
                corner.row + tap.row, corner.image);
    }
    for (int j = 0; j < kColumnChunks; ++j) {
      if (sharesDy && j % 2 != own.pixel) continue;
      loadChunk(sharesDy, own.sameChannels, ring.weights(turn.slot) + j * kChunkBytes, &plan.dy, full,
                work.channel + j * kOutputChunk, corner.column, 0, corner.row, corner.image);
    }
    turn.advance();
  }
}

template <class Tile>
LANGEVIN_DEVICE void consumeWeight(const WeightPlan& plan, const Place& own, const WeightWork& work,
                                   const Ring<Tile>& ring, int consumer) {
  float sums[Tile::kParts][Tile::kChannels / 2];
#  pragma unroll
  for (int part = 0; part < Tile::kParts; ++part) {
#  pragma unroll
    for (int i = 0; i < Tile::kChannels / 2; ++i) sums[part][i] = 0.0f;
  }
  const int thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32;
  auto turn = Turn<Tile::kStages>::first();
  int previous = -1;
  for (int i = 0; i < work.iterations; ++i) {
    ptx::waitBarrier(ring.full(turn.slot), turn.parity);
    ptx::fenceProducts();
#  pragma unroll
    for (int step = 0; step < kPixels / 16; ++step) {
      const uint64_t b = ptx::describe<64>(ring.weights(turn.slot) + step * 16 * 64, kChunkBytes);
#  pragma unroll
      for (int part = 0; part < Tile::kParts; ++part) {
        const unsigned char* rows = ring.box(turn.slot, consumer) + part * 2 * kChunkBytes;
        ptx::multiply<Tile::kChannels, Major::mn, Major::mn>(sums[part],
                                                             ptx::describe<64>(rows + step * 16 * 64, kChunkBytes), b);
      }
    }
    ptx::commitProducts();
    ptx::waitProducts<1>();
    if (previous >= 0) arriveAtAll(own, ring.empty(previous));
    previous = turn.slot;
    turn.advance();
  }
  ptx::waitProducts<0>();
  // The last stage is not freed: nobody waits for it.

  ptx::waitForPrevious();
  const int rows = plan.tapCount * plan.cin + 1;
#  pragma unroll
  for (int i = 0; i < 2 * Tile::kParts; ++i) {
    const int part = i / 2, half = i % 2;
    const int row = work.row + (consumer * Tile::kParts + part) * 64 + warp * 16 + half * 8 + lane / 4;
    if (row >= rows) continue;
    float* const target = work.sums + static_cast<int64_t>(row) * plan.cout + work.channel + lane % 4 * 2;
#  pragma unroll
    for (int j = 0; j < Tile::kChannels / 8; ++j) {
      const float* sum = &sums[part][j * 4 + half * 2];
      *reinterpret_cast<float2*>(target + j * 8) = make_float2(sum[0], sum[1]);
    }
  }
}

#endif  // LANGEVIN_HOPPER

template <class Tile>
__global__ void __launch_bounds__(kBlockThreads, Tile::kBlocksPerMultiprocessor)
    weightGradient(const __grid_constant__ WeightPlan plan) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_DYNAMIC_SHARED(memory);
  const Ring<Tile> ring{memory};
  const WeightWork work(plan, kConsumers * Tile::kBoxPixels, Tile::kChannels);
  const Place own(plan.clusterRows, plan.clusterChannels);
  const int group = threadIdx.x / 128, blocks = plan.clusterRows * plan.clusterChannels;
  if (threadIdx.x == 0) {
    for (int slot = 0; slot < Tile::kStages; ++slot) {
      ptx::initBarrier(ring.full(slot), 1);
      ptx::initBarrier(ring.empty(slot), static_cast<uint32_t>(kConsumers * own.partners));
    }
    ptx::fenceBarrierInit();
    ptx::prefetchMap(&plan.x);
    ptx::prefetchMap(&plan.dy);
  }
  fillWithOnes<Tile>(work, ring);
  if (blocks > 1) {
    ptx::arriveCluster();
    ptx::waitCluster();
  } else {
    __syncthreads();
  }
  if (group == kConsumers) {
    if constexpr (Tile::kBlocksPerMultiprocessor == 1) ptx::decreaseRegisters<56>();
    if (threadIdx.x % 128 == 0) produceWeight<Tile>(plan, own, work, ring);
  } else {
    if constexpr (Tile::kBlocksPerMultiprocessor == 1) ptx::increaseRegisters<224>();
    consumeWeight<Tile>(plan, own, work, ring, group);
  }
  __syncwarp();
  // Partners may still write into this block's stages or arrive at its barriers.
  if (blocks > 1) {
    ptx::arriveCluster();
    ptx::waitCluster();
  }
#endif
}

/// dweight[i] = Σ_cut sums[cut, i], four numbers a thread, and the row of dbias after it.
__global__ void addCuts(const float4* sums, uint2* dweight, uint2* dbias, int64_t weightQuads, int64_t quads,
                        int cuts) {
  for (int64_t i = firstItem(); i < quads; i += itemStride()) {
    float4 total = sums[i];
    for (int cut = 1; cut < cuts; ++cut) {
      const float4 more = sums[cut * quads + i];
      total.x += more.x, total.y += more.y, total.z += more.z, total.w += more.w;
    }
    uint2* const target = i < weightQuads ? dweight + i : dbias ? dbias + (i - weightQuads) : nullptr;
    if (target) *target = make_uint2(ptx::packBf16(total.x, total.y), ptx::packBf16(total.z, total.w));
  }
}

/// How often the pixels are cut: what ends first by the count of waves and of the bytes of sums. A stage of 64 pixels
/// takes about 0.7 µs, a number of a sum 8 bytes at 3.0 TB/s.
int64_t chooseCuts(int64_t tiles, int64_t boxes, int64_t weights, int64_t multiprocessors) {
  int64_t best = 1;
  double least = -1;
  for (int64_t cuts = 1; cuts <= smaller(boxes, 64); ++cuts) {
    const double waves = static_cast<double>(ceilDiv(tiles * cuts, multiprocessors));
    const double microseconds =
        waves * static_cast<double>(ceilDiv(boxes, cuts)) * 0.7 + static_cast<double>(cuts * weights) * 8 / 3.0e6;
    if (least >= 0 && microseconds >= least) continue;
    least = microseconds;
    best = cuts;
  }
  return best;
}

/// The largest cluster that the tiles fill and that costs no further wave.
template <class Tile>
void chooseCluster(const Stream& stream, WeightPlan& plan) {
  plan.clusterRows = plan.clusterChannels = 1;
  if constexpr (Tile::kChannels >= 128) {
    static const ActiveClusters active(stream, reinterpret_cast<const void*>(weightGradient<Tile>), Tile::kSharedBytes);
    const int64_t blocks = int64_t{plan.rowTiles} * plan.channelTiles * plan.cuts;
    for (const auto& [rows, channels] : {std::pair{2, 2}, std::pair{1, 2}, std::pair{2, 1}}) {
      const int64_t together = active.blocks(rows * channels);
      if (plan.rowTiles % rows != 0 || plan.channelTiles % channels != 0 || together == 0 ||
          ceilDiv(blocks, together) > ceilDiv(blocks, stream.gpu().multiprocessors)) {
        continue;
      }
      plan.clusterRows = rows;
      plan.clusterChannels = channels;
      return;
    }
  }
}

template <class Tile>
void run(Stream& stream, const ConvBackwardWeight& c) {
  const ConvShape& s = c.s;
  const int64_t rows = s.kh * s.kw * s.cin, weights = s.weightCount();
  WeightPlan plan = {};
  plan.tapCount = tapsOfForward(plan.taps, s);
  plan.boxes = coverWith(kPixelsLog, s.outWidth(), s.outHeight(), s.batch);
  plan.cin = static_cast<int32_t>(s.cin);
  plan.cout = static_cast<int32_t>(s.cout);
  plan.rowTiles = static_cast<int32_t>(ceilDiv(rows + (c.dbias ? 1 : 0), kConsumers * Tile::kBoxPixels));
  plan.channelTiles = static_cast<int32_t>(s.cout / Tile::kChannels);
  const int64_t boxes = plan.boxes.count(), tiles = int64_t{plan.rowTiles} * plan.channelTiles;
  plan.boxesPerCut = static_cast<int32_t>(ceilDiv(
      boxes,
      chooseCuts(tiles, boxes, weights, int64_t{stream.gpu().multiprocessors} * Tile::kBlocksPerMultiprocessor)));
  plan.cuts = static_cast<int32_t>(ceilDiv(boxes, plan.boxesPerCut));
  plan.x = tensorMap(
      viewOf({c.x, s.batch, s.height, s.width, s.cin, s.stride == 2}, plan.boxes, kOutputChunk, kOutputChunk * 2));
  plan.dy = tensorMap(
      viewOf({c.dy, s.batch, s.outHeight(), s.outWidth(), s.cout, false}, plan.boxes, kOutputChunk, kOutputChunk * 2));
  plan.sums =
      static_cast<float*>(stream.workspace(0, sizeof(float) * static_cast<size_t>(plan.cuts * (weights + s.cout))));
  chooseCluster<Tile>(stream, plan);
  LaunchShape shape;
  shape.cluster = static_cast<unsigned>(plan.clusterRows * plan.clusterChannels);
  shape.grid = dim3(static_cast<unsigned>(tiles * plan.cuts));
  shape.block = dim3(kBlockThreads);
  shape.sharedBytes = Tile::kSharedBytes;
  shape.overlapPrevious = true;
  stream.launch(weightGradient<Tile>, shape, plan);
  const int64_t quads = (weights + s.cout) / 4;
  stream.launch(addCuts, loopOver(stream, quads), reinterpret_cast<const float4*>(plan.sums),
                static_cast<uint2*>(c.dweight), static_cast<uint2*>(c.dbias), weights / 4, quads, plan.cuts);
}

}  // namespace

bool backwardWeight(Stream& stream, const ConvBackwardWeight& c) {
  const ConvShape& s = c.s;
  if (!takes(s, c.dtype) || s.cin % 32 != 0 || s.cout % 32 != 0) return false;
  if (!aligned(c.x, 16) || !aligned(c.dy, 16) || !aligned(c.dweight, 8) || !aligned(c.dbias, 8)) return false;
  if (s.cout % 160 == 0) {
    run<Tile256x160>(stream, c);
  } else if (s.cout % 128 == 0) {
    run<Tile256x128>(stream, c);
  } else if (s.cout % 64 == 0) {
    run<Tile128x64>(stream, c);
  } else {
    run<Tile128x32>(stream, c);
  }
  return true;
}

}  // namespace langevin::cuda::sm90
