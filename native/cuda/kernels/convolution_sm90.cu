// Convolutions on Hopper (bf16, f32 sums): which kernel takes which shape. convolution_sm90_plan.h says what is
// computed, convolution_sm90_kernel.h how; convolution_sm90_weight.cu has the weight gradient.
//
// Algorithm: implicit GEMM on NHWC images. TMA copies shifted boxes of pixels, with zeros outside the image as padding;
// wgmma multiplies them by a tap's weights, both from shared memory; a producer thread runs ahead through a ring of
// barriers. Blocks make one tile after another, in clusters of up to 2 × 2 (pixels × channels) that share what they
// load. The epilogue adds bias and residual, applies LeakyReLU, keeps its sign bits, and writes by TMA. A kernel may
// start while the one before it still runs (programmatic dependent launch), and loads its first weights then.
//
// Taken: 1×1 to 5×5 kernels, stride 1, or 2 over even heights and widths; channels of the source a multiple of 16, of
// the destination of 32. A slice of fewer than 64 channels at the end is multiplied in steps of 16, without waste.
//
// A shortcut (1×1, of another image, added: where a residual block changes its shape) is K loop as well: its channels
// follow those of the taps, into the same sums. Its channels must be a multiple of 16.
//
// Tiles (pixels × channels): channels 160 where that divides them (all of WRN-28-10's), else 128, 64 or 32; pixels 256,
// or 128 where 256 would leave multiprocessors idle. Per stage of 64 channels, at the peak of 4096 operations a clock:
//
//              clocks   shared memory: written + read   of 128 bytes a clock   from L2, cluster 1, 2×1, 2×2
//   256 × 160   1280     52 + 112 KiB                   102 %                  52, 42, 26 KiB
//   128 × 160    640     36 + 56 KiB                    115 %                  36, 26, 18 KiB
//
// (pixels are read once, weights once for each 64 pixels). So shared memory binds at 98 and 87 % of the peak; and stage
// 3 of WRN-28-10 (128 × 160, 128 blocks) asks L2 for 12.9, 9.3 or 6.5 TB/s at the peak rate, where about 5.5 to 8 are
// to be had: that is what clusters are for. At 750 TFLOP/s it is 4.9 in clusters of 2 × 2.
//
// Per convolution of WRN-28-10, batch 64: operations 30.2 GFLOP (60.4 where channels double), bytes 34 to 67 MB (input,
// weights, output, residual, signs once): 30.5 µs at the peak of 989 TFLOP/s, 11 to 22 µs at 3.0 TB/s, so the matrix
// units bind. The tiles use 97 % of the issued products at 132 multiprocessors (1.94 waves of 256 × 160 in stage 1,
// 0.97 of one in stages 2 and 3). Predicted: 44 to 50 µs, 600 to 690 TFLOP/s: 750 TFLOP/s in the loop, as large matrix
// products reach, 97 % waves, and about 3 µs to fill the ring and to write the last tile. Not measured on hardware.
//
// Registers (ptxas, sm_90a): 168 at launch in the tiles of 128 and 160 channels, no spills; setmaxnreg then gives the
// producer 56 and the others 224. 53 to 80 in the narrow ones, of which two blocks share a multiprocessor.
//
// Dropped: weights in rows of 128 bytes for 160 channels in the forward pass (2.5 such rows: 24 KiB a stage instead of
// 20); a producer limited to 24 or 40 registers (it spilled); products left unfinished from the loop of whole slices
// into that of the last one (ptxas then waited for each product, C7515).
#include <utility>

#include "../../core/counts.h"
#include "../convolution.h"
#include "convolution_sm90_plan.h"

namespace langevin::cuda::sm90 {

namespace {

/// The gradient of pixel (i·stride + row, …) reads dy at i + (row + padding − ky) / stride where that is whole. Phases
/// with more taps come first, so that the longest blocks do not start last. Returns their number.
int tapsOfGradient(Plan& plan, const ConvShape& s) {
  int phases = 0, count = 0;
  const int64_t parities = s.stride;
  for (int64_t phase = 0; phase < parities * parities; ++phase) {
    const int64_t row = phase / parities, column = phase % parities;
    Phase made = {count, 0, static_cast<int32_t>(row), static_cast<int32_t>(column)};
    for (int64_t ky = 0; ky < s.kh; ++ky) {
      for (int64_t kx = 0; kx < s.kw; ++kx) {
        const int64_t dy = row + s.padding - ky, dx = column + s.padding - kx;
        if (dy % s.stride != 0 || dx % s.stride != 0) continue;
        plan.taps[count++] = {0, static_cast<int32_t>(dx / s.stride), 0, static_cast<int32_t>(dy / s.stride),
                              static_cast<int32_t>(ky * s.kw + kx)};
      }
    }
    made.taps = count - made.firstTap;
    int at = phases++;
    for (; at > 0 && plan.phases[at - 1].taps < made.taps; --at) plan.phases[at] = plan.phases[at - 1];
    plan.phases[at] = made;
  }
  return phases;
}

/// One convolution, with everything of the plan but what depends on the tile.
struct Job {
  Pass pass;
  ConvShape s;
  Image source, destination;
  const void *weights, *residual, *pre;
  int phases;
  Plan plan;
  ConvShortcut shortcut = {};
};

template <class Tile>
TensorView weightsOf(Pass pass, const void* weights, const ConvShape& s) {
  const int64_t slices = s.kh * s.kw, slice = s.cin * s.cout;
  TensorView view;
  view.base = weights;
  if (pass == Pass::forward) {
    view.swizzleBytes = Tile::kChunk * 2;
    view.axis(Tile::kChunk, 1, Tile::kChunk).axis(s.cin, s.cout, kSlice / 2);
    view.axis(s.cout / Tile::kChunk, Tile::kChunk, Tile::kChannels / Tile::kChunk).axis(slices, slice, 1);
  } else {
    view.swizzleBytes = 128;
    view.axis(s.cout, 1, kSlice).axis(s.cin, s.cout, Tile::kChannels / 2).axis(slices, slice, 1);
  }
  return view;
}

template <class Tile>
int64_t tilesOf(const Plan& plan, int phases) {
  constexpr int kPixelsLog = Tile::kParts == 2 ? 7 : 6;
  const Boxes boxes = coverWith(kPixelsLog, plan.columns, plan.rows, plan.images);
  return ceilDiv(boxes.count(), 2) * (plan.channels / Tile::kChannels) * phases;
}

/// Sets the largest cluster that the tiles fill and that costs no further wave (clusters may leave multiprocessors of a
/// group idle); returns how many blocks run at once.
template <class Tile>
int64_t chooseCluster(Stream& stream, Job& job) {
  Plan& plan = job.plan;
  plan.clusterPixels = plan.clusterChannels = 1;
  const int64_t alone = int64_t{stream.gpu().multiprocessors} * Tile::kBlocksPerMultiprocessor;
  if constexpr (Tile::kChannels >= 128) {
    // Every place of the ring must hold a stage of each tile: Ring::written counts on it.
    if (stagesOf(plan, plan.phases[job.phases - 1]) < Tile::kStages) return alone;  // of the shortest phase
    static const ActiveClusters forward(stream, reinterpret_cast<const void*>(forwardKernel<Tile>()),
                                        Tile::kSharedBytes);
    static const ActiveClusters gradient(stream, reinterpret_cast<const void*>(inputGradientKernel<Tile>()),
                                         Tile::kSharedBytes);
    const ActiveClusters& active = job.pass == Pass::forward ? forward : gradient;
    for (const auto& [pixels, channels] : {std::pair{2, 2}, std::pair{2, 1}, std::pair{1, 2}}) {
      if (plan.pixelTiles % pixels != 0 || plan.channelTiles % channels != 0) continue;
      const int64_t together = active.blocks(pixels * channels);
      if (together == 0 || ceilDiv(plan.tiles, together) > ceilDiv(plan.tiles, alone)) continue;
      plan.clusterPixels = pixels;
      plan.clusterChannels = channels;
      return together;
    }
  }
  return alone;
}

template <class Tile>
void run(Stream& stream, Job& job) {
  constexpr int kPixelsLog = Tile::kParts == 2 ? 7 : 6;
  Plan& plan = job.plan;
  plan.boxes = coverWith(kPixelsLog, plan.columns, plan.rows, plan.images);
  plan.pixelTiles = static_cast<int32_t>(ceilDiv(plan.boxes.count(), 2));
  plan.channelTiles = plan.channels / Tile::kChannels;
  plan.source = tensorMap(viewOf(job.source, plan.boxes, kSlice, 128));
  plan.weights = tensorMap(weightsOf<Tile>(job.pass, job.weights, job.s));
  if (job.shortcut.x) {
    Image image = job.source;
    image.base = job.shortcut.x, image.channels = job.shortcut.channels;
    plan.shortcut = tensorMap(viewOf(image, plan.boxes, kSlice, 128));
    plan.shortcutWeights =
        tensorMap(weightsOf<Tile>(job.pass, job.shortcut.weight, job.s.shortcut(job.shortcut.channels)));
  }
  Image image = job.destination;
  plan.destination = tensorMap(viewOf(image, plan.boxes, kOutputChunk, 64));
  image.base = job.residual;
  if (job.residual) plan.residual = tensorMap(viewOf(image, plan.boxes, kOutputChunk, 64));
  image.base = job.pre;
  if (job.pre) plan.pre = tensorMap(viewOf(image, plan.boxes, kOutputChunk, 64));

  const Kernel kernel = job.pass == Pass::forward ? forwardKernel<Tile>() : inputGradientKernel<Tile>();
  plan.tiles = plan.pixelTiles * plan.channelTiles * job.phases;
  const int64_t together = chooseCluster<Tile>(stream, job);
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(smaller(plan.tiles, together)));
  shape.block = dim3(kBlockThreads);
  shape.sharedBytes = Tile::kSharedBytes;
  shape.cluster = static_cast<unsigned>(plan.clusterPixels * plan.clusterChannels);
  shape.overlapPrevious = true;
  shape.writes[0] = job.destination.base;
  shape.writes[1] = job.pre;
  plan.weightsSettled = stream.settled(job.weights) && (!job.shortcut.x || stream.settled(job.shortcut.weight));
  stream.launch(kernel, shape, plan);
}

/// The tile of 128 pixels costs a little more than half of that of 256 (it reads more shared memory a product); it is
/// taken where the last wave of 256 would be mostly idle.
template <class Large, class Small>
void runLargeOrSmall(Stream& stream, Job& job) {
  const int64_t together = stream.gpu().multiprocessors;
  const double large = 2.0 * static_cast<double>(ceilDiv(tilesOf<Large>(job.plan, job.phases), together));
  const double small = 1.1 * static_cast<double>(ceilDiv(tilesOf<Small>(job.plan, job.phases), together));
  return large <= small ? run<Large>(stream, job) : run<Small>(stream, job);
}

void runAny(Stream& stream, Job& job) {
  const int channels = job.plan.channels;
  if (channels % 160 == 0) return runLargeOrSmall<Tile256x160, Tile128x160>(stream, job);
  if (channels % 128 == 0) return runLargeOrSmall<Tile256x128, Tile128x128>(stream, job);
  if (channels % 64 == 0) return run<Tile128x64>(stream, job);
  run<Tile128x32>(stream, job);
}

Plan planOf(const ConvShape& s, double slope) {
  Plan plan = {};
  plan.slope = static_cast<float>(slope);
  plan.images = static_cast<int32_t>(s.batch);
  return plan;
}

}  // namespace

bool forward(Stream& stream, const ConvForward& c) {
  const ConvShape& s = c.s;
  if (!takes(s, c.dtype) || s.cin % 16 != 0 || s.cout % 32 != 0) return false;
  for (const void* p : {c.x, c.weight, c.residual, c.shortcut.x, c.shortcut.weight, static_cast<const void*>(c.y),
                        static_cast<const void*>(c.pre)}) {
    if (!aligned(p, 16)) return false;
  }
  if (!aligned(c.bias, 4) || !aligned(c.shortcut.bias, 4) || !aligned(c.signs, 4)) return false;
  if (c.shortcut.x && (c.shortcut.channels % 16 != 0 || !takes(s.shortcut(c.shortcut.channels), c.dtype))) return false;
  Job job{Pass::forward,
          s,
          {c.x, s.batch, s.height, s.width, s.cin, s.stride == 2},
          {c.y, s.batch, s.outHeight(), s.outWidth(), s.cout, false},
          c.weight,
          c.residual,
          c.pre,
          1,
          planOf(s, c.slope),
          c.shortcut};
  Plan& plan = job.plan;
  plan.phases[0] = {0, tapsOfForward(plan.taps, s), 0, 0};
  plan.k = static_cast<int32_t>(s.cin);
  plan.shortcutK = static_cast<int32_t>(c.shortcut.channels);
  plan.channels = static_cast<int32_t>(s.cout);
  plan.columns = static_cast<int32_t>(s.outWidth());
  plan.rows = static_cast<int32_t>(s.outHeight());
  plan.step = 1;
  plan.hasResidual = c.residual != nullptr;
  plan.hasPre = c.pre != nullptr;
  plan.bias = static_cast<const uint32_t*>(c.bias);
  plan.shortcutBias = static_cast<const uint32_t*>(c.shortcut.bias);
  plan.signsOut = reinterpret_cast<uint32_t*>(c.signs);
  runAny(stream, job);
  return true;
}

bool backwardInput(Stream& stream, const ConvBackwardInput& c) {
  const ConvShape& s = c.s;
  if (!takes(s, c.dtype) || s.cout % 16 != 0 || s.cin % 32 != 0) return false;
  for (const void* p : {c.dy, c.weight, c.add, static_cast<const void*>(c.dx)}) {
    if (!aligned(p, 16)) return false;
  }
  if (!aligned(c.signs, 4)) return false;
  Job job{Pass::inputGradient,
          s,
          {c.dy, s.batch, s.outHeight(), s.outWidth(), s.cout, false},
          {c.dx, s.batch, s.height, s.width, s.cin, s.stride == 2},
          c.weight,
          c.add,
          nullptr,
          0,
          planOf(s, c.slope)};
  Plan& plan = job.plan;
  job.phases = tapsOfGradient(plan, s);
  plan.k = static_cast<int32_t>(s.cout);
  plan.channels = static_cast<int32_t>(s.cin);
  plan.step = static_cast<int32_t>(s.stride);
  plan.columns = static_cast<int32_t>(s.width / s.stride);
  plan.rows = static_cast<int32_t>(s.height / s.stride);
  plan.hasResidual = c.add != nullptr;
  plan.signsIn = reinterpret_cast<const uint32_t*>(c.signs);
  runAny(stream, job);
  return true;
}

}  // namespace langevin::cuda::sm90
