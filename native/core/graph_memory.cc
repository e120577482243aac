#include "graph_memory.h"

namespace langevin {

GraphMemory::~GraphMemory() {
  if (capturing_) endCapture();
  graphs_.clear();
  release();
}

void GraphMemory::beginCapture() {
  capturing_ = true;
  begin_ = ++time_;
}

int64_t GraphMemory::endCapture() {
  capturing_ = false;
  const int64_t graph = nextGraph_++;
  graphs_[graph] = {begin_, time_};
  for (auto& [size, blocks] : reusable_) held_.insert(held_.end(), blocks.begin(), blocks.end());
  reusable_.clear();
  ++time_;
  return graph;
}

void GraphMemory::dispose(int64_t graph) {
  graphs_.erase(graph);
  release();
}

/// Gives back what no graph needs any more.
void GraphMemory::release() {
  std::vector<Held> kept;
  for (const Held& held : held_) {
    bool needed = false;
    for (const auto& [number, graph] : graphs_) needed = needed || neededBy(graph, held);
    if (needed) {
      kept.push_back(held);
    } else {
      pool_.give(held.block, held.bytes);
    }
  }
  held_.swap(kept);
}

void* GraphMemory::take(size_t bytes) {
  if (capturing_) {
    const auto found = reusable_.find(Pool::blockSize(bytes));
    if (found != reusable_.end() && !found->second.empty()) {
      const Held held = found->second.back();
      found->second.pop_back();
      born_[held.block] = held.born;
      return held.block;
    }
  }
  void* block = pool_.take(bytes);
  if (block && (capturing_ || !graphs_.empty())) born_[block] = time_;
  return block;
}

void GraphMemory::give(void* block, size_t bytes) {
  Held held{block, bytes, 0, time_};
  if (!born_.empty()) {
    const auto found = born_.find(block);
    if (found != born_.end()) {
      held.born = found->second;
      born_.erase(found);
    }
  }
  if (capturing_) {
    reusable_[Pool::blockSize(bytes)].push_back(held);
    return;
  }
  for (const auto& [number, graph] : graphs_) {
    if (!neededBy(graph, held)) continue;
    held_.push_back(held);
    return;
  }
  pool_.give(block, bytes);
}

}  // namespace langevin
