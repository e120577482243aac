// TMA boxes: what they read and write of a tensor, swizzles, maps that are refused; stores and the asynchronous proxy.
#include "asynchronous.h"

namespace {

using namespace langevin::test;
namespace ptx = langevin::ptx;

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

}  // namespace

TEST_MAIN
