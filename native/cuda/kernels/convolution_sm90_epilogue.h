// From sums to results (convolution_sm90_kernel.h): bias, residual, activation and sign bits in registers, then by way
// of the ring's places to memory.
#pragma once
#include "../wgmma.h"
#include "convolution_sm90_ring.h"

namespace langevin::cuda::sm90 {

#if defined(LANGEVIN_HOPPER)

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

/// What a thread needs for its results besides the residual: the bias of its channels (forward), or the sign bits of
/// its pixels (gradient). Loaded before the products, so that nobody waits for it after them.
template <class Tile, Pass pass>
struct Operands {
  static constexpr int kChunks = Tile::kChannels / kOutputChunk;
  uint32_t words[pass == Pass::forward ? Tile::kChannels / 8 : Tile::kParts * 2 * kChunks];

  LANGEVIN_DEVICE Operands(const Plan& plan, const Work& work, const Corner& corner) {
    const int thread = threadIdx.x % 128, lane = thread % 32;
    if constexpr (pass == Pass::forward) {
#  pragma unroll
      for (int j = 0; j < Tile::kChannels / 8; ++j) {
        words[j] = plan.bias ? plan.bias[(work.channel + j * 8) / 2 + lane % 4] : 0;
      }
    } else {
#  pragma unroll
      for (int i = 0; i < 2 * Tile::kParts; ++i) {
        const int pixel = i / 2 * 64 + thread / 32 * 16 + i % 2 * 8 + lane / 4;
        const int word = plan.signsIn ? signWord<Tile>(plan, work, corner, pixel) : -1;
#  pragma unroll
        for (int chunk = 0; chunk < kChunks; ++chunk) {
          words[i * kChunks + chunk] = word < 0 ? ~0u : plan.signsIn[word + chunk];
        }
      }
    }
  }
  /// Bias of the pair of channels 8·j + 2·quad of a chunk.
  LANGEVIN_DEVICE uint32_t bias(int chunk, int j) const { return pass == Pass::forward ? words[chunk * 4 + j] : 0; }
  /// Sign bits of a chunk of the pixel in half `h` of a part.
  LANGEVIN_DEVICE uint32_t signs(int part, int h, int chunk) const {
    return pass == Pass::forward ? 0 : words[(part * 2 + h) * kChunks + chunk];
  }
};

/// Two neighbouring results from their sums; `residual`, `bias`: bf16 pairs; `bits`: the pair's sign bits, in or out.
template <Pass pass>
LANGEVIN_DEVICE uint32_t finishPair(const Plan& plan, float low, float high, uint32_t bias, uint32_t residual,
                                    uint32_t& bits, uint32_t& pre) {
  if constexpr (pass == Pass::forward) {
    low += ptx::lowBf16(bias), high += ptx::highBf16(bias);
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
                            const Corner& corner, const Operands<Tile, pass>& operands, Turn<Tile::kStages>& turn,
                            const float (&sums)[Tile::kParts][Tile::kChannels / 2]) {
  constexpr int kChunkBytes = Tile::kBoxPixels * kOutputChunk * 2;
  const int thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32, quad = lane % 4;
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
  const bool writesSigns = pass == Pass::forward && plan.signsOut;
  int words[Tile::kParts][2] = {};
  if (writesSigns) {
#  pragma unroll
    for (int i = 0; i < 2 * Tile::kParts; ++i) {
      words[i / 2][i % 2] = signWord<Tile>(plan, work, corner, i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4);
    }
  }

#  pragma unroll
  for (int chunk = 0; chunk < Tile::kChannels / 32; ++chunk) {
#  pragma unroll
    for (int part = 0; part < Tile::kParts; ++part) {
      uint32_t signs[2] = {operands.signs(part, 0, chunk), operands.signs(part, 1, chunk)};
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
          values[i] = finishPair<pass>(plan, sum[0], sum[1], operands.bias(chunk, j), values[i], bits, pre[i]);
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

#endif  // LANGEVIN_HOPPER

}  // namespace langevin::cuda::sm90
