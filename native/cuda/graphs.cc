#include "graphs.h"

#include <stdexcept>

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

Graphs::~Graphs() {
  for (const auto& [number, executable] : executables_) cudaGraphExecDestroy(executable);
}

void Graphs::begin(Stream& stream) {
  // Relaxed: workspace may grow and kernels may be loaded while calls are recorded.
  check(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeRelaxed), "capture");
  stream.capturing_ = true;
  stream.keepOutgrown_ = true;
}

void Graphs::end(Stream& stream, int64_t number) {
  stream.capturing_ = false;
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream.handle(), &graph), "capture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "capture");
  executables_[number] = executable;
}

void Graphs::replay(Stream& stream, int64_t number, int64_t stepOffset) {
  const auto found = executables_.find(number);
  if (found == executables_.end()) throw std::runtime_error("there is no such graph");
  setOnDevice(stream, stream.stepOffset_, stepOffset);
  check(cudaGraphLaunch(found->second, stream.handle()), "replay");
  setOnDevice(stream, stream.stepOffset_, 0);
}

void Graphs::dispose(Stream& stream, int64_t number) {
  const auto found = executables_.find(number);
  if (found == executables_.end()) return;
  check(cudaStreamSynchronize(stream.handle()), "replay");
  cudaGraphExecDestroy(found->second);
  executables_.erase(found);
  if (!executables_.empty()) return;
  for (void* block : stream.outgrown_) cudaFree(block);
  stream.outgrown_.clear();
  stream.keepOutgrown_ = false;
}

}  // namespace langevin
