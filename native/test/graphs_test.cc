// Captured calls of the CPU device: run again and again, by all threads or each by one.
#include "../cpu/graphs.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"

namespace {

using langevin::Graph;
using langevin::GraphLane;
using langevin::Stream;

/// Records a call of f.
template <class F>
void record(Graph& graph, const F& f, const char* name = "test") {
  new (graph.reserve()) F(f);
  graph.submit({name, [](Stream& stream, void* arguments) { (*static_cast<F*>(arguments))(stream); },
                [](void* arguments) { static_cast<F*>(arguments)->~F(); }});
}

std::string faultOf(Stream& stream, const std::vector<GraphLane>& lanes) {
  try {
    runLanes(stream, lanes, 1, 0);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST("a lane's calls run in order on one thread, as often as asked, and beside the others") {
  for (const int threads : {1, 2, 4}) {
    Stream stream(threads);
    std::vector<std::vector<int>> seen(9);  // not atomic: a lane's own
    std::vector<GraphLane> lanes;
    for (auto& own : seen) {
      auto graph = std::make_shared<Graph>(false);
      for (int call = 0; call < 3; ++call) {
        record(*graph, [&own, call](Stream& stream) {
          stream.parallel(4, [&](int64_t, int thread) { own.push_back(stream.threads() == 1 ? call : -1 - thread); });
        });
      }
      lanes.push_back({graph, 0, 0});
    }
    runLanes(stream, lanes, 2, 0);
    const std::vector<int> expected = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2};
    for (const auto& own : seen) CHECK(own == expected);
  }
}

TEST("random numbers move with the lane and with each time, and the stream's settings are put back") {
  Stream stream(2);
  std::vector<int64_t> steps, elements;
  auto graph = std::make_shared<Graph>(true);
  bool strict = true;
  record(*graph, [&](Stream& stream) {
    const langevin::Draw draw = stream.draw({1, 10, 2, 3});
    steps.push_back(draw.philox.step);
    elements.push_back(draw.first);
    strict = strict && stream.strict();
  });
  runLanes(stream, {{graph, 5, 12}}, 3, 2);
  CHECK((steps == std::vector<int64_t>{15, 17, 19}) && (elements == std::vector<int64_t>{12, 12, 12}) && strict);
  graph->run(stream, 1, 0);
  CHECK(steps.back() == 11 && !stream.strict() && stream.draw({1, 10, 2, 3}).philox.step == 10);
}

TEST("a fault names its op and ends its lane; there being no graph is one") {
  Stream stream(2);
  std::atomic<int> later{0};
  auto graph = std::make_shared<Graph>(false);
  record(
      *graph, [](Stream&) { langevin::fault("a buffer of u8"); }, "conv2d");
  record(*graph, [&](Stream&) { ++later; });
  CHECK(faultOf(stream, {{graph, 0, 0}}) == "conv2d: a buffer of u8");
  CHECK(later == 0 && !stream.alone(0).strict());
  CHECK(faultOf(stream, {{nullptr, 0, 0}}) == "there is no such graph");
}

TEST("a graph destroys the arguments of its calls, once") {
  const auto token = std::make_shared<int>(0);
  {
    Stream stream(2);
    auto graph = std::make_shared<Graph>(false);
    for (int i = 0; i < 40; ++i) record(*graph, [token](Stream&) { (void)*token; });
    graph->reserve();  // a call that never came
    runLanes(stream, {{graph, 0, 0}}, 3, 0);
    CHECK(token.use_count() == 41);
  }
  CHECK(token.use_count() == 1);
}

}  // namespace

TEST_MAIN
