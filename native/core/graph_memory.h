// The memory that captured calls work in.
#pragma once
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "pool.h"

namespace langevin {

/// The memory of captured graphs. A graph's calls use fixed addresses, so every block that was in use at some time
/// during its capture stays out of the pool, once freed, until the graph is gone. Within a capture freed blocks are
/// used again, as the order of its calls is fixed. On the JavaScript thread only.
class GraphMemory {
 public:
  explicit GraphMemory(Pool& pool) : pool_(pool) {}
  ~GraphMemory();
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;

  void beginCapture();
  /// Returns the number of the graph whose memory this is.
  int64_t endCapture();
  bool capturing() const { return capturing_; }
  bool has(int64_t graph) const { return graphs_.count(graph) != 0; }
  void dispose(int64_t graph);

  /// As the pool's.
  void* take(size_t bytes);
  void give(void* block, size_t bytes);

 private:
  struct Held {
    void* block;
    size_t bytes;
    int64_t born, freed;
  };
  struct Span {
    int64_t begin, end;
  };
  bool neededBy(const Span& graph, const Held& held) const {
    return held.born <= graph.end && held.freed >= graph.begin;
  }
  void release();

  Pool& pool_;
  bool capturing_ = false;
  int64_t time_ = 0;  // counts beginnings and ends of captures
  int64_t begin_ = 0;
  int64_t nextGraph_ = 1;
  std::map<int64_t, Span> graphs_;
  std::unordered_map<void*, int64_t> born_;       // of blocks taken since there are graphs
  std::map<size_t, std::vector<Held>> reusable_;  // freed during the capture under way, by size
  std::vector<Held> held_;
};

}  // namespace langevin
