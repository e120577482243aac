// The functions of native/cuda/ptx.h in plain C++, on the emulated machine. Included by it, under the emulator only.
#pragma once
#include <cuda.h>

#include "asynchronous.h"

namespace langevin::ptx {

inline uint32_t sharedAddress(const void* shared) { return ::emulator::sharedAddress(shared); }

inline uint32_t packBf16(float low, float high) {
  return static_cast<uint32_t>(toBf16(low).bits) | static_cast<uint32_t>(toBf16(high).bits) << 16;
}
inline float lowBf16(uint32_t packed) { return __uint_as_float(packed << 16); }
inline float highBf16(uint32_t packed) { return __uint_as_float(packed & 0xffff0000u); }
inline uint32_t toTf32(float v) { return ::emulator::roundedToTf32(v); }

inline void syncBarrier(int id, int threads) { ::emulator::blockBarrier(id, static_cast<unsigned>(threads), true); }
inline void arriveBarrier(int id, int threads) { ::emulator::blockBarrier(id, static_cast<unsigned>(threads), false); }

inline void copyAsync16(void* shared, const void* global, bool valid) {
  ::emulator::copyAsync(shared, global, 16, valid);
}
inline void copyAsync4(void* shared, const void* global, bool valid) {
  ::emulator::copyAsync(shared, global, 4, valid);
}
inline void commitCopies() { ::emulator::commitCopies(); }
template <int pending>
void waitCopies() {
  ::emulator::waitCopies(pending);
}

inline void loadMatrix4(uint32_t (&r)[4], const void* row) { ::emulator::loadMatrices(r, row, false); }
inline void loadMatrix4Transposed(uint32_t (&r)[4], const void* row) { ::emulator::loadMatrices(r, row, true); }
inline void storeMatrix4(void* row, const uint32_t (&r)[4]) { ::emulator::storeMatrices(row, r); }

inline void mmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { ::emulator::mmaBf16(d, a, b); }
inline void mmaTf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { ::emulator::mmaTf32(d, a, b); }

inline void initBarrier(uint64_t* barrier, uint32_t arrivals) { ::emulator::initBarrier(barrier, arrivals); }
inline void fenceBarrierInit() { ::emulator::fenceBarrierInit(); }
inline void arriveExpecting(uint64_t* barrier, uint32_t bytes) { ::emulator::arrive(barrier, bytes); }
inline void arrive(uint64_t* barrier) { ::emulator::arrive(barrier, 0); }
inline void arriveAt(uint64_t* barrier, uint32_t rank) { ::emulator::arriveAt(barrier, rank); }
inline void waitBarrier(uint64_t* barrier, uint32_t parity) { ::emulator::waitBarrier(barrier, parity); }
inline void waitClusterBarrier(uint64_t* barrier, uint32_t parity) { ::emulator::waitBarrier(barrier, parity); }

inline void fenceAsyncShared() { ::emulator::fenceAsyncShared(); }
inline void fenceAsyncGlobal() {}

inline void prefetchMap(const CUtensorMap* map) { ::emulator::prefetchMap(map); }
/// Two to five coordinates.
template <class... Coordinates>
void loadBox(void* shared, const CUtensorMap* map, uint64_t* barrier, Coordinates... at) {
  ::emulator::loadBox(shared, map, barrier, nullptr, {at...});
}
template <class... Coordinates>
void loadBoxMulticast(void* shared, const CUtensorMap* map, uint64_t* barrier, uint16_t blocks, Coordinates... at) {
  ::emulator::loadBox(shared, map, barrier, &blocks, {at...});
}
template <class... Coordinates>
void storeBox(const CUtensorMap* map, const void* shared, Coordinates... at) {
  ::emulator::storeBox(map, shared, {at...});
}
inline void commitStores() { ::emulator::commitStores(); }
template <int pending>
void waitStoresRead() {
  ::emulator::waitStores(pending, false);
}
template <int pending>
void waitStores() {
  ::emulator::waitStores(pending, true);
}

inline void fenceProducts() { ::emulator::fenceProducts(); }
inline void commitProducts() { ::emulator::commitProducts(); }
template <int pending>
void waitProducts() {
  ::emulator::waitProducts(pending);
}
template <int registers>
void increaseRegisters() {
  static_assert(registers >= 24 && registers <= 256 && registers % 8 == 0, "setmaxnreg takes 24, 32, … 256");
  ::emulator::setRegisters(registers, true);
}
template <int registers>
void decreaseRegisters() {
  static_assert(registers >= 24 && registers <= 256 && registers % 8 == 0, "setmaxnreg takes 24, 32, … 256");
  ::emulator::setRegisters(registers, false);
}

inline uint32_t clusterRank() { return ::emulator::clusterRank(); }
inline void arriveCluster() { ::emulator::arriveCluster(); }
inline void waitCluster() { ::emulator::waitCluster(); }

inline void waitForPrevious() { ::emulator::waitForPrevious(); }
inline void allowNext() { ::emulator::allowNext(); }

}  // namespace langevin::ptx
