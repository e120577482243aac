// TMA loads and barriers in shared memory: a ring of them, and every mistake that it can be written with.
#include "asynchronous.h"

namespace {

using namespace langevin::test;
namespace ptx = langevin::ptx;

enum class Ring { correct, noFullWait, noEmptyWait, shortBytes, longBytes, wrongCount, wrongParity, noFence, noInit };

/// 2-D int32 boxes [8 rows][32] through a ring of two stages, one producer and 32 consumers; out = sum over the boxes.
template <Ring mistake>
__global__ void sumBoxes(const __grid_constant__ CUtensorMap map, int* out, int boxes) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  LANGEVIN_SHARED(uint64_t, full, [2]);
  LANGEVIN_SHARED(uint64_t, empty, [2]);
  constexpr uint32_t kBytes = 8 * 32 * 4;
  if (threadIdx.x == 0 && mistake != Ring::noInit) {
    for (int i = 0; i < 2; ++i) {
      ptx::initBarrier(&full[i], 1);
      ptx::initBarrier(&empty[i], mistake == Ring::wrongCount ? 16 : 32);
    }
    if (mistake != Ring::noFence) ptx::fenceBarrierInit();
  }
  __syncthreads();
  if (threadIdx.x >= 32) {
    if (threadIdx.x != 32) return;
    for (int i = 0; i < boxes; ++i) {
      const uint32_t phase = static_cast<uint32_t>(i / 2) & 1;
      if (mistake != Ring::noEmptyWait)
        ptx::waitBarrier(&empty[i % 2], mistake == Ring::wrongParity ? phase : phase ^ 1);
      ptx::arriveExpecting(&full[i % 2], mistake == Ring::shortBytes  ? kBytes - 128
                                         : mistake == Ring::longBytes ? kBytes + 16
                                                                      : kBytes);
      ptx::loadBox(memory + 1024 * (i % 2), &map, &full[i % 2], 0, 8 * i);
    }
  } else {
    int sum = 0;
    for (int i = 0; i < boxes; ++i) {
      if (mistake != Ring::noFullWait) ptx::waitBarrier(&full[i % 2], static_cast<uint32_t>(i / 2) & 1);
      const auto* const box = reinterpret_cast<const int*>(memory + 1024 * (i % 2));
      for (int row = 0; row < 8; ++row) sum += box[32 * row + static_cast<int>(threadIdx.x)];
      ptx::arrive(&empty[i % 2]);
    }
    out[threadIdx.x] = sum;
  }
}

constexpr int kBoxes = 6;
template <Ring mistake>
cudaError_t runRing(std::vector<int>* sums) {
  const Array<int> in(ascending(kBoxes * 8 * 32)), out(32);
  MapOf view{CU_TENSOR_MAP_DATA_TYPE_INT32, {32, 8 * kBoxes}, {128}, {32, 8}, {}};
  Shape shape{dim3(1), dim3(64)};
  shape.sharedBytes = 2048;
  const cudaError_t status = launch(sumBoxes<mistake>, shape, view.encode(in.data()), out.data(), kBoxes);
  if (status == cudaSuccess) *sums = out.read();
  return status;
}
template <Ring mistake>
std::vector<int> ringSums() {
  std::vector<int> sums;
  CHECK(runRing<mistake>(&sums) == cudaSuccess);
  return sums;
}
/// Runs the mistake until it shows as a report or as wrong sums.
template <Ring mistake>
std::string ringReport(const std::vector<int>& expected) {
  return reportOf([&] {
    std::vector<int> sums;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      const cudaError_t status = runRing<mistake>(&sums);
      if (status != cudaSuccess) return status;
      if (sums != expected) {
        std::fprintf(stderr, "wrong sums\n");
        return cudaErrorUnknown;
      }
    }
    return cudaSuccess;
  });
}

TEST("a ring of TMA loads and mbarriers: right as written, every mistake shows") {
  std::vector<int> expected(32, 0);
  for (int i = 0; i < kBoxes * 8; ++i) {
    for (int c = 0; c < 32; ++c) expected[static_cast<size_t>(c)] += 32 * i + c;
  }
  CHECK(!everDiffers(expected, ringSums<Ring::correct>));
  CHECK(!ringReport<Ring::noFullWait>(expected).empty());
  CHECK(!ringReport<Ring::noEmptyWait>(expected).empty());
  CHECK(!ringReport<Ring::shortBytes>(expected).empty());
  CHECK(says(ringReport<Ring::longBytes>(expected), "deadlock"));
  CHECK(!ringReport<Ring::wrongCount>(expected).empty());
  CHECK(says(ringReport<Ring::wrongParity>(expected), "deadlock"));
  CHECK(says(ringReport<Ring::noFence>(expected), "was not made visible"));
  CHECK(says(ringReport<Ring::noInit>(expected), "used before initBarrier"));
}

__global__ void loadAndLeave(const __grid_constant__ CUtensorMap map) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  LANGEVIN_SHARED(uint64_t, full);
  ptx::initBarrier(&full, 1);
  ptx::fenceBarrierInit();
  ptx::arriveExpecting(&full, 1024);
  ptx::loadBox(memory, &map, &full, 0, 0);
}
__global__ void loadMisaligned(const __grid_constant__ CUtensorMap map) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  LANGEVIN_SHARED(uint64_t, full);
  ptx::initBarrier(&full, 1);
  ptx::fenceBarrierInit();
  ptx::arriveExpecting(&full, 1024);
  ptx::loadBox(memory + 64, &map, &full, 0, 0);
  ptx::waitBarrier(&full, 0);
}
__global__ void arriveTwice() {
  LANGEVIN_SHARED(uint64_t, barrier);
  ptx::initBarrier(&barrier, 1);
  ptx::arriveExpecting(&barrier, 16);
  ptx::arrive(&barrier);
}
__global__ void overwriteBarrier() {
  LANGEVIN_SHARED(uint64_t, barrier);
  ptx::initBarrier(&barrier, 1);
  barrier = 0;
  ptx::arrive(&barrier);
}

TEST("a block that ends with a load under way, misaligned boxes, and misused mbarriers are reported") {
  const auto reportOfLoad = [](void (*kernel)(CUtensorMap)) {
    return reportOf([&] {
      const Array<int> in(ascending(256));
      const MapOf view{CU_TENSOR_MAP_DATA_TYPE_INT32, {32, 8}, {128}, {32, 8}, {}};
      Shape shape;
      shape.sharedBytes = 2048;
      for (int i = 0; i < kRepeats; ++i) {
        const cudaError_t status = launch(kernel, shape, view.encode(in.data()));
        if (status != cudaSuccess) return status;
      }
      return cudaSuccess;
    });
  };
  CHECK(says(reportOfLoad(loadAndLeave), "ends with TMA loads under way"));
  CHECK(says(reportOfLoad(loadMisaligned), "not 128-byte aligned"));
  CHECK(says(reportOfLaunch(arriveTwice, Shape()), "one arrival more"));
  CHECK(says(reportOfLaunch(overwriteBarrier, Shape()), "were overwritten"));
}

}  // namespace

TEST_MAIN
