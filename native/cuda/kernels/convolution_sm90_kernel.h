// The Hopper convolution kernel: a block makes tiles of pixels × channels (convolution_sm90.cu says why and how fast).
//
// A producer thread fills a ring of stages by TMA; two warpgroups multiply what is in them and free them again. A stage
// is 64 channels of one tap: two boxes of source pixels (one for each warpgroup, rows of 128 bytes, swizzled) and the
// weights. A shortcut (a 1×1 convolution of another image, added) is one more tap, of other pixels, weights and number
// of channels, whose stages come last. After the last stage of a tile the ring's next places take the results: the
// producer puts the residual there, the warpgroups replace it by the result, and one TMA copy a chunk of 32 channels
// writes it out. A block makes one tile after another; the producer fills what places are left with the next tile while
// the last one is written.
//
// Weights are [tap][cin][cout]. The forward pass multiplies by k = cin, so their rows lie along n: MN-major, in chunks
// of 64 or 32 columns, 32 rows of k in each half of the stage. The gradient multiplies by k = cout: K-major, as they
// lie.
//
// Blocks of a cluster share what they load: the two with the same channels load half of the weights each and multicast
// it to both; the two with the same pixels load one of the two boxes each.
#pragma once
#include "convolution_sm90_epilogue.h"

namespace langevin::cuda::sm90 {

#if defined(LANGEVIN_HOPPER)

using ptx::Major;

// ---- the producer: one thread ----

/// Which 64 channels of which tap a stage holds. Channels outermost, taps inside: the taps of a slice read the same
/// pixels again while they are in the cache.
struct Iteration {
  int tap = 0, k = 0;
  bool shortcut = false;
  LANGEVIN_DEVICE void advance(const Plan& plan, const Phase& phase) {
    if (!shortcut && ++tap < phase.taps) return;
    tap = 0;
    k += kSlice;
    if (!shortcut && k >= plan.k) {
      shortcut = true;
      k = 0;
    }
  }
  /// The shortcut's one tap is the pixel itself.
  LANGEVIN_DEVICE Tap tapOf(const Plan& plan, const Phase& phase) const {
    return shortcut ? Tap{} : plan.taps[phase.firstTap + tap];
  }
};

template <class Tile, Pass pass>
LANGEVIN_DEVICE void loadWeights(const Plan& plan, const Place& own, const Ring<Tile>& ring, int slot,
                                 const Iteration& at, const Tap& tap, int channel) {
  const CUtensorMap* weights = at.shortcut ? &plan.shortcutWeights : &plan.weights;
  const bool shared = plan.clusterPixels == 2;
#  pragma unroll
  for (int half = 0; half < 2; ++half) {
    unsigned char* target = ring.weights(slot) + half * (Tile::kWeightBytes / 2);
    uint64_t* full = ring.full(slot);
    if (shared && half != own.pixel) continue;  // the partner loads it for both
    if constexpr (pass == Pass::forward) {
      const int row = at.k + half * 32, chunk = channel / Tile::kChunk;
      if (shared) {
        ptx::loadBoxMulticast(target, weights, full, own.sameChannels, 0, row, chunk, tap.slice);
      } else {
        ptx::loadBox(target, weights, full, 0, row, chunk, tap.slice);
      }
    } else {
      const int row = channel + half * (Tile::kChannels / 2);
      if (shared) {
        ptx::loadBoxMulticast(target, weights, full, own.sameChannels, at.k, row, tap.slice);
      } else {
        ptx::loadBox(target, weights, full, at.k, row, tap.slice);
      }
    }
  }
}

template <class Tile>
LANGEVIN_DEVICE void loadPixels(const Plan& plan, const Place& own, const Ring<Tile>& ring, int slot,
                                const Iteration& at, const Tap& tap, const Corner (&corners)[kConsumers]) {
  const CUtensorMap* source = at.shortcut ? &plan.shortcut : &plan.source;
  const bool shared = plan.clusterChannels == 2;
#  pragma unroll
  for (int box = 0; box < kConsumers; ++box) {
    if (shared && box != own.channel) continue;
    const int channel = tap.channel + at.k, column = corners[box].column + tap.column, row = corners[box].row + tap.row;
    if (shared) {
      ptx::loadBoxMulticast(ring.box(slot, box), source, ring.full(slot), own.samePixels, channel, column, tap.parity,
                            row, corners[box].image);
    } else {
      ptx::loadBox(ring.box(slot, box), source, ring.full(slot), channel, column, tap.parity, row, corners[box].image);
    }
  }
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void produceTile(const Plan& plan, const Place& own, const Work& work, const Ring<Tile>& ring,
                                 int tilesBefore, int weightsAhead, Turn<Tile::kStages>& turn) {
  const Corner corners[kConsumers] = {Corner(plan.boxes, 2 * work.pixelTile),
                                      Corner(plan.boxes, 2 * work.pixelTile + 1)};
  const int places = kConsumers * (plan.hasPre ? 2 : 1);
  Iteration at;
  for (int i = 0; i < work.iterations; ++i) {
    const Tap tap = at.tapOf(plan, work.phase);
    // From here on stages lie where the last tile's results were, here and in the partners.
    if (own.partners > 1 && tilesBefore > 0 && i == Tile::kStages - places) {
      ptx::waitClusterBarrier(ring.written(), static_cast<uint32_t>(tilesBefore - 1) & 1);
    }
    if (i >= weightsAhead) {
      ptx::waitClusterBarrier(ring.empty(turn.slot), turn.parity ^ 1);
      ptx::arriveExpecting(ring.full(turn.slot), Tile::kStageBytes);
      loadWeights<Tile, pass>(plan, own, ring, turn.slot, at, tap, work.channel);
    }
    loadPixels(plan, own, ring, turn.slot, at, tap, corners);
    at.advance(plan, work.phase);
    turn.advance();
  }

  // Places for the results, with the residual in them.
  const int residualChannel = work.phase.column * plan.channels + work.channel;
  for (int place = 0; place < places; ++place) {
    const bool loads = plan.hasResidual && place < kConsumers;
    ptx::waitClusterBarrier(ring.empty(turn.slot), turn.parity ^ 1);
    ptx::arriveExpecting(ring.full(turn.slot), loads ? Tile::kBoxPixels * Tile::kChannels * 2 : 0);
    if (loads) {
      const Corner corner(plan.boxes, 2 * work.pixelTile + place);
      for (int chunk = 0; chunk < Tile::kChannels / kOutputChunk; ++chunk) {
        ptx::loadBox(ring.stage(turn.slot) + chunk * (Tile::kBoxPixels * kOutputChunk * 2), &plan.residual,
                     ring.full(turn.slot), residualChannel + chunk * kOutputChunk, corner.column, work.phase.row,
                     corner.row, corner.image);
      }
    }
    turn.advance();
  }
}

/// The first stages' weights, while the launch before still runs. Returns their number.
template <class Tile, Pass pass>
LANGEVIN_DEVICE int loadWeightsAhead(const Plan& plan, const Place& own, const Work& work, const Ring<Tile>& ring) {
  if (!plan.weightsSettled) return 0;
  const int ahead = work.iterations < Tile::kStages ? work.iterations : Tile::kStages;
  Iteration at;
  for (int slot = 0; slot < ahead; ++slot) {
    ptx::arriveExpecting(ring.full(slot), Tile::kStageBytes);
    loadWeights<Tile, pass>(plan, own, ring, slot, at, at.tapOf(plan, work.phase), work.channel);
    at.advance(plan, work.phase);
  }
  return ahead;
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void produce(const Plan& plan, const Ring<Tile>& ring) {
  const Place own(plan.clusterPixels, plan.clusterChannels);
  int ahead = loadWeightsAhead<Tile, pass>(plan, own, Work(plan, static_cast<int>(blockIdx.x), Tile::kChannels), ring);
  ptx::waitForPrevious();
  ptx::allowNext();
  auto turn = Turn<Tile::kStages>::first();
  int tilesBefore = 0;
  for (int tile = static_cast<int>(blockIdx.x); tile < plan.tiles; tile += static_cast<int>(gridDim.x)) {
    produceTile<Tile, pass>(plan, own, Work(plan, tile, Tile::kChannels), ring, tilesBefore++, ahead, turn);
    ahead = 0;
  }
}

// ---- the consumers: two warpgroups ----

/// `steps` times 16 channels of a stage.
template <class Tile, Pass pass, int steps>
LANGEVIN_DEVICE void multiplyStage(float (&sums)[Tile::kParts][Tile::kChannels / 2], const unsigned char* box,
                                   const unsigned char* weights) {
  constexpr int kSwizzle = Tile::kChunk * 2, kHalf = Tile::kWeightBytes / 2;
#  pragma unroll
  for (int step = 0; step < steps; ++step) {
    const uint64_t b = pass == Pass::forward ? ptx::describe<kSwizzle>(
                                                   weights + step / 2 * kHalf + step % 2 * 16 * kSwizzle, 32 * kSwizzle)
                                             : ptx::describe<128>(weights + step * 32);
#  pragma unroll
    for (int part = 0; part < Tile::kParts; ++part) {
      const uint64_t a = ptx::describe<128>(box + part * 64 * 128 + step * 32);
      ptx::multiply<Tile::kChannels, Major::k, pass == Pass::forward ? Major::mn : Major::k>(sums[part], a, b);
    }
  }
}

/// `count` stages; the products of a stage run while the next one is waited for.
template <class Tile, Pass pass, int steps>
LANGEVIN_DEVICE void multiplyStages(const Place& own, const Ring<Tile>& ring, int consumer, int count,
                                    Turn<Tile::kStages>& turn, int& previous,
                                    float (&sums)[Tile::kParts][Tile::kChannels / 2]) {
  for (int i = 0; i < count; ++i) {
    ptx::waitBarrier(ring.full(turn.slot), turn.parity);
    ptx::fenceProducts();
    multiplyStage<Tile, pass, steps>(sums, ring.box(turn.slot, consumer), ring.weights(turn.slot));
    ptx::commitProducts();
    ptx::waitProducts<1>();
    if (previous >= 0) arriveAtAll(own, ring.empty(previous));
    previous = turn.slot;
    turn.advance();
  }
  ptx::waitProducts<0>();
}

/// Sums start from the shortcut's bias where there is one, else from zero. (The convolution's own waits in registers
/// for the end, which leaves none for another.)
template <class Tile>
LANGEVIN_DEVICE void startSums(const uint32_t* bias, int channel, float (&sums)[Tile::kParts][Tile::kChannels / 2]) {
#  pragma unroll
  for (int j = 0; j < Tile::kChannels / 8; ++j) {
    const uint32_t pair = bias ? bias[(channel + j * 8) / 2 + threadIdx.x % 4] : 0;
#  pragma unroll
    for (int part = 0; part < Tile::kParts; ++part) {
#  pragma unroll
      for (int h = 0; h < 2; ++h) {
        sums[part][j * 4 + h * 2] = ptx::lowBf16(pair);
        sums[part][j * 4 + h * 2 + 1] = ptx::highBf16(pair);
      }
    }
  }
}

/// The stages of so many channels of the source under `taps` taps. A last slice of fewer than 64 channels is a loop of
/// its own: a condition between the products of a stage would make the compiler wait for each.
template <class Tile, Pass pass>
LANGEVIN_DEVICE void multiplyChannels(const Place& own, const Ring<Tile>& ring, int consumer, int channels, int taps,
                                      Turn<Tile::kStages>& turn, int& previous,
                                      float (&sums)[Tile::kParts][Tile::kChannels / 2]) {
  multiplyStages<Tile, pass, 4>(own, ring, consumer, channels / kSlice * taps, turn, previous, sums);
  const int tail = channels % kSlice / 16;
  if (tail == 1) multiplyStages<Tile, pass, 1>(own, ring, consumer, taps, turn, previous, sums);
  if (tail == 2) multiplyStages<Tile, pass, 2>(own, ring, consumer, taps, turn, previous, sums);
  if (tail == 3) multiplyStages<Tile, pass, 3>(own, ring, consumer, taps, turn, previous, sums);
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void consumeTile(const Plan& plan, const Place& own, const Work& work, const Ring<Tile>& ring,
                                 int consumer, Turn<Tile::kStages>& turn) {
  const Corner corner(plan.boxes, 2 * work.pixelTile + consumer);
  const Operands<Tile, pass> operands(plan, work, corner);
  float sums[Tile::kParts][Tile::kChannels / 2];
  startSums<Tile>(plan.shortcutBias, work.channel, sums);
  int previous = -1;
  multiplyChannels<Tile, pass>(own, ring, consumer, plan.k, work.phase.taps, turn, previous, sums);
  if constexpr (pass == Pass::forward) {
    multiplyChannels<Tile, pass>(own, ring, consumer, plan.shortcutK, 1, turn, previous, sums);
  }
  if (previous >= 0) arriveAtAll(own, ring.empty(previous));
  finish<Tile, pass>(plan, own, work, ring, consumer, corner, operands, turn, sums);
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void consume(const Plan& plan, const Ring<Tile>& ring, int consumer) {
  const Place own(plan.clusterPixels, plan.clusterChannels);
  ptx::waitForPrevious();
  auto turn = Turn<Tile::kStages>::first();
  for (int tile = static_cast<int>(blockIdx.x); tile < plan.tiles; tile += static_cast<int>(gridDim.x)) {
    consumeTile<Tile, pass>(plan, own, Work(plan, tile, Tile::kChannels), ring, consumer, turn);
  }
}

#endif  // LANGEVIN_HOPPER

template <class Tile, Pass pass>
__global__ void __launch_bounds__(kBlockThreads, Tile::kBlocksPerMultiprocessor)
    convolve(const __grid_constant__ Plan plan) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_DYNAMIC_SHARED(memory);
  const Ring<Tile> ring{memory};
  const int group = threadIdx.x / 128, blocks = plan.clusterPixels * plan.clusterChannels;

  if (threadIdx.x == 0) {
    const uint32_t readers = kConsumers * (plan.clusterPixels + plan.clusterChannels - 1);
    for (int slot = 0; slot < Tile::kStages; ++slot) {
      ptx::initBarrier(ring.full(slot), 1);
      ptx::initBarrier(ring.empty(slot), readers);
    }
    ptx::initBarrier(ring.written(), readers);
    ptx::fenceBarrierInit();
    ptx::prefetchMap(&plan.source);
    ptx::prefetchMap(&plan.weights);
  }
  if (blocks > 1) {
    ptx::arriveCluster();
    ptx::waitCluster();
  } else {
    __syncthreads();
  }

  // Where a block has the multiprocessor to itself, the producer's registers go to the sums.
  if (group == kConsumers) {
    if constexpr (Tile::kBlocksPerMultiprocessor == 1) ptx::decreaseRegisters<56>();
    if (threadIdx.x % 128 == 0) produce<Tile, pass>(plan, ring);
    __syncwarp();
  } else {
    if constexpr (Tile::kBlocksPerMultiprocessor == 1) ptx::increaseRegisters<224>();
    consume<Tile, pass>(plan, ring, group);
    __syncwarp();
  }
  // Partners may still write into this block's stages or arrive at its barriers.
  if (blocks > 1) {
    ptx::arriveCluster();
    ptx::waitCluster();
  }
#endif
}

}  // namespace langevin::cuda::sm90
