// What a Hopper convolution is told by the host: the shifted boxes that it multiplies, where they lie, and where the
// results go. Forward pass and input gradient are the same computation, a sum over taps
//
//   destination[pixel, n] = Σ_tap Σ_k source[pixel + shift(tap), k] · weights[slice(tap)][k, n]
//
// (forward: and then over the channels of a shortcut) with other shifts: the forward pass reads x at (row − padding,
// column − padding) of a tap; the gradient reads dy at the opposite shift. A stride of 2 is a sum at stride 1 over
// images cut into four by the parity of row and column: the forward pass reads such a cut of x, the gradient writes the
// four parts of dx one after another (phases), each from the taps whose parity fits. A cut image is a view [batch,
// height/2, 2, width/2, 2·channels] of the same memory; an uncut one is viewed as [batch, height, 1, width, channels],
// so that both take the same five coordinates.
//
// Pixels are taken in boxes of 64 or 128: 2^a columns × 2^b rows × 2^c images, whichever wastes least at the edges.
// Parts of a box outside the image are zeros when read (that is also the padding) and are not written.
#pragma once
#include "../stream.h"
#include "../tensor_map.h"

namespace langevin::cuda::sm90 {

constexpr int kMostTaps = 25;
constexpr int kMostPhases = 4;

struct Tap {
  int32_t channel;  // column parity · channels
  int32_t column;
  int32_t parity;  // of the row
  int32_t row;
  int32_t slice;  // of the weights: ky·kw + kx
};

struct Phase {
  int32_t firstTap, taps;
  int32_t row, column;  // parities of the destination's pixels
};

/// Boxes of pixels over the (phase's) grid of the destination.
struct Boxes {
  int32_t widthLog, heightLog, imagesLog;
  int32_t across, down, deep;  // how many
  LANGEVIN_INLINE int32_t count() const { return across * down * deep; }
};

struct Plan {
  CUtensorMap source, weights, shortcut, shortcutWeights, residual, destination, pre;
  Tap taps[kMostTaps];
  Phase phases[kMostPhases];
  Boxes boxes;
  int32_t tiles;                           // in order of phase, channels, pixels
  int32_t pixelTiles;                      // pairs of boxes
  int32_t channelTiles;                    // of the destination
  int32_t clusterPixels, clusterChannels;  // tiles of a cluster, 1 or 2 each
  int32_t k;                               // channels of the source, a multiple of 16
  int32_t shortcutK;                       // … of the shortcut's; 0: there is none
  int32_t channels;                        // of the destination, a multiple of 32
  int32_t columns, rows, images;           // the destination's grid, of one phase
  int32_t step;                            // of its pixels in the destination's image: 1, or 2 where there are phases
  int32_t hasResidual, hasPre;
  int32_t weightsSettled;  // they may be read while the launch before still runs
  float slope;
  const uint32_t* bias;          // bf16 pairs, or null
  const uint32_t* shortcutBias;  // likewise
  const uint32_t* signsIn;       // of the gradient's destination, or null
  uint32_t* signsOut;            // of the forward pass, or null
};

constexpr int kSlice = 64;  // channels of the source in a stage

/// Slices of so many channels; the last may be shorter.
LANGEVIN_INLINE int32_t slicesOf(int32_t channels) { return (channels + kSlice - 1) / kSlice; }

/// Stages of a tile: every slice of every tap, then those of the shortcut.
LANGEVIN_INLINE int32_t stagesOf(const Plan& plan, const Phase& phase) {
  return phase.taps * slicesOf(plan.k) + slicesOf(plan.shortcutK);
}

enum class Pass { forward, inputGradient };

/// A block's tile: 128·parts pixels × channels, in two warpgroups of 64·parts pixels each, from a ring of `stages`.
template <int parts, int channels, int stages, int blocksPerMultiprocessor>
struct Tile {
  static constexpr int kParts = parts, kChannels = channels, kStages = stages;
  static constexpr int kBlocksPerMultiprocessor = blocksPerMultiprocessor;
  static constexpr int kBoxPixels = 64 * parts;
  static constexpr int kBoxBytes = kBoxPixels * kSlice * 2;
  static constexpr int kWeightBytes = channels * kSlice * 2;
  static constexpr int kStageBytes = 2 * kBoxBytes + kWeightBytes;
  static constexpr size_t kSharedBytes = size_t{stages} * kStageBytes + (2 * stages + 1) * sizeof(uint64_t);
  /// Width in channels of the weights' rows where they are read MN-major (forward): 64 where that divides the tile.
  static constexpr int kChunk = channels % 64 == 0 ? 64 : 32;
  static_assert(kBoxPixels * channels * 2 <= kStageBytes, "a warpgroup's results fit a stage");
  static_assert(stages >= 4, "results and pre-activations of two warpgroups have a stage each");
};

// Registers: a thread sums parts·channels/2 numbers (160 in the largest tile, one block per multiprocessor). The narrow
// tiles are bound by memory, and two blocks hide each other's latencies.
using Tile256x160 = Tile<2, 160, 4, 1>;
using Tile128x160 = Tile<1, 160, 6, 1>;
using Tile256x128 = Tile<2, 128, 4, 1>;
using Tile128x128 = Tile<1, 128, 6, 1>;
using Tile128x64 = Tile<1, 64, 4, 2>;
using Tile128x32 = Tile<1, 32, 5, 2>;

constexpr int kOutputChunk = 32;  // channels of a box of results: 64 bytes, swizzled over 64
constexpr int kConsumers = 2;     // warpgroups that multiply; a third one loads
constexpr int kBlockThreads = 128 * (kConsumers + 1);

// ---- what the passes share on the host (convolution_sm90_plan.cc) ----

/// Whether the shape is one of these kernels': sizes are bounded so that coordinates and indices of sign words fit 32
/// bits.
bool takes(const ConvShape& s, DType dtype);
inline bool aligned(const void* p, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

struct Image {
  const void* base;
  int64_t batch, height, width, channels;
  bool cut;  // by the parity of rows and columns
};
/// The view with five coordinates, in boxes of `channels` channels.
TensorView viewOf(const Image& image, const Boxes& boxes, int channels, int swizzleBytes);

/// The boxes of 2^pixelsLog pixels that cover a grid with the fewest; of equal ones the widest, then the highest.
Boxes coverWith(int pixelsLog, int64_t columns, int64_t rows, int64_t images);

/// The taps of the forward pass; returns their number.
int tapsOfForward(Tap* taps, const ConvShape& s);

/// How many clusters of 2 and of 4 blocks of a kernel the GPU runs at once.
struct ActiveClusters {
  int ofTwo, ofFour;
  ActiveClusters(const Stream& stream, const void* kernel, size_t sharedBytes);
  int64_t blocks(int cluster) const { return int64_t{cluster} * (cluster == 4 ? ofFour : ofTwo); }
};

/// The kernels, by pass and tile (convolution_sm90_forward.cu, convolution_sm90_input.cu).
using Kernel = void (*)(Plan);
template <class Tile>
Kernel forwardKernel();
template <class Tile>
Kernel inputGradientKernel();

}  // namespace langevin::cuda::sm90
