// TMA: boxes of tensors between global memory and the asynchronous proxy's view of shared memory.
#include <cstring>

#include "asynchronous.h"
#include "memory.h"
#include "memory_barriers.h"
#include "multiprocessor.h"

namespace emulator {

namespace {

/// Where byte `offset` of a box that starts at `start` lies, both as addresses in the window.
uint32_t placeOf(const TensorMap& map, uint32_t start, uint32_t offset) {
  return swizzled(start + offset, map.swizzle);
}

void checkMap(const TensorMap& map, size_t coordinates, const char* what) {
  if (map.rank != coordinates)
    fail("%s: %zu coordinates for a tensor map of %d dimensions", what, coordinates, map.rank);
  const unsigned span = 16u << map.swizzle;
  if (map.swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && map.box[0] * map.elementBytes != span) {
    fail("%s: rows of %d bytes under a swizzle of %u bytes are not emulated", what, map.box[0] * map.elementBytes,
         span);
  }
}

void setCoordinates(int* at, std::initializer_list<int> coordinates) {
  for (int i = 0; i < kMostDimensions; ++i) at[i] = 0;
  for (const int coordinate : coordinates) *at++ = coordinate;
}

/// The block's memory at the window's address `address` (a place in the same variable, or in the dynamic part, as the
/// start of the box).
unsigned char* at(Block& block, const unsigned char* start, uint32_t startAddress, uint32_t address) {
  return block.shared + (start - block.shared) + (static_cast<int64_t>(address) - startAddress);
}

}  // namespace

void fenceAsyncShared() {
  Block& block = *self->block;
  std::memcpy(block.asyncView, block.shared, block.staticBytes);
  std::memcpy(block.inAsyncView(block.dynamic), block.dynamic, block.dynamicBytes);
  fenceBarrierInit();
}

void prefetchMap(const CUtensorMap* map) { readTensorMap(map); }

void loadBox(void* shared, const CUtensorMap* mapBytes, uint64_t* barrierAt, const uint16_t* blocks,
             std::initializer_list<int> coordinates) {
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  Block& own = *self->block;
  BoxLoad load;
  load.map = readTensorMap(mapBytes);
  checkMap(load.map, coordinates.size(), "TMA load");
  setCoordinates(load.at, coordinates);
  const size_t bytes = boxBytes(load.map);
  if (sharedAddress(shared) % 128 != 0) fail("TMA load to %u, which is not 128-byte aligned", sharedAddress(shared));
  if (!own.contains(shared, bytes)) {
    failWith(cudaErrorIllegalAddress, "TMA load of %zu bytes to %u, past the end of shared memory", bytes,
             sharedAddress(shared));
  }
  if (!isBoxInMemory(load.map, load.at)) {
    failWith(cudaErrorIllegalAddress,
             "TMA load: the tensor map says that elements are in the tensor whose memory is not allocated");
  }
  MemoryBarrier& barrier = memoryBarrier(own, barrierAt);
  if (!barrier.visible) fail("TMA load: the mbarrier was not made visible (fenceBarrierInit) after its initialisation");
  load.issuer = &own;
  load.to = static_cast<uint32_t>(static_cast<unsigned char*>(shared) - own.shared);
  load.barrier = static_cast<uint32_t>(reinterpret_cast<unsigned char*>(barrierAt) - own.shared);
  load.blocks = blocks ? *blocks : 1u << own.rank;
  if (load.blocks == 0 || load.blocks >> processor.blockCount() != 0) {
    fail("TMA load: blocks %x of a cluster of %zu", load.blocks, processor.blockCount());
  }
  processor.loads.push_back(load);
  if (processor.completesEarly()) processor.completeSome();
}

void Multiprocessor::complete(const BoxLoad& load) {
  const size_t bytes = boxBytes(load.map);
  std::vector<unsigned char> box(bytes);
  readBox(load.map, load.at, box.data());
  const Block& issuer = *load.issuer;
  const unsigned char* const start = issuer.shared + load.to;
  const bool inDynamic = start >= issuer.dynamic;
  // Swizzles see addresses in the window; all that counts is their low bits, which the dynamic part and its place in
  // the window have in common (both start at multiples of 1024).
  const auto address = static_cast<uint32_t>(inDynamic ? start - issuer.dynamic : start - issuer.shared);
  for (size_t rank = 0; rank < blockCount_; ++rank) {
    if (((load.blocks >> rank) & 1) == 0) continue;
    Block& block = blocks_[rank];
    const uint3 reported = blockIdx;
    blockIdx = block.index;
    if (block.hasEnded()) fail(cudaErrorLaunchFailure, "the block ended before a TMA load to it came");
    for (size_t offset = 0; offset < bytes; offset += 16) {
      unsigned char* const to =
          at(block, block.shared + load.to, address, placeOf(load.map, address, static_cast<uint32_t>(offset)));
      std::memcpy(to, &box[offset], 16);
      std::memcpy(block.inAsyncView(to), &box[offset], 16);
    }
    bytesCame(memoryBarrier(block, reinterpret_cast<uint64_t*>(block.shared + load.barrier)), bytes);
    blockIdx = reported;
  }
}

void storeBox(const CUtensorMap* mapBytes, const void* shared, std::initializer_list<int> coordinates) {
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  Block& own = *self->block;
  BoxStore store;
  store.map = readTensorMap(mapBytes);
  checkMap(store.map, coordinates.size(), "TMA store");
  setCoordinates(store.at, coordinates);
  const size_t bytes = boxBytes(store.map);
  if (sharedAddress(shared) % 128 != 0) fail("TMA store from %u, which is not 128-byte aligned", sharedAddress(shared));
  if (!own.contains(shared, bytes)) {
    failWith(cudaErrorIllegalAddress, "TMA store of %zu bytes from %u, past the end of shared memory", bytes,
             sharedAddress(shared));
  }
  if (!isBoxInMemory(store.map, store.at)) {
    failWith(cudaErrorIllegalAddress,
             "TMA store: the tensor map says that elements are in the tensor whose memory is not allocated");
  }
  if (processor.launch().overlapsPrevious && !own.waitedForPrevious) fail("TMA store before waitForPrevious");
  store.thread = self;
  store.group = self->async().storeGroups;
  store.from = static_cast<const unsigned char*>(shared);
  processor.stores.push_back(std::move(store));
}

void Multiprocessor::readShared(BoxStore& store) {
  if (store.read) return;
  Block& block = *store.thread->block;
  store.read = true;
  store.bytes.resize(boxBytes(store.map));
  const auto address =
      static_cast<uint32_t>(store.from >= block.dynamic ? store.from - block.dynamic : store.from - block.shared);
  for (size_t offset = 0; offset < store.bytes.size(); offset += 16) {
    const unsigned char* const from =
        at(block, store.from, address, placeOf(store.map, address, static_cast<uint32_t>(offset)));
    std::memcpy(&store.bytes[offset], block.inAsyncView(from), 16);
  }
}

void Multiprocessor::write(BoxStore& store) {
  readShared(store);
  writeBox(store.map, store.at, store.bytes.data());
}

void commitStores() { ++self->async().storeGroups; }

void waitStores(int pending, bool written) {
  Multiprocessor& processor = Multiprocessor::ofThisThread();
  const uint32_t committed = self->async().storeGroups;
  size_t kept = 0;
  for (size_t i = 0; i < processor.stores.size(); ++i) {
    BoxStore& store = processor.stores[i];
    const bool waited = store.thread == self && store.group + static_cast<uint32_t>(pending) < committed;
    if (waited && written) {
      processor.write(store);
      continue;
    }
    if (waited) processor.readShared(store);
    if (kept != i) processor.stores[kept] = std::move(store);
    ++kept;
  }
  processor.stores.resize(kept);
}

/// Completes one box, or half of a store. False: none is under way.
bool Multiprocessor::completeSome() {
  const size_t all = loads.size() + stores.size();
  if (all == 0) return false;
  const size_t pick = random_.below(static_cast<uint32_t>(all));
  if (pick < loads.size()) {
    const BoxLoad load = loads[pick];
    loads[pick] = loads.back();
    loads.pop_back();
    complete(load);
    return true;
  }
  BoxStore& store = stores[pick - loads.size()];
  if (!store.read && random_.oneIn(2)) {
    readShared(store);
    return true;
  }
  write(store);
  store = std::move(stores.back());
  stores.pop_back();
  return true;
}

}  // namespace emulator
