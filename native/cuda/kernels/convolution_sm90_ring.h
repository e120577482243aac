// Where the blocks of a Hopper convolution keep their stages, and which tile and which share of it is theirs.
#pragma once
#include "convolution_sm90_plan.h"

namespace langevin::cuda::sm90 {

#if defined(LANGEVIN_HOPPER)

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

/// This block's place in its cluster, which is 1 or 2 pixel tiles × 1 or 2 channel tiles; pixels are the fast axis. (In
/// the weight gradient: rows of weights × channels.)
struct Place {
  int pixel, channel;  // 0 or 1
  /// The blocks with the same channels, and those with the same pixels, this one included, as a mask of ranks.
  uint16_t sameChannels, samePixels;
  int partners;  // blocks with either, this one included
  /// Ranks of the partners with the same channels and with the same pixels; its own where there is none.
  uint32_t rank, channelPartner, pixelPartner;

  LANGEVIN_DEVICE Place(int pixels, int channels) {
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
    iterations = stagesOf(plan, phase);
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

#endif  // LANGEVIN_HOPPER

}  // namespace langevin::cuda::sm90
