// Captured sequences of calls, which run again and again without JavaScript: one after another on all threads, or
// several at once, each on one thread by itself (lanes).
//
// A lane is what makes narrow networks fast. The calls of a chain of a few images, run by one thread one after another,
// find each other's results in that core's L2, and nobody waits for anybody: on two cores of an AMD EPYC (Zen 4) the
// calls of an SGLD step of WRN-10-1 take 11.4 ms for 64 images, 4 at a time, where all at once take 13.8.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "../core/device.h"
#include "stream.h"

namespace langevin {

/// Recorded on the JavaScript thread, run on the executor's.
class Graph {
 public:
  /// strict: what the stream's setting was at the calls.
  explicit Graph(bool strict) : strict_(strict) {}
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// As the executor's.
  void* reserve();
  void submit(const Call& call);

  /// Runs the calls, their random numbers moved so far (Stream::shiftRandom). A fault names its op, and ends it.
  void run(Stream& stream, int64_t steps, int64_t elements);

 private:
  bool strict_;
  std::deque<Task> tasks_;  // in place: arguments do not move
  size_t submitted_ = 0;
};

/// Faults where there is none.
Graph& expectGraph(const std::shared_ptr<Graph>& graph);

struct GraphLane {
  std::shared_ptr<Graph> graph;
  int64_t stepOffset, firstElement;
};

/// Device::replayLanes, on the executor's thread.
void runLanes(Stream& stream, const std::vector<GraphLane>& lanes, int64_t times, int64_t steps);

}  // namespace langevin
