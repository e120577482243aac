// Random numbers on the device: Philox and Box–Muller of core/philox.h, one counter, four elements, a thread, bit for
// bit what every other backend draws.
#pragma once
#include "../core/philox.h"
#include "elements.h"

namespace langevin::cuda {

/// Elements of one counter.
constexpr int kDrawn = 4;

/// The words of elements [4·counter, 4·counter + 4).
LANGEVIN_DEVICE Words randomWords(const Philox& p, int64_t stepOffset, int64_t counter) {
  const uint64_t seed = static_cast<uint64_t>(p.seed);
  return philox4x32(static_cast<uint32_t>(counter), static_cast<uint32_t>(p.step + stepOffset),
                    static_cast<uint32_t>(p.stream), static_cast<uint32_t>(p.purpose), static_cast<uint32_t>(seed),
                    static_cast<uint32_t>(seed >> 32));
}

/// The normals of elements [4·counter, 4·counter + 4).
LANGEVIN_DEVICE void randomNormals(const Philox& p, int64_t stepOffset, int64_t counter, float (&normals)[kDrawn]) {
  const Words words = randomWords(p, stepOffset, counter);
  boxMuller(words.w[0], words.w[1], normals[0], normals[1]);
  boxMuller(words.w[2], words.w[3], normals[2], normals[3]);
}

}  // namespace langevin::cuda
