// The loops around the kernel, and what happens to its sums: bias, residual, LeakyReLU, sign bits (Epilogues).
#pragma once
#include "convolution_pack.h"

namespace langevin::LANGEVIN_ISA {

/// Brings the lines of `pixels` runs of `count` values to L1 while the kernel computes what is to be written there:
/// outputs of the layer before have long left the caches.
template <class S>
LANGEVIN_INLINE void prefetchPixels(const S* p, int64_t stride, int64_t pixels, int64_t count) {
  constexpr int64_t line = 64 / sizeof(S);
  for (int64_t k = 0; k < pixels; ++k) {
    for (int64_t i = 0; i < count; i += line) __builtin_prefetch(p + k * stride + i, 1);
  }
}

/// Pixels pixel, pixel + step, … of an image tensor, and the channels of one column of vectors of them.
struct PixelRun {
  int64_t pixel, step, pixels;
  int64_t channel, count;  // count <= width
  int64_t width;           // of the sums of one pixel
};

/// z = sum + bias + residual → pre; y = z > 0 ? z : slope·z; signs: bits z > 0.
template <class S>
struct ForwardEpilogue {
  using T = ComputeOf<S>;
  static constexpr int L = Vec<T>::lanes;
  /// Whether the sign bits of a vector of channels are whole bytes: then, and only then, are they written here.
  static bool writesSigns(int64_t channels) { return L % 8 == 0 && channels % 8 == 0; }

  int64_t channels;
  const S *bias, *residual;
  S *y, *pre;
  uint8_t* signs;
  T slope;

  LANGEVIN_INLINE void prefetch(const PixelRun& run) const {
    const int64_t base = run.pixel * channels + run.channel, stride = run.step * channels;
    prefetchPixels(y + base, stride, run.pixels, run.count);
    if (residual) prefetchPixels(residual + base, stride, run.pixels, run.count);
  }

  LANGEVIN_INLINE void operator()(const PixelRun& run, const T* sums) const {
    for (int64_t i = 0; i < run.count; i += L) {
      if (run.count - i >= L) {
        vectorColumn(run, sums, i, L);
      } else {
        vectorColumn(run, sums, i, run.count - i);
      }
    }
  }

  LANGEVIN_INLINE void vectorColumn(const PixelRun& run, const T* sums, int64_t i, int64_t n) const {
    const Vec<T> constant = constantOf(run.channel + i, n);
    int64_t base = run.pixel * channels + run.channel + i;
    for (int64_t p = 0; p < run.pixels; ++p, base += run.step * channels) {
      finish(Vec<T>::load(sums + p * run.width + i), constant, base, n);
    }
  }

  /// What is the same for all pixels of n channels.
  LANGEVIN_INLINE Vec<T> constantOf(int64_t channel, int64_t n) const {
    return bias ? loadLanes<T>(bias + channel, n) : Vec<T>::zero();
  }

  /// n elements of the output from element `base` on.
  LANGEVIN_INLINE void finish(Vec<T> sum, Vec<T> constant, int64_t base, int64_t n) const {
    Vec<T> z = sum + constant;
    if (residual) z = z + loadLanes<T>(residual + base, n);
    if (pre) storeLanes(z, pre + base, n);
    if (signs || slope != 1) {
      const uint32_t bits = positiveBits(z);
      if (signs) std::memcpy(signs + base / 8, &bits, static_cast<size_t>(n / 8));
      z = select(bits, z, Vec<T>::broadcast(slope) * z);
    }
    storeLanes(z, y + base, n);
  }
};

/// dx = sum · (sign bit ? 1 : slope) + add.
template <class S>
struct BackwardEpilogue {
  using T = ComputeOf<S>;
  static constexpr int L = Vec<T>::lanes;

  int64_t channels;
  const uint8_t* signs;
  const S* add;
  S* dx;
  T slope;

  LANGEVIN_INLINE void prefetch(const PixelRun& run) const {
    const int64_t base = run.pixel * channels + run.channel, stride = run.step * channels;
    prefetchPixels(dx + base, stride, run.pixels, run.count);
    if (add) prefetchPixels(add + base, stride, run.pixels, run.count);
  }

  LANGEVIN_INLINE uint32_t bitsAt(int64_t i, int64_t n) const {
    uint32_t bits = 0;
    if (L % 8 == 0 && channels % 8 == 0 && n == L) {
      std::memcpy(&bits, signs + i / 8, L / 8);
    } else {
      for (int64_t k = 0; k < n; ++k) bits |= static_cast<uint32_t>(signs[(i + k) / 8] >> ((i + k) % 8) & 1) << k;
    }
    return bits;
  }

  LANGEVIN_INLINE void operator()(const PixelRun& run, const T* sums) const {
    for (int64_t i = 0; i < run.count; i += L) {
      if (run.count - i >= L) {
        vectorColumn(run, sums, i, L);
      } else {
        vectorColumn(run, sums, i, run.count - i);
      }
    }
  }

  LANGEVIN_INLINE void vectorColumn(const PixelRun& run, const T* sums, int64_t i, int64_t n) const {
    int64_t base = run.pixel * channels + run.channel + i;
    for (int64_t p = 0; p < run.pixels; ++p, base += run.step * channels) {
      finish(Vec<T>::load(sums + p * run.width + i), Vec<T>::zero(), base, n);
    }
  }

  LANGEVIN_INLINE Vec<T> constantOf(int64_t, int64_t) const { return Vec<T>::zero(); }

  LANGEVIN_INLINE void finish(Vec<T> v, Vec<T>, int64_t base, int64_t n) const {
    if (signs) v = select(bitsAt(base, n), v, Vec<T>::broadcast(slope) * v);
    if (add) v = v + loadLanes<T>(add + base, n);
    storeLanes(v, dx + base, n);
  }
};

/// The input of tile t, to be brought to L2 while the tile before is computed; nothing where it is not one range.
template <class T, class S>
static Ahead inputOfTile(const Plan<T>& plan, const SourceView<S>& x, int64_t t) {
  const Geometry& g = plan.g;
  if (t >= plan.tiles || x.channel != 1 || plan.chunks > 1) return {reinterpret_cast<const char*>(x.data), 0};
  const int64_t image = t / plan.bands * plan.tileImages, row = t % plan.bands * plan.bandRows * g.step + plan.minRow;
  const int64_t images = least(plan.tileImages, g.batch - image);
  const int64_t begin = most(0, row), end = most(begin, least(g.sourceHeight, row + plan.imageRows));
  const int64_t bytes = ((images - 1) * x.image + (end - begin) * x.row) * static_cast<int64_t>(sizeof(S));
  return {reinterpret_cast<const char*>(x.data + image * x.image + begin * x.row),
          ceilDivide(bytes, most(1, plan.aheadSteps))};
}

/// A phase that no tap reaches, as three of four are in the gradient of a 1×1 convolution of stride 2: its sums are
/// zero.
template <class T, class Epilogue>
static void finishZeros(const Geometry& g, const Phase& phase, int64_t image, int64_t images, int64_t firstRow,
                        int64_t rows, int64_t channel, int64_t width, const Epilogue& epilogue) {
  alignas(64) const T zeros[kMaxPixels * kMaxVectors * Vec<T>::lanes] = {};
  const int64_t count = least(width, g.outChannels - channel);
  for (int64_t i = image; i < image + images; ++i) {
    for (int64_t row = firstRow; row < firstRow + rows; ++row) {
      const int64_t pixel = (i * g.outHeight + phase.row + row * g.outStep) * g.outWidth + phase.column;
      for (int64_t column = 0; column < phase.columns; column += kMaxPixels) {
        const int64_t pixels = least(kMaxPixels, phase.columns - column);
        epilogue(PixelRun{pixel + column * g.outStep, g.outStep, pixels, channel, count, width}, zeros);
      }
    }
  }
}

/// One phase of one tile for one column of q vectors: every segment of the tile, R at a time.
template <class T, class Epilogue>
static void multiplyPhase(const Plan<T>& plan, const Phase& phase, int q, int64_t image, int64_t images,
                          int64_t firstRow, int64_t blocks, bool tail, bool first, bool last, const T* tile,
                          const T* weight, int64_t channel, T*& sums, Ahead& ahead, const Epilogue& epilogue) {
  const Geometry& g = plan.g;
  constexpr int64_t L = Plan<T>::lanes;
  const MultiplyKernel<T>& kernel = plan.kernels[q];
  const int64_t rows = least(plan.bandRows, phase.rows - firstRow);
  if (rows <= 0 || phase.columns <= 0) return;
  if (phase.taps == 0) {
    if (last) finishZeros<T>(g, phase, image, images, firstRow, rows, channel, q * L, epilogue);
    return;
  }
  const int64_t perRow = plan.segmentsPerRow(phase, q);
  const int64_t* offsets = plan.offsets + plan.chunkBlocks * phase.firstTap;
  const int64_t depth = g.pitch != kChannelBlock ? g.sourceChannels : kChannelBlock;
  const int64_t steps = blocks * phase.taps;
  const int64_t width = q * L, count = least(width, g.outChannels - channel);

  struct Segment {
    int64_t image, row, index;
  } segment = {0, 0, 0};
  const int64_t total = images * rows * perRow;
  for (int64_t done = 0; done < total; done += kernel.segments) {
    const T* pointers[kMaxSegments];
    PixelRun runs[kMaxSegments];
    int64_t skipped[kMaxSegments];
    const int live = static_cast<int>(least(kernel.segments, total - done));
    for (int r = 0; r < kernel.segments; ++r) {
      if (r >= live) {
        pointers[r] = pointers[0];
        continue;
      }
      // The last segment of a row is moved left to end with it; its first pixels were computed by the one before.
      const int64_t wanted = segment.index * kernel.segment;
      const int64_t start = most(0, least(wanted, phase.columns - kernel.segment));
      pointers[r] = tile + (segment.image * plan.imageRows + segment.row * g.step) * plan.rowPitch + start * g.pitch;
      skipped[r] = wanted - start;
      runs[r] = {
          ((image + segment.image) * g.outHeight + phase.row + (firstRow + segment.row) * g.outStep) * g.outWidth +
              phase.column + wanted * g.outStep,
          g.outStep,
          least(kernel.segment, phase.columns - start) - skipped[r],
          channel,
          count,
          width};
      if (last) epilogue.prefetch(runs[r]);
      if (++segment.index == perRow) {
        segment.index = 0;
        if (++segment.row == rows) segment.row = 0, ++segment.image;
      }
    }
    kernel.run(pointers, offsets, steps, depth, weight, sums, !first, ahead);
    ahead.next += ahead.step * (steps * depth / kAheadInterval);
    if (tail) {
      kernel.run(pointers, offsets + steps, phase.taps, plan.tailDepth, weight + steps * depth * width, sums, true,
                 {ahead.next, 0});
    }
    if (last) {
      for (int r = 0; r < live; ++r) epilogue(runs[r], sums + (r * kernel.segment + skipped[r]) * width);
    }
    if (plan.chunks > 1) sums += kernel.segments * kernel.segment * width;
  }
}

template <class T, class S, class Epilogue>
static void convolve(Stream& stream, const Plan<T>& plan, const SourceView<S>& x, const WeightView<S>& w,
                     const Epilogue& epilogue) {
  const Geometry& g = plan.g;
  constexpr int64_t L = Plan<T>::lanes;
  stream.parallel(plan.superBlocks * plan.groups, [&](int64_t block, int thread) {
    const int64_t superBlock = block / plan.groups, group = block % plan.groups;
    const int64_t firstVector = superBlock * plan.vectors;
    const int64_t vectors = least(plan.vectors, ceilDivide(g.outChannels, L) - firstVector);
    T* panel = static_cast<T*>(stream.scratch(thread, 0, sizeof(T) * plan.blockWeights * plan.vectors * L));
    T* tile = static_cast<T*>(stream.scratch(thread, 1, sizeof(T) * plan.chunkBlocks * plan.blockPitch + 64));
    T* allSums = static_cast<T*>(stream.scratch(thread, 2, sizeof(T) * plan.sumsPerTask));
    int64_t& held = plan.held[thread * 8];

    for (int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
      const int64_t firstBlock = chunk * plan.chunkBlocks, blocks = least(plan.chunkBlocks, plan.blocks - firstBlock);
      const bool tail = plan.tailDepth > 0 && firstBlock + blocks == plan.blocks;
      if (held != superBlock * plan.chunks + chunk) {
        packWeights(plan, w, superBlock, chunk, panel);
        held = superBlock * plan.chunks + chunk;
      }
      T* sums = allSums;
      const int64_t end = least(plan.tiles, (group + 1) * plan.tilesPerTask);
      for (int64_t t = group * plan.tilesPerTask; t < end; ++t) {
        const int64_t image = t / plan.bands * plan.tileImages, firstRow = t % plan.bands * plan.bandRows;
        const int64_t images = least(plan.tileImages, g.batch - image);
        const int64_t rows = (least(plan.bandRows, plan.gridRows - firstRow) - 1) * g.step + plan.rowSpan;
        for (int64_t i = 0; i < images; ++i) {
          packRows(plan, x, image + i, firstRow * g.step + plan.minRow, rows, firstBlock, blocks,
                   tile + i * plan.imageRows * plan.rowPitch);
        }
        // Past the task's last tile, a guess at which task this thread takes next.
        Ahead ahead = inputOfTile(plan, x, t + 1 < end ? t + 1 : (group + stream.threads()) * plan.tilesPerTask);
        for (int64_t i = 0; i < g.phaseCount; ++i) {
          const Phase& phase = g.phases[i];
          const int64_t depth = g.pitch != kChannelBlock ? g.sourceChannels : kChannelBlock;
          for (int64_t v = 0; v < vectors; v += kMaxVectors) {
            const int q = static_cast<int>(least(kMaxVectors, vectors - v));
            const T* weight = panel + plan.blockWeights * v * L + phase.firstTap * plan.chunkBlocks * depth * q * L;
            multiplyPhase(plan, phase, q, image, images, firstRow, blocks - tail, tail, chunk == 0,
                          chunk == plan.chunks - 1, tile, weight, (firstVector + v) * L, sums, ahead, epilogue);
          }
        }
      }
    }
  });
}

}  // namespace langevin::LANGEVIN_ISA
