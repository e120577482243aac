// The Hopper convolution kernel: a block makes tiles of pixels × channels (convolution_sm90.cu says why and how fast).
//
// A producer thread fills a ring of stages by TMA; two warpgroups multiply what is in them and free them again. A stage
// is 64 channels of one tap: two boxes of source pixels (one for each warpgroup, rows of 128 bytes, swizzled) and the
// weights. After the last stage of a tile the ring's next places take the results: the producer puts the residual
// there, the warpgroups replace it by the result, and one TMA copy a chunk of 32 channels writes it out. A block makes
// one tile after another; the producer fills what places are left with the next tile while the last one is written.
//
// Weights are [tap][cin][cout]. The forward pass multiplies by k = cin, so their rows lie along n: MN-major, in chunks
// of 64 or 32 columns, 32 rows of k in each half of the stage. The gradient multiplies by k = cout: K-major, as they
// lie.
//
// Blocks of a cluster share what they load: the two with the same channels load half of the weights each and multicast
// it to both; the two with the same pixels load one of the two boxes each.
#pragma once
#include "../wgmma.h"
#include "convolution_sm90_plan.h"

namespace langevin::cuda::sm90 {

#if defined(LANGEVIN_HOPPER)

using ptx::Major;

/// A place of the ring and the parity of its turn.
template <int stages>
struct Turn {
  int slot;
  uint32_t parity;
  LANGEVIN_DEVICE static Turn first() { return {0, 0}; }
  LANGEVIN_DEVICE void advance() {
    if (++slot == stages) {
      slot = 0;
      parity ^= 1;
    }
  }
};

template <class Tile>
struct Ring {
  unsigned char* memory;
  LANGEVIN_DEVICE unsigned char* stage(int slot) const { return memory + slot * Tile::kStageBytes; }
  LANGEVIN_DEVICE unsigned char* box(int slot, int consumer) const { return stage(slot) + consumer * Tile::kBoxBytes; }
  LANGEVIN_DEVICE unsigned char* weights(int slot) const { return stage(slot) + kConsumers * Tile::kBoxBytes; }
  /// Completes when the stage is filled …
  LANGEVIN_DEVICE uint64_t* full(int slot) const { return reinterpret_cast<uint64_t*>(stage(Tile::kStages)) + slot; }
  /// … and when every warpgroup is done that reads what this block's producer loads, here and in its partners.
  LANGEVIN_DEVICE uint64_t* empty(int slot) const { return full(Tile::kStages + slot); }
  /// Completes when those warpgroups have written a tile's results, so that their places may be multicast to again.
  LANGEVIN_DEVICE uint64_t* written() const { return full(2 * Tile::kStages); }
};

/// This block's place in its cluster, which is 1 or 2 pixel tiles × 1 or 2 channel tiles; pixels are the fast axis.
struct Place {
  int pixel, channel;  // 0 or 1
  /// The blocks with the same channels, and those with the same pixels, this one included, as a mask of ranks.
  uint16_t sameChannels, samePixels;
  int partners;  // blocks with either, this one included
  /// Ranks of the partners with the same channels and with the same pixels; its own where there is none.
  uint32_t rank, channelPartner, pixelPartner;

  LANGEVIN_DEVICE explicit Place(const Plan& plan) {
    const int pixels = plan.clusterPixels, channels = plan.clusterChannels;
    const int own = static_cast<int>(blockIdx.x) % (pixels * channels);
    rank = static_cast<uint32_t>(own);
    pixel = own % pixels;
    channel = own / pixels;
    sameChannels = static_cast<uint16_t>(((1 << pixels) - 1) << (channel * pixels));
    samePixels = static_cast<uint16_t>((channels == 2 ? 1 | 1 << pixels : 1) << pixel);
    partners = pixels + channels - 1;
    channelPartner = rank ^ (pixels == 2 ? 1u : 0u);
    pixelPartner = rank ^ (channels == 2 ? static_cast<uint32_t>(pixels) : 0u);
  }
};

/// A tile to make. Tiles are numbered by phase, channels and pixels of clusters, and by rank in the cluster.
struct Work {
  Phase phase;
  int pixelTile;
  int channel;     // the first one
  int iterations;  // stages to multiply

  LANGEVIN_DEVICE Work(const Plan& plan, int tile, int tileChannels) {
    const int size = plan.clusterPixels * plan.clusterChannels, rank = tile % size;
    const int pixels = plan.pixelTiles / plan.clusterPixels, channels = plan.channelTiles / plan.clusterChannels;
    const int cluster = tile / size;
    pixelTile = cluster % pixels * plan.clusterPixels + rank % plan.clusterPixels;
    channel = (cluster / pixels % channels * plan.clusterChannels + rank / plan.clusterPixels) * tileChannels;
    phase = plan.phases[cluster / pixels / channels];
    iterations = phase.taps * ((plan.k + 63) / 64);
  }
};

/// The first pixel of a box.
struct Corner {
  int column, row, image;

  LANGEVIN_DEVICE Corner(const Boxes& boxes, int index)
      : column(index % boxes.across << boxes.widthLog),
        row(index / boxes.across % boxes.down << boxes.heightLog),
        image(index / boxes.across / boxes.down << boxes.imagesLog) {}
};

// ---- the producer: one thread ----

template <class Tile, Pass pass>
LANGEVIN_DEVICE void loadWeights(const Plan& plan, const Place& own, const Ring<Tile>& ring, int slot, int slice, int k,
                                 int channel) {
  const bool shared = plan.clusterPixels == 2;
#  pragma unroll
  for (int half = 0; half < 2; ++half) {
    unsigned char* target = ring.weights(slot) + half * (Tile::kWeightBytes / 2);
    uint64_t* full = ring.full(slot);
    if (shared && half != own.pixel) continue;  // the partner loads it for both
    if constexpr (pass == Pass::forward) {
      const int row = k + half * 32, chunk = channel / Tile::kChunk;
      if (shared) {
        ptx::loadBoxMulticast(target, &plan.weights, full, own.sameChannels, 0, row, chunk, slice);
      } else {
        ptx::loadBox(target, &plan.weights, full, 0, row, chunk, slice);
      }
    } else {
      const int row = channel + half * (Tile::kChannels / 2);
      if (shared) {
        ptx::loadBoxMulticast(target, &plan.weights, full, own.sameChannels, k, row, slice);
      } else {
        ptx::loadBox(target, &plan.weights, full, k, row, slice);
      }
    }
  }
}

template <class Tile>
LANGEVIN_DEVICE void loadPixels(const Plan& plan, const Place& own, const Ring<Tile>& ring, int slot, const Tap& tap,
                                int k, const Corner (&corners)[kConsumers]) {
  const bool shared = plan.clusterChannels == 2;
#  pragma unroll
  for (int box = 0; box < kConsumers; ++box) {
    if (shared && box != own.channel) continue;
    const int channel = tap.channel + k, column = corners[box].column + tap.column, row = corners[box].row + tap.row;
    if (shared) {
      ptx::loadBoxMulticast(ring.box(slot, box), &plan.source, ring.full(slot), own.samePixels, channel, column,
                            tap.parity, row, corners[box].image);
    } else {
      ptx::loadBox(ring.box(slot, box), &plan.source, ring.full(slot), channel, column, tap.parity, row,
                   corners[box].image);
    }
  }
}

/// Channels outermost, taps inside: the taps of a slice read the same pixels again while they are in the cache.
struct Iteration {
  int tap = 0, k = 0;
  LANGEVIN_DEVICE void advance(int taps) {
    if (++tap == taps) {
      tap = 0;
      k += 64;
    }
  }
};

template <class Tile, Pass pass>
LANGEVIN_DEVICE void produceTile(const Plan& plan, const Place& own, const Work& work, const Ring<Tile>& ring,
                                 int tilesBefore, int weightsAhead, Turn<Tile::kStages>& turn) {
  const Corner corners[kConsumers] = {Corner(plan.boxes, 2 * work.pixelTile),
                                      Corner(plan.boxes, 2 * work.pixelTile + 1)};
  const int places = kConsumers * (plan.hasPre ? 2 : 1);
  Iteration at;
  for (int i = 0; i < work.iterations; ++i) {
    const Tap tap = plan.taps[work.phase.firstTap + at.tap];
    // From here on stages lie where the last tile's results were, here and in the partners.
    if (own.partners > 1 && tilesBefore > 0 && i == Tile::kStages - places) {
      ptx::waitClusterBarrier(ring.written(), static_cast<uint32_t>(tilesBefore - 1) & 1);
    }
    if (i >= weightsAhead) {
      ptx::waitClusterBarrier(ring.empty(turn.slot), turn.parity ^ 1);
      ptx::arriveExpecting(ring.full(turn.slot), Tile::kStageBytes);
      loadWeights<Tile, pass>(plan, own, ring, turn.slot, tap.slice, at.k, work.channel);
    }
    loadPixels(plan, own, ring, turn.slot, tap, at.k, corners);
    at.advance(work.phase.taps);
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
    loadWeights<Tile, pass>(plan, own, ring, slot, plan.taps[work.phase.firstTap + at.tap].slice, at.k, work.channel);
    at.advance(work.phase.taps);
  }
  return ahead;
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void produce(const Plan& plan, const Ring<Tile>& ring) {
  const Place own(plan);
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

/// Arrives at a barrier of this block and its partners.
LANGEVIN_DEVICE void arriveAtAll(const Place& own, uint64_t* barrier) {
  const unsigned thread = threadIdx.x % 128;
  if (thread == 0) ptx::arrive(barrier);
  if (thread == 1 && own.channelPartner != own.rank) ptx::arriveAt(barrier, own.channelPartner);
  if (thread == 2 && own.pixelPartner != own.rank) ptx::arriveAt(barrier, own.pixelPartner);
}

/// Frees a place of results, which this block's warpgroups alone use. The barrier also counts those of the partners,
/// which have no part in it and may still be at an earlier turn: the own ones arrive for them.
template <class Tile>
LANGEVIN_DEVICE void releasePlace(const Place& own, const Ring<Tile>& ring, int slot) {
  for (int i = 0; i < own.partners; ++i) ptx::arrive(ring.empty(slot));
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

/// Where the words of sign bits of a thread's pixels lie: rows lane/4 and lane/4 + 8 of each part.
template <class Tile>
LANGEVIN_DEVICE int signWord(const Plan& plan, const Work& work, const Corner& corner, int pixel) {
  const Boxes& boxes = plan.boxes;
  const int column = corner.column + (pixel & ((1 << boxes.widthLog) - 1));
  const int row = corner.row + (pixel >> boxes.widthLog & ((1 << boxes.heightLog) - 1));
  const int image = corner.image + (pixel >> (boxes.widthLog + boxes.heightLog));
  if (column >= plan.columns || row >= plan.rows || image >= plan.images) return -1;
  const int y = row * plan.step + work.phase.row, x = column * plan.step + work.phase.column;
  return ((image * plan.rows * plan.step + y) * plan.columns * plan.step + x) * (plan.channels / 32) +
         work.channel / 32;
}

/// Two neighbouring results from their sums; `residual`, `bias`: bf16 pairs; `bits`: the pair's sign bits, in or out.
template <Pass pass>
LANGEVIN_DEVICE uint32_t finishPair(const Plan& plan, float low, float high, uint32_t bias, uint32_t residual,
                                    uint32_t& bits, uint32_t& pre) {
  if constexpr (pass == Pass::forward) {
    if (plan.bias) low += ptx::lowBf16(bias), high += ptx::highBf16(bias);
    if (plan.hasResidual) low += ptx::lowBf16(residual), high += ptx::highBf16(residual);
    pre = ptx::packBf16(low, high);
    bits = (low > 0.0f ? 1u : 0u) | (high > 0.0f ? 2u : 0u);
    return ptx::packBf16(low > 0.0f ? low : plan.slope * low, high > 0.0f ? high : plan.slope * high);
  } else {
    low *= bits & 1 ? 1.0f : plan.slope;
    high *= bits & 2 ? 1.0f : plan.slope;
    if (plan.hasResidual) low += ptx::lowBf16(residual), high += ptx::highBf16(residual);
    return ptx::packBf16(low, high);
  }
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void finish(const Plan& plan, const Place& own, const Work& work, const Ring<Tile>& ring, int consumer,
                            Turn<Tile::kStages>& turn, const float (&sums)[Tile::kParts][Tile::kChannels / 2]) {
  constexpr int kChunkBytes = Tile::kBoxPixels * kOutputChunk * 2;
  const int thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32, quad = lane % 4;
  const Corner corner(plan.boxes, 2 * work.pixelTile + consumer);
  // Both warpgroups pass all places in order, and each keeps its own. One thread frees the others: were the rest to
  // look at their barriers as well, it could come when those have moved on by two turns.
  const int places = kConsumers * (plan.hasPre ? 2 : 1);
  int ownPlace = 0, prePlace = 0;
  for (int place = 0; place < places; ++place) {
    if (place % kConsumers == consumer) {
      ptx::waitBarrier(ring.full(turn.slot), turn.parity);
      (place < kConsumers ? ownPlace : prePlace) = turn.slot;
    } else if (thread == 0) {
      ptx::waitBarrier(ring.full(turn.slot), turn.parity);
      releasePlace(own, ring, turn.slot);
    }
    turn.advance();
  }
  unsigned char* const results = ring.stage(ownPlace);
  unsigned char* const pres = ring.stage(prePlace);
  const bool readsSigns = pass == Pass::inputGradient && plan.signsIn,
             writesSigns = pass == Pass::forward && plan.signsOut;
  int words[Tile::kParts][2] = {};
  if (readsSigns || writesSigns) {
#  pragma unroll
    for (int i = 0; i < 2 * Tile::kParts; ++i) {
      words[i / 2][i % 2] = signWord<Tile>(plan, work, corner, i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4);
    }
  }

#  pragma unroll
  for (int chunk = 0; chunk < Tile::kChannels / 32; ++chunk) {
    uint32_t bias[4] = {};
    if (pass == Pass::forward && plan.bias) {
#  pragma unroll
      for (int j = 0; j < 4; ++j) bias[j] = plan.bias[(work.channel + chunk * 32 + j * 8) / 2 + quad];
    }
#  pragma unroll
    for (int part = 0; part < Tile::kParts; ++part) {
      uint32_t signs[2] = {~0u, ~0u};
      if (readsSigns) {
#  pragma unroll
        for (int h = 0; h < 2; ++h) signs[h] = words[part][h] < 0 ? 0 : plan.signsIn[words[part][h] + chunk];
      }
      if (writesSigns) signs[0] = signs[1] = 0;
#  pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        // Four tiles of 8 pixels × 8 channels, as ldmatrix and stmatrix number them: the lower half of the pixels,
        // the upper; then the next 8 channels.
        const int row = part * 64 + warp * 16 + lane % 16;
        const int offset = row * 64 + (pair * 2 + lane / 16) * 16;
        const int swizzled = chunk * kChunkBytes + (offset ^ (offset >> 7 & 3) << 4);
        uint32_t values[4] = {}, pre[4] = {};
        if (plan.hasResidual) ptx::loadMatrix4(values, results + swizzled);
#  pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int j = pair * 2 + i / 2, h = i % 2, shift = j * 8 + quad * 2;
          const float* sum = &sums[part][(chunk * 4 + j) * 4 + h * 2];
          uint32_t bits = signs[h] >> shift;
          values[i] = finishPair<pass>(plan, sum[0], sum[1], bias[j], values[i], bits, pre[i]);
          if (writesSigns) signs[h] |= bits << shift;
        }
        ptx::storeMatrix4(results + swizzled, values);
        if (plan.hasPre) ptx::storeMatrix4(pres + swizzled, pre);
      }
      if (writesSigns) {
#  pragma unroll
        for (int h = 0; h < 2; ++h) {
          signs[h] |= __shfl_xor_sync(0xffffffffu, signs[h], 1);
          signs[h] |= __shfl_xor_sync(0xffffffffu, signs[h], 2);
          if (quad == 0 && words[part][h] >= 0) plan.signsOut[words[part][h] + chunk] = signs[h];
        }
      }
    }
  }

  ptx::fenceAsyncShared();
  ptx::syncBarrier(1 + consumer, 128);
  if (thread == 0) {
    const int channel = work.phase.column * plan.channels + work.channel;
    for (int chunk = 0; chunk < Tile::kChannels / 32; ++chunk) {
      ptx::storeBox(&plan.destination, results + chunk * kChunkBytes, channel + chunk * 32, corner.column,
                    work.phase.row, corner.row, corner.image);
      if (plan.hasPre) {
        ptx::storeBox(&plan.pre, pres + chunk * kChunkBytes, channel + chunk * 32, corner.column, work.phase.row,
                      corner.row, corner.image);
      }
    }
    ptx::commitStores();
    ptx::waitStoresRead<0>();
    releasePlace(own, ring, ownPlace);
    if (plan.hasPre) releasePlace(own, ring, prePlace);
  }
  if (warp == 0) {
    __syncwarp();
    if (own.partners > 1) arriveAtAll(own, ring.written());
  }
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void consumeTile(const Plan& plan, const Place& own, const Work& work, const Ring<Tile>& ring,
                                 int consumer, Turn<Tile::kStages>& turn) {
  float sums[Tile::kParts][Tile::kChannels / 2];
#  pragma unroll
  for (int part = 0; part < Tile::kParts; ++part) {
#  pragma unroll
    for (int i = 0; i < Tile::kChannels / 2; ++i) sums[part][i] = 0.0f;
  }
  // A last slice of fewer than 64 channels is a loop of its own: a condition between the products of a stage would make
  // the compiler wait for each.
  int previous = -1;
  const int taps = work.phase.taps;
  multiplyStages<Tile, pass, 4>(own, ring, consumer, plan.k / 64 * taps, turn, previous, sums);
  const int tail = plan.k % 64 / 16;
  if (tail == 1) multiplyStages<Tile, pass, 1>(own, ring, consumer, taps, turn, previous, sums);
  if (tail == 2) multiplyStages<Tile, pass, 2>(own, ring, consumer, taps, turn, previous, sums);
  if (tail == 3) multiplyStages<Tile, pass, 3>(own, ring, consumer, taps, turn, previous, sums);
  if (previous >= 0) arriveAtAll(own, ring.empty(previous));
  finish<Tile, pass>(plan, own, work, ring, consumer, turn, sums);
}

template <class Tile, Pass pass>
LANGEVIN_DEVICE void consume(const Plan& plan, const Ring<Tile>& ring, int consumer) {
  const Place own(plan);
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
