// Buffers by integer: a handle is generation · 2²² + slot, so that a stale one is an error and never another's memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../core/dtype.h"

namespace langevin {

struct HandleError {
  std::string message;
};

class Handles {
 public:
  double add(const Buffer& buffer) {
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(entries_.size());
      if (slot >= kSlots) throw HandleError{"more than 4194303 live buffers"};
      entries_.push_back({});
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Entry& entry = entries_[slot];
    entry.buffer = buffer;
    entry.live = true;
    ++live_;
    return static_cast<double>(entry.generation) * kSlots + slot;
  }

  const Buffer& resolve(double handle) const { return entries_[slotOf(handle)].buffer; }

  Buffer remove(double handle) {
    const uint32_t slot = slotOf(handle);
    Entry& entry = entries_[slot];
    entry.live = false;
    ++entry.generation;
    free_.push_back(slot);
    --live_;
    return entry.buffer;
  }

  size_t live() const { return live_; }

  template <class F>
  void forEachLive(const F& f) const {
    for (const Entry& entry : entries_) {
      if (entry.live) f(entry.buffer);
    }
  }

 private:
  struct Entry {
    Buffer buffer;
    uint32_t generation = 1;  // so that 0 is never a handle
    bool live = false;
  };
  static constexpr uint32_t kSlots = 1u << 22;

  uint32_t slotOf(double handle) const {
    if (handle >= kSlots && handle < 9007199254740992.0) {
      const uint64_t value = static_cast<uint64_t>(handle);
      const uint32_t slot = static_cast<uint32_t>(value % kSlots);
      if (slot < entries_.size() && entries_[slot].live && entries_[slot].generation == value / kSlots) return slot;
    }
    throw HandleError{"not the handle of a live buffer: " + std::to_string(handle)};
  }

  std::vector<Entry> entries_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
};

}  // namespace langevin
