// What blocks and threads have under way.
#pragma once
#include <cstdint>
#include <deque>
#include <vector>

#include "tensor_map.h"

namespace emulator {

struct Block;
struct Thread;

/// One cp.async.
struct Copy {
  unsigned char* to;
  const unsigned char* from;
  uint8_t bytes;
  bool valid;
  uint32_t group;
};

struct ThreadAsync {
  std::vector<Copy> copies;
  uint32_t copyGroups = 0;  // committed
  uint32_t storeGroups = 0;
  uint32_t productGroups = 0;
  uint64_t productsIssued = 0;
  bool productsFenced = false;
  bool arrivedAtCluster = false;
  uint64_t clusterPhase = 0;
};

/// An mbarrier. Its 8 bytes hold only a mark, by which overwriting shows.
struct MemoryBarrier {
  uint64_t* at = nullptr;
  uint32_t expected = 0;
  uint32_t pending = 0;
  int64_t bytes = 0;     // still to come; negative: came before they were expected
  uint32_t phase = 0;    // parity of the phase that is not complete
  bool visible = false;  // to the asynchronous proxy and the cluster
  const Thread* initialisedBy = nullptr;
  std::vector<Thread*> waiting;
};

/// One wgmma of a warpgroup, waiting to be computed.
struct Product {
  uint64_t a, b;  // descriptors
  int n;
  bool aMnMajor, bMnMajor, aInRegisters, tf32, accumulate;
  uint32_t group;
  unsigned issued = 0;  // threads
  float* d[128];
  const uint32_t* registers[128];
};

struct Warpgroup {
  std::deque<Product> products;
  uint64_t computed = 0;  // products that have left the queue
  std::vector<Thread*> waiting;
};

/// A box on its way to one or more blocks.
struct BoxLoad {
  TensorMap map;
  int at[kMostDimensions];
  Block* issuer;
  uint32_t to;  // places in the blocks' shared memory
  uint32_t barrier;
  uint32_t blocks;  // mask
};

/// A box on its way to global memory.
struct BoxStore {
  TensorMap map;
  int at[kMostDimensions];
  const Thread* thread;
  uint32_t group;
  const unsigned char* from;  // in the asynchronous proxy's view
  bool read = false;
  std::vector<unsigned char> bytes;
};

}  // namespace emulator
