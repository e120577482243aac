// Clusters, registers that move between warpgroups, and launches that overlap the one before.
#include "asynchronous.h"

namespace {

using namespace langevin::test;
namespace ptx = langevin::ptx;

/// Each block loads its half of a box to both blocks of its cluster; both add up the whole.
__global__ void multicastHalves(const __grid_constant__ CUtensorMap map, int* out, int hurry) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  LANGEVIN_SHARED(uint64_t, full);
  const uint32_t rank = ptx::clusterRank();
  if (threadIdx.x == 0) {
    ptx::initBarrier(&full, 1);
    ptx::fenceBarrierInit();
  }
  if (hurry == 0) {
    ptx::arriveCluster();
    ptx::waitCluster();
  } else {
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    ptx::arriveExpecting(&full, 2 * 512);
    ptx::loadBoxMulticast(memory + 512 * rank, &map, &full, 3, 0, 4 * static_cast<int>(rank),
                          static_cast<int>(blockIdx.x / 2));
  }
  ptx::waitClusterBarrier(&full, 0);
  int sum = 0;
  for (int row = 0; row < 8; ++row)
    sum += reinterpret_cast<const int*>(memory)[32 * row + static_cast<int>(threadIdx.x)];
  out[32 * blockIdx.x + threadIdx.x] = sum;
  ptx::arriveCluster();
  ptx::waitCluster();
}

cudaError_t runMulticast(int hurry, std::vector<int>* sums) {
  const Array<int> in(ascending(3 * 256)), out(6 * 32);
  const MapOf view{CU_TENSOR_MAP_DATA_TYPE_INT32, {32, 8, 3}, {128, 1024}, {32, 4, 1}, {}};
  Shape shape{dim3(6), dim3(32)};
  shape.sharedBytes = 1024;
  shape.cluster = 2;
  const cudaError_t status = launch(multicastHalves, shape, view.encode(in.data()), out.data(), hurry);
  if (status == cudaSuccess) *sums = out.read();
  return status;
}

TEST("multicast: each block of the cluster gets the box, and its barrier the bytes") {
  std::vector<int> expected;
  for (int block = 0; block < 6; ++block) {
    for (int c = 0; c < 32; ++c) expected.push_back(8 * (block / 2 * 256 + c) + 32 * 28);
  }
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    std::vector<int> sums;
    CHECK(runMulticast(0, &sums) == cudaSuccess && sums == expected);
  }
  // Without the cluster's barrier a box may come to a block whose mbarrier is not initialised.
  CHECK(says(reportOf([] {
               std::vector<int> sums;
               for (int i = 0; i < kRepeats; ++i) {
                 const cudaError_t status = runMulticast(1, &sums);
                 if (status != cudaSuccess) return status;
               }
               return cudaSuccess;
             }),
             "used before initBarrier"));
}

__global__ void passOn(int* out, int leaveEarly) {
  LANGEVIN_SHARED(uint64_t, ready);
  const uint32_t rank = ptx::clusterRank();
  ptx::initBarrier(&ready, 1);
  ptx::fenceBarrierInit();
  ptx::arriveCluster();
  ptx::waitCluster();
  if (rank == 0 || !leaveEarly) {
    if (rank > 0) {
      ptx::waitClusterBarrier(&ready, 0);
      out[blockIdx.x] = 1 + static_cast<int>(rank);
    }
    if (rank < 3) ptx::arriveAt(&ready, rank + 1);
  }
  if (!leaveEarly) {
    ptx::arriveCluster();
    ptx::waitCluster();
  }
}

TEST("arrivals at barriers of other blocks of a cluster, and at one that has ended") {
  const Array<int> out(std::vector<int>(8, 0));
  Shape shape{dim3(8), dim3(1)};
  shape.cluster = 4;
  CHECK(launch(passOn, shape, out.data(), 0) == cudaSuccess);
  CHECK((out.read() == std::vector<int>{0, 2, 3, 4, 0, 2, 3, 4}));
  CHECK(says(reportOf([&] {
               for (int i = 0; i < kRepeats; ++i) {
                 const cudaError_t status = launch(passOn, shape, out.data(), 1);
                 if (status != cudaSuccess) return status;
               }
               return cudaSuccess;
             }),
             "which has ended"));
}

// ---- registers, dependent launches ----

template <int producer>
__global__ void moveRegisters() {
  if (threadIdx.x < 128) {
    ptx::decreaseRegisters<producer>();
  } else {
    ptx::increaseRegisters<240>();
  }
}
TEST(
    "setmaxnreg: a group gets more registers when another has given its own, and waits for ever if they do not "
    "suffice") {
  CHECK(launch(moveRegisters<24>, {dim3(1), dim3(384)}) == cudaSuccess);
  CHECK(says(reportOfLaunch(moveRegisters<160>, {dim3(1), dim3(384)}), "waits at setmaxnreg.inc"));
}

__global__ void dependent(int* out, int waits) {
  if (waits) ptx::waitForPrevious();
  ptx::allowNext();
  out[threadIdx.x] = 1;
}
TEST("a launch that may overlap the one before must wait for it") {
  const Array<int> out(32);
  Shape shape{dim3(2), dim3(32)};
  shape.overlapPrevious = true;
  CHECK(launch(dependent, shape, out.data(), 1) == cudaSuccess);
  CHECK(says(reportOf([&] { return launch(dependent, shape, out.data(), 0); }), "overlaps the one before"));
}

__global__ void writeLate(int* values, int value) {
  ptx::allowNext();
  values[threadIdx.x] = value;
}
/// Adds what the launch before it wrote to what it read of its own before.
__global__ void addAfter(const int* values, const int* constant, int* out, int early) {
  LANGEVIN_SHARED(int, own, [32]);
  own[threadIdx.x] = constant[threadIdx.x];
  const int tooSoon = early ? values[threadIdx.x] : 0;
  ptx::waitForPrevious();
  out[threadIdx.x] = (early ? tooSoon : values[threadIdx.x]) + own[threadIdx.x];
}

TEST("a launch may start before the end of the one before: what it reads before it waits is what was there then") {
  const Array<int> values(std::vector<int>(32, 1)), constant(std::vector<int>(32, 1000)), out(32);
  const auto sums = [&](int early) {
    std::vector<int> all;
    for (int value = 1; value <= 10; ++value) {
      Shape shape{dim3(1), dim3(32)};
      CHECK(tryLaunch(writeLate, shape, values.data(), value) == cudaSuccess);
      shape.overlapPrevious = true;
      CHECK(launch(addAfter, shape, values.data(), constant.data(), out.data(), early) == cudaSuccess);
      const std::vector<int> now = out.read();
      all.insert(all.end(), now.begin(), now.end());
    }
    return all;
  };
  std::vector<int> expected;
  for (int value = 1; value <= 10; ++value) expected.insert(expected.end(), 32, 1000 + value);
  CHECK(!everDiffers(expected, [&] { return sums(0); }));
  CHECK(everDiffers(expected, [&] { return sums(1); }));
}

__global__ void failLate(int* values) {
  ptx::allowNext();
  if (threadIdx.x == 0 && values[0] == 7) values[1 << 16] = 1;
}
TEST("a fault of a launch that another has overtaken is that launch's, and a fault before the wait is the other's") {
  const std::string first = reportOf([] {
    const Array<int> values(std::vector<int>(32, 0)), constant(32), out(32);
    for (int i = 0; i < kRepeats; ++i) {
      CHECK(launch(failLate, {dim3(1), dim3(32)}, values.data()) == cudaSuccess);
      CHECK(cudaMemset(values.data(), i == 20 ? 7 : 0, 1) == cudaSuccess);
      CHECK(tryLaunch(failLate, {dim3(1), dim3(32)}, values.data()) == cudaSuccess);
      Shape shape{dim3(2), dim3(32)};
      shape.overlapPrevious = true;
      const cudaError_t status = launch(addAfter, shape, values.data(), constant.data(), out.data(), 0);
      if (status != cudaSuccess) return status;
    }
    return cudaSuccess;
  });
  CHECK(says(first, "failLate, block (0, 0, 0), thread (0, 0, 0)"));
  CHECK(says(reportOf([] {
               const Array<int> values(32), constant(31), out(32);
               CHECK(tryLaunch(writeLate, {dim3(1), dim3(32)}, values.data(), 1) == cudaSuccess);
               Shape shape{dim3(2), dim3(32)};
               shape.overlapPrevious = true;
               return launch(addAfter, shape, values.data(), constant.data() + 1, out.data(), 0);
             }),
             "addAfter"));
}

}  // namespace

TEST_MAIN
