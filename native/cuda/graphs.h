// Captured sequences of calls, each replayed by one launch. core/graph_memory.h keeps their memory.
#pragma once
#include <cstdint>
#include <map>

#include "stream.h"

namespace langevin {

/// The executable graphs, on the executor's thread.
class Graphs {
 public:
  ~Graphs();
  void begin(Stream& stream);
  /// Ends the capture, also a broken one; throws where it cannot be instantiated.
  void end(Stream& stream, int64_t graph);
  /// Launches the graph with `stepOffset` added to every random step in it.
  void replay(Stream& stream, int64_t graph, int64_t stepOffset);
  void dispose(Stream& stream, int64_t graph);

 private:
  std::map<int64_t, cudaGraphExec_t> executables_;
};

/// Enqueues *place = value (kernels/replay.cu).
void setOnDevice(Stream& stream, int64_t* place, int64_t value);

}  // namespace langevin
