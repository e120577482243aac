// Asynchronous copies, barriers in shared memory, TMA, clusters: a correct kernel gives the right results in whatever
// order its copies complete; a kernel that waits too little gets wrong ones or a report.
#include <algorithm>
#include <numeric>

#include "../cuda/ptx.h"
#include "emulator.h"

namespace {

using namespace langevin::test;
namespace ptx = langevin::ptx;

constexpr int kRepeats = 40;  // each launch draws other orders and delays

/// Whether any of some launches gives something else than `expected`.
template <class T, class F>
bool everDiffers(const std::vector<T>& expected, const F& run) {
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    if (run() != expected) return true;
  }
  return false;
}

std::vector<int> ascending(int n, int from = 0) {
  std::vector<int> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), from);
  return values;
}

// ---- cp.async ----

enum class Mistake { none, noWait, waitTooLittle, noBarrier, reuseTooEarly, noCommit };

/// Doubles 64·slabs numbers, slab by slab through two stages.
template <Mistake mistake>
__global__ void doubleBySlabs(const int* in, int* out, int slabs) {
  LANGEVIN_SHARED(int, stage, [2][64]);
  const unsigned t = threadIdx.x;  // 16 threads; each copies four numbers and reads those of its neighbour
  const auto start = [&](int slab) {
    if (slab < slabs) ptx::copyAsync16(&stage[slab % 2][4 * t], in + 64 * slab + 4 * t, true);
    if (mistake != Mistake::noCommit) ptx::commitCopies();
  };
  start(0);
  for (int slab = 0; slab < slabs; ++slab) {
    start(slab + 1);
    if (mistake == Mistake::waitTooLittle) {
      ptx::waitCopies<2>();
    } else if (mistake != Mistake::noWait) {
      ptx::waitCopies<1>();
    }
    if (mistake != Mistake::noBarrier) __syncthreads();
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned at = 4 * ((t + 5) % 16) + i;
      out[64 * slab + at] = 2 * stage[slab % 2][at];
    }
    if (mistake != Mistake::reuseTooEarly) __syncthreads();
  }
  ptx::waitCopies<0>();
}

template <Mistake mistake>
std::vector<int> doubled(int slabs) {
  const Array<int> in(ascending(64 * slabs, 1)), out(static_cast<size_t>(64 * slabs));
  CHECK(launch(doubleBySlabs<mistake>, {dim3(1), dim3(16)}, in.data(), out.data(), slabs) == cudaSuccess);
  return out.read();
}

TEST("cp.async: groups that are waited for have come; others may not have") {
  std::vector<int> expected = ascending(64 * 6, 1);
  for (int& v : expected) v *= 2;
  CHECK(!everDiffers(expected, [] { return doubled<Mistake::none>(6); }));
  CHECK(everDiffers(expected, [] { return doubled<Mistake::noWait>(6); }));
  CHECK(everDiffers(expected, [] { return doubled<Mistake::waitTooLittle>(6); }));
  CHECK(everDiffers(expected, [] { return doubled<Mistake::noBarrier>(6); }));
  CHECK(everDiffers(expected, [] { return doubled<Mistake::reuseTooEarly>(6); }));
}

TEST("cp.async that was never committed, and so cannot be waited for, is reported") {
  CHECK(says(reportOf([] {
               const Array<int> in(ascending(128)), out(128);
               for (int i = 0; i < kRepeats; ++i) {
                 const cudaError_t status =
                     launch(doubleBySlabs<Mistake::noCommit>, {dim3(1), dim3(16)}, in.data(), out.data(), 2);
                 if (status != cudaSuccess) return status;
               }
               return cudaSuccess;
             }),
             "cp.async under way"));
}

__global__ void copyWithZeros(const int* in, int* out, int valid) {
  LANGEVIN_SHARED(int, tile, [64]);
  ptx::copyAsync16(&tile[4 * threadIdx.x], in + 4 * threadIdx.x, static_cast<int>(threadIdx.x) < valid);
  ptx::commitCopies();
  ptx::waitCopies<0>();
  for (unsigned i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = tile[4 * threadIdx.x + i];
}

TEST("cp.async: zeros where there is nothing to copy, whose address is not read; outside of memory is reported") {
  std::vector<int> expected = ascending(64, 1);
  std::fill(expected.begin() + 40, expected.end(), 0);
  const Array<int> in(ascending(40, 1)), out(64);
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    CHECK(launch(copyWithZeros, {dim3(1), dim3(16)}, in.data(), out.data(), 10) == cudaSuccess);
    CHECK(out.read() == expected);
  }
  CHECK(says(reportOf([] {
               const Array<int> in(ascending(40, 1)), out(64);
               return launch(copyWithZeros, {dim3(1), dim3(16)}, in.data(), out.data(), 11);
             }),
             "cp.async of 16 bytes from"));
}

__global__ void copyMisaligned(const int* in) {
  LANGEVIN_SHARED(int, tile, [64]);
  ptx::copyAsync16(&tile[0], in + 1, true);
  ptx::commitCopies();
  ptx::waitCopies<0>();
}
TEST("cp.async from an address that is not aligned is reported") {
  CHECK(says(reportOf([] {
               const Array<int> in(64);
               return launch(copyMisaligned, {dim3(1), dim3(1)}, in.data());
             }),
             "not aligned"));
}

// ---- mbarriers and TMA ----

struct MapOf {
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  std::vector<uint64_t> extents;
  std::vector<uint64_t> strides;  // bytes, of all but the first
  std::vector<uint32_t> box;
  std::vector<uint32_t> steps;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;

  CUresult tryEncode(void* base, CUtensorMap* map) const {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
    CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) ==
          cudaSuccess);
    CHECK(found == cudaDriverEntryPointSuccess);
    const std::vector<uint32_t> ones(extents.size(), 1);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function)(
        map, type, static_cast<cuuint32_t>(extents.size()), base, extents.data(), strides.data(), box.data(),
        steps.empty() ? ones.data() : steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
        CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }
  CUtensorMap encode(void* base) const {
    CUtensorMap map;
    CHECK(tryEncode(base, &map) == CUDA_SUCCESS);
    return map;
  }
};

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

/// One box as it lies in shared memory.
template <int rank>
__global__ void loadOne(const __grid_constant__ CUtensorMap map, const int* at, uint16_t* out, int bytes) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  LANGEVIN_SHARED(uint64_t, full);
  if (threadIdx.x == 0) {
    ptx::initBarrier(&full, 1);
    ptx::fenceBarrierInit();
    ptx::arriveExpecting(&full, static_cast<uint32_t>(bytes));
    if constexpr (rank == 2) ptx::loadBox(memory, &map, &full, at[0], at[1]);
    if constexpr (rank == 4) ptx::loadBox(memory, &map, &full, at[0], at[1], at[2], at[3]);
    if constexpr (rank == 5) ptx::loadBox(memory, &map, &full, at[0], at[1], at[2], at[3], at[4]);
  }
  __syncthreads();
  ptx::waitBarrier(&full, 0);
  for (int i = static_cast<int>(threadIdx.x); i < bytes / 2; i += 32) {
    out[i] = reinterpret_cast<const uint16_t*>(memory)[i];
  }
}

/// What loadOne gives, by the documentation of boxes: coordinate by coordinate.
std::vector<uint16_t> expectedBox(const std::vector<uint16_t>& values, const MapOf& view, const std::vector<int>& at) {
  const size_t rank = view.extents.size();
  std::vector<size_t> counts(5, 1);
  for (size_t i = 0; i < rank; ++i) {
    const size_t step = view.steps.empty() || i == 0 ? 1 : view.steps[i];
    counts[i] = (view.box[i] + step - 1) / step;
  }
  const size_t all = counts[0] * counts[1] * counts[2] * counts[3] * counts[4];
  const size_t span = view.swizzle == CU_TENSOR_MAP_SWIZZLE_NONE ? 0 : size_t{16} << view.swizzle;
  std::vector<uint16_t> box(all);
  for (size_t n = 0; n < all; ++n) {
    size_t rest = n, offset = 0;
    bool outside = false;
    for (size_t i = 0; i < rank; ++i) {
      const size_t step = view.steps.empty() || i == 0 ? 1 : view.steps[i];
      const long c = at[i] + static_cast<long>(rest % counts[i] * step);
      rest /= counts[i];
      outside = outside || c < 0 || c >= static_cast<long>(view.extents[i]);
      if (!outside) offset += static_cast<size_t>(c) * (i == 0 ? 2 : view.strides[i - 1]);
    }
    size_t byte = 2 * n;
    if (span != 0) {
      const size_t row = byte / 128, mask = span / 16 - 1;
      byte ^= (row & mask) << 4;
    }
    box[byte / 2] = outside ? 0 : values[offset / 2];
  }
  return box;
}

template <int rank>
bool loadsAsDocumented(const MapOf& view, size_t count, const std::vector<int>& at) {
  std::vector<uint16_t> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<uint16_t>(i * 7919 + 1);
  const std::vector<uint16_t> expected = expectedBox(values, view, at);
  const Array<uint16_t> in(values), out(expected.size());
  const Array<int> where(at);
  Shape shape{dim3(1), dim3(32)};
  shape.sharedBytes = expected.size() * 2;
  CHECK(launch(loadOne<rank>, shape, view.encode(in.data()), where.data(), out.data(),
               static_cast<int>(2 * expected.size())) == cudaSuccess);
  return out.read() == expected;
}

TEST("TMA: boxes in the tensor and across each of its edges, zeros outside; swizzles; element strides") {
  MapOf view;
  view.extents = {40, 10, 6, 3};
  view.strides = {80, 800, 4800};
  view.box = {32, 4, 3, 2};
  for (const auto swizzle : {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_64B}) {
    view.swizzle = swizzle;
    for (const std::vector<int>& at : std::vector<std::vector<int>>{{0, 0, 0, 0},
                                                                    {8, 3, 2, 1},
                                                                    {-5, -1, -1, -1},
                                                                    {20, 8, 5, 2},
                                                                    {40, 0, 0, 0},
                                                                    {0, -4, 0, 0},
                                                                    {-100, 3, 3, 3}}) {
      CHECK(loadsAsDocumented<4>(view, 40 * 10 * 6 * 3, at));
    }
  }
  view.steps = {1, 2, 2, 1};
  view.box = {32, 4, 5, 2};
  CHECK(loadsAsDocumented<4>(view, 40 * 10 * 6 * 3, {0, -1, 1, 0}));
  MapOf narrow;
  narrow.extents = {16, 100};
  narrow.strides = {32};
  narrow.box = {16, 24};
  narrow.swizzle = CU_TENSOR_MAP_SWIZZLE_32B;
  CHECK(loadsAsDocumented<2>(narrow, 1600, {0, 90}));
  MapOf wide;
  wide.extents = {64, 100};
  wide.strides = {128};
  wide.box = {64, 24};
  wide.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
  CHECK(loadsAsDocumented<2>(wide, 6400, {-8, 90}));
}

TEST("TMA: the view by parity of rows and columns, five dimensions") {
  // [2 images][8][8][16 channels] as {2C, W/2, 2, H/2, N}: every second row and column from an odd one on.
  MapOf view;
  view.extents = {32, 4, 2, 4, 2};
  view.strides = {64, 256, 512, 2048};
  view.box = {16, 4, 1, 4, 1};
  CHECK(loadsAsDocumented<5>(view, 2 * 8 * 8 * 16, {16, -1, 1, 0, 1}));
}

TEST("TMA: maps that the driver refuses are refused") {
  const Array<uint16_t> in(4096);
  CUtensorMap map;
  const auto view = [] {
    MapOf v;
    v.extents = {64, 64};
    v.strides = {128};
    v.box = {64, 8};
    v.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
    return v;
  };
  MapOf v = view();
  CHECK(v.tryEncode(in.data(), &map) == CUDA_SUCCESS);
  CHECK(v.tryEncode(in.data() + 1, &map) == CUDA_ERROR_INVALID_VALUE);  // 16-byte alignment
  v.strides = {120};
  CHECK(v.tryEncode(in.data(), &map) == CUDA_ERROR_INVALID_VALUE);
  v = view();
  v.box = {64, 257};
  CHECK(v.tryEncode(in.data(), &map) == CUDA_ERROR_INVALID_VALUE);
  v.box = {60, 8};  // 120 bytes
  CHECK(v.tryEncode(in.data(), &map) == CUDA_ERROR_INVALID_VALUE);
  v.box = {64, 8};
  v.swizzle = CU_TENSOR_MAP_SWIZZLE_64B;
  CHECK(v.tryEncode(in.data(), &map) == CUDA_ERROR_INVALID_VALUE);
  v = view();
  v.extents = {0, 64};
  CHECK(v.tryEncode(in.data(), &map) == CUDA_ERROR_INVALID_VALUE);
}

TEST("TMA: a map of more memory than there is, and bytes that are no map, are reported") {
  CHECK(says(reportOf([] {
               MapOf view;
               view.extents = {64, 100};
               view.strides = {128};
               view.box = {64, 8};
               const Array<uint16_t> in(64 * 99), out(512);
               const Array<int> at(std::vector<int>{0, 92});
               Shape shape{dim3(1), dim3(32)};
               shape.sharedBytes = 1024;
               return launch(loadOne<2>, shape, view.encode(in.data()), at.data(), out.data(), 1024);
             }),
             "whose memory is not allocated"));
  CHECK(says(reportOf([] {
               const Array<uint16_t> out(512);
               const Array<int> at(std::vector<int>{0, 0});
               Shape shape{dim3(1), dim3(32)};
               shape.sharedBytes = 1024;
               return launch(loadOne<2>, shape, CUtensorMap{}, at.data(), out.data(), 1024);
             }),
             "given as a tensor map are none"));
}

// ---- TMA stores and the asynchronous proxy ----

enum class Store { correct, noFence, noWaitBeforeReuse, noWaitAtEnd, fenceOfOneThread };

/// Each of two rounds: 64 threads write a box [4][16] of int32, one thread stores it.
template <Store mistake>
__global__ void storeRounds(const __grid_constant__ CUtensorMap map) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  auto* const box = reinterpret_cast<int*>(memory);
  for (int round = 0; round < 2; ++round) {
    box[threadIdx.x] = 1000 * round + static_cast<int>(threadIdx.x);
    if (mistake == Store::fenceOfOneThread ? threadIdx.x == 0 : mistake != Store::noFence) ptx::fenceAsyncShared();
    __syncthreads();
    if (threadIdx.x == 0) {
      ptx::storeBox(&map, memory, 0, 4 * round, 0, 0);
      ptx::commitStores();
      if (mistake != Store::noWaitBeforeReuse && mistake != Store::noWaitAtEnd) ptx::waitStoresRead<0>();
      if (mistake == Store::noWaitBeforeReuse && round == 1) ptx::waitStoresRead<0>();
    }
    __syncthreads();
  }
}

template <Store mistake>
cudaError_t runStores(std::vector<int>* result) {
  const Array<int> out(std::vector<int>(8 * 16, -1));
  MapOf view{CU_TENSOR_MAP_DATA_TYPE_INT32, {16, 7, 1, 1}, {64, 512, 512}, {16, 4, 1, 1}, {}};
  Shape shape{dim3(1), dim3(64)};
  shape.sharedBytes = 256;
  const cudaError_t status = launch(storeRounds<mistake>, shape, view.encode(out.data()));
  if (status == cudaSuccess) *result = out.read();
  return status;
}
template <Store mistake>
bool storesEverDiffer(const std::vector<int>& expected) {
  return everDiffers(expected, [] {
    std::vector<int> result;
    CHECK(runStores<mistake>(&result) == cudaSuccess);
    return result;
  });
}

TEST("TMA stores: what is outside the tensor is not written; fences and waits that lack show") {
  std::vector<int> expected(8 * 16, -1);
  for (int i = 0; i < 64; ++i) expected[static_cast<size_t>(i)] = i;
  for (int i = 0; i < 48; ++i) expected[static_cast<size_t>(64 + i)] = 1000 + i;
  CHECK(!storesEverDiffer<Store::correct>(expected));
  CHECK(storesEverDiffer<Store::noFence>(expected));
  CHECK(storesEverDiffer<Store::noWaitBeforeReuse>(expected));
  CHECK(storesEverDiffer<Store::fenceOfOneThread>(expected));
  CHECK(says(reportOf([] {
               std::vector<int> result;
               for (int i = 0; i < kRepeats; ++i) {
                 const cudaError_t status = runStores<Store::noWaitAtEnd>(&result);
                 if (status != cudaSuccess) return status;
               }
               return cudaSuccess;
             }),
             "TMA stores that may still read shared memory"));
}

// ---- clusters ----

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
