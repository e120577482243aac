// The emulated machine runs kernels as CUDA does, and tells where one breaks its rules: coordinates, warps, barriers,
// shared memory, and accesses outside of memory.
#include <algorithm>
#include <csignal>
#include <numeric>

#include "emulator.h"

namespace {

using namespace langevin::test;

// ---- what works ----

__global__ void writeCoordinates(int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * (blockDim.x * blockDim.y * blockDim.z) + thread] =
      static_cast<int>(blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z + 1000 * threadIdx.x + 10000 * threadIdx.y +
                       100000 * threadIdx.z);
}

TEST("every thread of every block runs once, with its own coordinates") {
  Array<int> out(2 * 3 * 2 * 5 * 3 * 2);
  CHECK(launch(writeCoordinates, {dim3(2, 3, 2), dim3(5, 3, 2)}, out.data()) == cudaSuccess);
  const std::vector<int> values = out.read();
  size_t i = 0;
  for (int bz = 0; bz < 2; ++bz) {
    for (int by = 0; by < 3; ++by) {
      for (int bx = 0; bx < 2; ++bx) {
        for (int z = 0; z < 2; ++z) {
          for (int y = 0; y < 3; ++y) {
            for (int x = 0; x < 5; ++x) {
              CHECK(values[i++] == bx + 10 * by + 100 * bz + 1000 * x + 10000 * y + 100000 * z);
            }
          }
        }
      }
    }
  }
}

__global__ void reverseInShared(const int* in, int* out) {
  LANGEVIN_SHARED(int, tile, [256]);
  tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

TEST("what a block wrote to shared memory before a barrier is there after it") {
  std::vector<int> values(256);
  std::iota(values.begin(), values.end(), 7);
  const Array<int> in(values), out(256);
  for (int repeat = 0; repeat < 20; ++repeat) {
    CHECK(launch(reverseInShared, {dim3(1), dim3(256)}, in.data(), out.data()) == cudaSuccess);
    std::vector<int> reversed = out.read();
    std::reverse(reversed.begin(), reversed.end());
    CHECK(reversed == values);
  }
}

__global__ void reverseWithoutBarrier(const int* in, int* out) {
  LANGEVIN_SHARED(int, tile, [256]);
  tile[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

TEST("a missing __syncthreads gives wrong results") {
  std::vector<int> values(256);
  std::iota(values.begin(), values.end(), 7);
  const Array<int> in(values), out(256);
  CHECK(launch(reverseWithoutBarrier, {dim3(1), dim3(256)}, in.data(), out.data()) == cudaSuccess);
  const std::vector<int> reversed = out.read();
  // What is read too early is the poison of fresh shared memory.
  CHECK(std::count(reversed.begin(), reversed.end(), static_cast<int>(0xCDCDCDCDu)) > 0);
}

struct WarpResults {
  int fromThree, fromSegment, up, down, exchanged, exchangedInSegment;
  unsigned ballot;
  int any, all;
  double wide;
};

__global__ void warpFunctions(WarpResults* out) {
  const int lane = static_cast<int>(threadIdx.x % 32), value = lane * lane;
  constexpr unsigned kAll = 0xffffffffu;
  WarpResults& r = out[threadIdx.x];
  r.fromThree = __shfl_sync(kAll, value, 3);
  r.fromSegment = __shfl_sync(kAll, value, 3, 8);
  r.up = __shfl_up_sync(kAll, value, 5);
  r.down = __shfl_down_sync(kAll, value, 5);
  r.exchanged = __shfl_xor_sync(kAll, value, 16);
  r.exchangedInSegment = __shfl_xor_sync(kAll, value, 16, 16);
  r.ballot = __ballot_sync(kAll, lane % 3 == 0);
  r.any = __any_sync(kAll, lane == 31);
  r.all = __all_sync(kAll, lane < 31);
  r.wide = __shfl_sync(kAll, 0.5 * lane, 9);
}

TEST("shuffles and votes give what CUDA's give, whole warps and segments of them") {
  const Array<WarpResults> out(64);
  CHECK(launch(warpFunctions, {dim3(1), dim3(64)}, out.data()) == cudaSuccess);
  const std::vector<WarpResults> results = out.read();
  for (int t = 0; t < 64; ++t) {
    const int lane = t % 32;
    const WarpResults& r = results[static_cast<size_t>(t)];
    const auto square = [](int i) { return i * i; };
    CHECK(r.fromThree == 9 && r.fromSegment == square(lane / 8 * 8 + 3));
    CHECK(r.up == square(lane < 5 ? lane : lane - 5) && r.down == square(lane > 26 ? lane : lane + 5));
    CHECK(r.exchanged == square(lane ^ 16));
    CHECK(r.exchangedInSegment == square(lane < 16 ? lane : lane ^ 16));
    CHECK(r.ballot == 0x49249249u && r.any == 1 && r.all == 0 && r.wide == 4.5);
  }
}

__global__ void halvesApart(int* out) {
  const unsigned mine = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
  int value = static_cast<int>(threadIdx.x);
  if (threadIdx.x < 16) {
    for (int i = 0; i < 3; ++i) value = __shfl_xor_sync(mine, value, 1);
  }
  value += __popc(__ballot_sync(mine, 1));
  __syncwarp();
  out[threadIdx.x] = value;
}

TEST("parts of a warp may meet apart from each other") {
  const Array<int> out(32);
  CHECK(launch(halvesApart, {dim3(1), dim3(32)}, out.data()) == cudaSuccess);
  const std::vector<int> values = out.read();
  for (int t = 0; t < 32; ++t) CHECK(values[static_cast<size_t>(t)] == (t < 16 ? t ^ 1 : t) + 16);
}

__global__ void partialWarp(unsigned* out) { out[threadIdx.x] = __ballot_sync(0xffffffffu, 1); }

TEST("a warp of fewer than 32 threads meets without those that are not there") {
  const Array<unsigned> out(40);
  CHECK(launch(partialWarp, {dim3(1), dim3(40)}, out.data()) == cudaSuccess);
  const std::vector<unsigned> values = out.read();
  CHECK(values[31] == 0xffffffffu && values[32] == 0xffu && values[39] == 0xffu);
}

__global__ void countInBlock(int* out) {
  int sum = 0;
  for (unsigned i = 0; i < 50; ++i) sum += __syncthreads_count(threadIdx.x <= i);
  out[threadIdx.x] = sum + 1000000 * __syncthreads_or(threadIdx.x == 5) + 2000000 * __syncthreads_and(threadIdx.x < 99);
}

TEST("votes of the block count every thread, again and again") {
  const Array<int> out(96);
  CHECK(launch(countInBlock, {dim3(1), dim3(96)}, out.data()) == cudaSuccess);
  for (const int v : out.read()) CHECK(v == 50 * 51 / 2 + 3000000);
}

template <int n>
LANGEVIN_DEVICE int* variableOf() {
  LANGEVIN_SHARED(int, value);
  return &value;
}

__global__ void severalVariables(int* out) {
  LANGEVIN_SHARED(int, first);
  LANGEVIN_SHARED(float, second, [3][5]);
  LANGEVIN_DYNAMIC_SHARED(dynamic);
  if (threadIdx.x == 0) {
    first = 1;
    second[2][4] = 2;
    *variableOf<1>() = 3;
    *variableOf<2>() = 4;
    dynamic[99] = 5;
    out[5] = static_cast<int>(reinterpret_cast<uintptr_t>(dynamic) % 1024);
  }
  __syncthreads();
  if (threadIdx.x == 7) {
    out[0] = first;
    out[1] = static_cast<int>(second[2][4]);
    out[2] = *variableOf<1>();
    out[3] = *variableOf<2>();
    out[4] = dynamic[99];
  }
}

TEST("variables of shared memory are each one per block, also of each instantiation of a template") {
  const Array<int> out(6);
  Shape shape{dim3(1), dim3(64)};
  shape.sharedBytes = 100;
  CHECK(launch(severalVariables, shape, out.data()) == cudaSuccess);
  CHECK((out.read() == std::vector<int>{1, 2, 3, 4, 5, 0}));
}

__global__ void countAtomically(int* out) {
  atomicAdd(&out[0], 1);
  atomicMax(&out[1], static_cast<int>(threadIdx.x));
  atomicCAS(&out[2], -1, static_cast<int>(threadIdx.x));
}

TEST("atomics on integers") {
  const Array<int> out(std::vector<int>{0, 0, -1});
  CHECK(launch(countAtomically, {dim3(7), dim3(100)}, out.data()) == cudaSuccess);
  const std::vector<int> values = out.read();
  CHECK(values[0] == 700 && values[1] == 99 && values[2] >= 0 && values[2] < 100);
}

__global__ void tickets(int* counter, int* out) {
  if (threadIdx.x == 0) out[blockIdx.x] = atomicAdd(counter, 1);
}

TEST("blocks run in an order that nothing may count on") {
  bool ascending = true, descending = true;
  for (int repeat = 0; repeat < 10; ++repeat) {
    const Array<int> counter(std::vector<int>{0}), out(50);
    CHECK(launch(tickets, {dim3(50), dim3(32)}, counter.data(), out.data()) == cudaSuccess);
    const std::vector<int> order = out.read();
    ascending = ascending && std::is_sorted(order.begin(), order.end());
    descending = descending && std::is_sorted(order.rbegin(), order.rend());
  }
  CHECK(!ascending && !descending);
}

__global__ void twoGroups(int* out) {
  // Warps 0 and 1 hand over to warps 2 and 3 through barrier 1, which only the latter wait at.
  LANGEVIN_SHARED(int, value, [64]);
  if (threadIdx.x < 64) {
    value[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
    emulator::blockBarrier(1, 128, false);
  } else {
    emulator::blockBarrier(1, 128, true);
    out[threadIdx.x - 64] = value[127 - threadIdx.x];
  }
}

TEST("named barriers of part of a block, arrivals without waiting") {
  const Array<int> out(64);
  for (int repeat = 0; repeat < 20; ++repeat) {
    CHECK(launch(twoGroups, {dim3(1), dim3(128)}, out.data()) == cudaSuccess);
    const std::vector<int> values = out.read();
    for (int t = 0; t < 64; ++t) CHECK(values[static_cast<size_t>(t)] == 64 - t);
  }
}

// ---- what is refused ----

__global__ void nothing() {}

TEST("launches that the hardware refuses are refused") {
  CHECK(tryLaunch(nothing, {dim3(0), dim3(1)}) == cudaErrorInvalidConfiguration);
  CHECK(tryLaunch(nothing, {dim3(1), dim3(1025)}) == cudaErrorInvalidConfiguration);
  CHECK(tryLaunch(nothing, {dim3(1), dim3(1, 1, 65)}) == cudaErrorInvalidConfiguration);
  CHECK(tryLaunch(nothing, {dim3(1, 65536), dim3(1)}) == cudaErrorInvalidConfiguration);
  Shape shape;
  shape.cluster = 2;
  shape.grid = dim3(3);
  CHECK(tryLaunch(nothing, shape) == cudaErrorInvalidConfiguration);
  shape = Shape();
  shape.sharedBytes = 48 * 1024 + 1;  // without cudaFuncSetAttribute
  CHECK(tryLaunch(nothing, shape) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1) ==
        cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024) == cudaSuccess);
  shape.sharedBytes = 227 * 1024;
  CHECK(tryLaunch(nothing, shape) == cudaSuccess && cudaDeviceSynchronize() == cudaSuccess);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess);
}

// ---- what is caught ----

__global__ void waitForEver() {
  if (threadIdx.x < 64) __syncthreads();
  if (threadIdx.x >= 64) emulator::blockBarrier(3, 128, true);
}

TEST("a deadlock is reported with the kernel, the block, the threads and what they wait at") {
  const std::string report = reportOfLaunch(waitForEver, {dim3(2), dim3(128)});
  CHECK(says(report, "deadlock") && says(report, "waitForEver"));
  CHECK(says(report, "thread (0, 0, 0) and after: waits at __syncthreads"));
  CHECK(says(report, "thread (64, 0, 0) and after: waits at a named barrier"));
  CHECK(says(report, "128 threads wait, 0 have ended"));
}

__global__ void leaveEarly() {
  if (threadIdx.x == 17) return;
  __syncthreads();
}
TEST("__syncthreads in a block of which threads have ended is reported") {
  CHECK(says(reportOfLaunch(leaveEarly, {dim3(1), dim3(64)}), "__syncthreads"));
}

__global__ void differentCounts() { emulator::blockBarrier(1, threadIdx.x < 32 ? 64 : 96, true); }
TEST("a named barrier at which threads wait for different numbers is reported") {
  CHECK(says(reportOfLaunch(differentCounts, {dim3(1), dim3(96)}), "those that arrived before said"));
}

__global__ void notInMask() { __shfl_sync(0xfffffffeu, 1, 2); }
__global__ void atDifferentPlaces() {
  if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __ballot_sync(0xffffffffu, 1);
  }
}
TEST("lanes outside their mask, or at different instructions, are reported") {
  CHECK(says(reportOfLaunch(notInMask, {dim3(1), dim3(32)}), "lane 0 is not in its own mask"));
  CHECK(says(reportOfLaunch(atDifferentPlaces, {dim3(1), dim3(32)}), "of the warp wait at"));
}

__global__ void writeAt(int* p, long offset) { p[offset] = 1; }
__global__ void readAt(const int* p, long offset, int* out) { *out = p[offset]; }

TEST("an access just outside of an allocation is reported with kernel, block, thread and distance") {
  for (const long offset : {1000L, -1L - 1024, 2000L}) {
    const std::string report = reportOf([&] {
      const Array<int> memory(1000);
      const cudaError_t status = launch(writeAt, {dim3(1), dim3(1)}, memory.data(), offset);
      CHECK(status == cudaErrorIllegalAddress);
      return status;
    });
    CHECK(says(report, "out-of-bounds access") && says(report, "of device memory"));
    CHECK(says(report, "writeAt, block (0, 0, 0), thread (0, 0, 0)"));
  }
  CHECK(says(reportOf([] {
               const Array<int> memory(1000), out(1);
               return launch(readAt, {dim3(1), dim3(1)}, memory.data(), 1000L, out.data());
             }),
             "0 bytes after the end of 4000 bytes of device memory"));
}

TEST("an access to freed memory is reported as that") {
  CHECK(says(reportOf([] {
               int* memory = nullptr;
               CHECK(cudaMalloc(&memory, 4096) == cudaSuccess && cudaFree(memory) == cudaSuccess);
               const Array<int> other(1024);  // does not take its place
               return launch(writeAt, {dim3(1), dim3(1)}, memory, 5L);
             }),
             "20 bytes into 4096 bytes of device memory, which was freed"));
}

__global__ void readVector(const int* p, int4* out) { *out = *reinterpret_cast<const int4*>(p); }
__global__ void recurse(int* out, int depth) {
  volatile int frame[2000];
  frame[depth % 2000] = depth;
  if (depth > 0) recurse(out, depth - 1);
  *out = frame[depth % 2000];
}

TEST("a vector that is not aligned to its size is reported") {
  CHECK(says(reportOf([] {
               const Array<int> memory(8), out(4);
               return launch(readVector, {dim3(1), dim3(1)}, memory.data() + 1, reinterpret_cast<int4*>(out.data()));
             }),
             "misaligned"));
}

TEST("a stack that overflows is reported as that") {
  CHECK(says(reportOf([] {
               const Array<int> out(1);
               return launch(recurse, {dim3(1), dim3(1)}, out.data(), 1000);
             }),
             "stack of"));
}

__global__ void overrunVariable() {
  LANGEVIN_SHARED(int, tile, [10]);
  int* const first = tile;
  first[threadIdx.x] = 1;
}
__global__ void overrunDynamic() {
  LANGEVIN_DYNAMIC_SHARED(memory);
  memory[threadIdx.x] = 1;
}
TEST("a block that writes past its shared memory is reported") {
  CHECK(
      says(reportOfLaunch(overrunVariable, {dim3(1), dim3(11)}), "past the end of a variable of shared memory of 40"));
  Shape shape{dim3(1), dim3(101)};
  shape.sharedBytes = 100;
  CHECK(says(reportOfLaunch(overrunDynamic, shape), "past the end of its dynamic shared memory"));
}

__global__ void tooMuchShared() {
  LANGEVIN_SHARED(char, tile, [40 * 1024]);
  tile[0] = 1;
}
TEST("static and dynamic shared memory are counted together") {
  Shape shape;
  shape.sharedBytes = 10 * 1024;
  CHECK(says(reportOfLaunch(tooMuchShared, shape), "51200 bytes of shared memory where the kernel may have 49152"));
}

TEST("after a fault every call gives it, until the device is reset") {
  const std::string report = reportOf([] {
    const Array<int> memory(4);
    CHECK(launch(writeAt, {dim3(1), dim3(1)}, memory.data(), 400L) == cudaErrorIllegalAddress);
    void* p = nullptr;
    CHECK(cudaMalloc(&p, 4) == cudaErrorIllegalAddress && cudaGetLastError() == cudaErrorIllegalAddress);
    CHECK(cudaGetLastError() == cudaErrorIllegalAddress && cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    CHECK(tryLaunch(nothing, Shape()) == cudaErrorIllegalAddress);
    CHECK(cudaDeviceReset() == cudaSuccess && cudaMalloc(&p, 4) == cudaSuccess);
    CHECK(launch(writeAt, {dim3(1), dim3(1)}, static_cast<int*>(p), 0L) == cudaSuccess);
    return cudaErrorUnknown;
  });
  CHECK(says(report, "out-of-bounds") && report.find("a check in the child") == std::string::npos);
}

TEST("the handler of other faults is the one that was there before") {
  CHECK(says(reportOf([] {
               std::signal(SIGSEGV, [](int) {
                 const char text[] = "the program's own handler\n";
                 if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(3);
                 _exit(2);
               });
               CHECK(launch(nothing, Shape()) == cudaSuccess);
               raise(SIGSEGV);
               return cudaSuccess;
             }),
             "the program's own handler"));
}

}  // namespace

TEST_MAIN
