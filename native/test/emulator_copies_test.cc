// cp.async: groups, zeros, and what is reported.
#include "asynchronous.h"

namespace {

using namespace langevin::test;
namespace ptx = langevin::ptx;

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

}  // namespace

TEST_MAIN
