#include "pool.h"

namespace langevin {

size_t Pool::blockSize(size_t bytes) {
#if defined(LANGEVIN_EMULATED)
  // Blocks end where what they hold does, so that the emulator's guard pages see accesses just outside of it.
  return bytes == 0 ? 16 : (bytes + 15) / 16 * 16;
#endif
  if (bytes <= 64) return 64;
  if (bytes <= 1024) return (bytes + 63) / 64 * 64;
  size_t power = 1024;
  while (power <= bytes / 2) power *= 2;  // power <= bytes < 2·power
  const size_t step = power / 8;
  return (bytes + step - 1) / step * step;
}

/// The size of the largest block that a request of this size takes.
static size_t mostReused(size_t size) {
#if defined(LANGEVIN_EMULATED)
  return size;
#else
  return size * Pool::kMostReuse;
#endif
}

void* Pool::take(size_t bytes) {
  const size_t wanted = blockSize(bytes);
  size_t size = wanted;
  void* block = nullptr;
  const auto found = free_.lower_bound(wanted);
  if (found != free_.end() && found->first <= mostReused(wanted)) {
    size = found->first;
    block = found->second.back();
    if (size != wanted) largerThanAsked_.emplace(block, size);
    found->second.pop_back();
    if (found->second.empty()) free_.erase(found);
    cached_ -= size;
  } else {
    if (limit_ != 0 && (live_ + cached_ > limit_ || size > limit_ - live_ - cached_)) return nullptr;
    block = allocate_(size);
    if (!block) return nullptr;
  }
  live_ += size;
  if (live_ > peak_) peak_ = live_;
  return block;
}

void Pool::give(void* block, size_t bytes) {
  size_t size = blockSize(bytes);
  const auto larger = largerThanAsked_.find(block);
  if (larger != largerThanAsked_.end()) {
    size = larger->second;
    largerThanAsked_.erase(larger);
  }
  free_[size].push_back(block);
  live_ -= size;
  cached_ += size;
}

void Pool::trim() {
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) release_(block, size);
    cached_ -= size * blocks.size();
  }
  free_.clear();
}

}  // namespace langevin
