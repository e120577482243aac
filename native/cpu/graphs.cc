#include "graphs.h"

#include <stdexcept>
#include <string>

namespace langevin {

Graph::~Graph() {
  for (size_t i = 0; i < submitted_; ++i) tasks_[i].call.drop(tasks_[i].arguments);
}

void* Graph::reserve() {
  if (tasks_.size() == submitted_) tasks_.emplace_back();
  return tasks_.back().arguments;
}

void Graph::submit(const Call& call) { tasks_[submitted_++].call = call; }

void Graph::run(Stream& stream, int64_t steps, int64_t elements) {
  struct Settings {  // put back in any case
    Stream& stream;
    bool strict;
    ~Settings() {
      stream.setStrict(strict);
      stream.shiftRandom(0, 0);
    }
  } before{stream, stream.strict()};
  stream.setStrict(strict_);
  stream.shiftRandom(steps, elements);
  for (size_t i = 0; i < submitted_; ++i) {
    Task& task = tasks_[i];
    try {
      task.call.run(stream, task.arguments);
    } catch (const std::exception& error) {
      throw std::runtime_error(std::string(task.call.name) + ": " + error.what());
    }
  }
}

Graph& expectGraph(const std::shared_ptr<Graph>& graph) {
  if (!graph) fault("there is no such graph");
  return *graph;
}

void runLanes(Stream& stream, const std::vector<GraphLane>& lanes, int64_t times, int64_t steps) {
  stream.parallel(static_cast<int64_t>(lanes.size()), [&](int64_t i, int thread) {
    const GraphLane& lane = lanes[static_cast<size_t>(i)];
    for (int64_t k = 0; k < times; ++k) {
      expectGraph(lane.graph).run(stream.alone(thread), lane.stepOffset + k * steps, lane.firstElement);
    }
  });
}

}  // namespace langevin
