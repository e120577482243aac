#include "graphs.h"

#include <stdexcept>

namespace langevin {

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
