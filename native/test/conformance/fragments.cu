// cp.async, ldmatrix, stmatrix, mma.sync and conversions: what sm_80 has (stmatrix: sm_90).
#include "conformance.h"

namespace langevin::conformance {
namespace {

using test::Array;
using test::launch;

__global__ void copyPieces(const unsigned char* in, unsigned char* out) {
  LANGEVIN_SHARED(int4, tile, [64]);
  auto* const bytes = reinterpret_cast<unsigned char*>(tile);
  for (unsigned i = threadIdx.x; i < 1024; i += 32) bytes[i] = static_cast<unsigned char>(i);
  __syncwarp();
  ptx::copyAsync16(bytes + 16 * threadIdx.x, in + 16 * (31 - threadIdx.x), threadIdx.x % 5 != 2);
  ptx::commitCopies();
  ptx::copyAsync4(bytes + 512 + 8 * threadIdx.x, in + 4 * threadIdx.x + 512, threadIdx.x % 3 != 1);
  ptx::commitCopies();
  ptx::waitCopies<0>();
  __syncwarp();
  for (unsigned i = threadIdx.x; i < 1024; i += 32) out[i] = bytes[i];
}
CONFORMANCE("cp.async of 16 and 4 bytes, with zeros", 80) {
  const Array<unsigned char> in(noise(1024, 1)), out(1024);
  CHECK(launch(copyPieces, {dim3(1), dim3(32)}, in.data(), out.data()) == cudaSuccess);
  return out.read();
}

__global__ void loadTiles(const unsigned char* in, uint32_t* out) {
  LANGEVIN_SHARED(int4, tile, [64]);
  tile[threadIdx.x] = reinterpret_cast<const int4*>(in)[threadIdx.x];
  tile[threadIdx.x + 32] = reinterpret_cast<const int4*>(in)[threadIdx.x + 32];
  __syncwarp();
  uint32_t plain[4], transposed[4];
  ptx::loadMatrix4(plain, &tile[(13 * threadIdx.x + 5) % 64]);
  ptx::loadMatrix4Transposed(transposed, &tile[(29 * threadIdx.x + 3) % 64]);
  for (unsigned i = 0; i < 4; ++i) {
    out[4 * threadIdx.x + i] = plain[i];
    out[128 + 4 * threadIdx.x + i] = transposed[i];
  }
}
CONFORMANCE("ldmatrix, plain and transposed", 80) {
  const Array<unsigned char> in(noise(1024, 2));
  const Array<uint32_t> out(256);
  CHECK(launch(loadTiles, {dim3(1), dim3(32)}, in.data(), out.data()) == cudaSuccess);
  return bytesOf(out.read());
}

__global__ void storeTiles(const uint32_t* in, uint32_t* out) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_SHARED(int4, tile, [32]);
  uint32_t r[4];
  for (unsigned i = 0; i < 4; ++i) r[i] = in[4 * threadIdx.x + i];
  ptx::storeMatrix4(&tile[(11 * threadIdx.x + 7) % 32], r);
  __syncwarp();
  for (unsigned i = 0; i < 4; ++i)
    out[4 * threadIdx.x + i] = reinterpret_cast<const uint32_t*>(tile)[4 * threadIdx.x + i];
#endif
}
CONFORMANCE("stmatrix", 90) {
  const Array<uint32_t> in(numbers<uint32_t>(128, 3, false)), out(128);
  CHECK(launch(storeTiles, {dim3(1), dim3(32)}, in.data(), out.data()) == cudaSuccess);
  return bytesOf(out.read());
}

template <bool tf32>
__global__ void multiplyFragments(const uint32_t* a, const uint32_t* b, const float* c, float* out) {
  uint32_t ra[4], rb[2];
  float d[4];
  for (unsigned i = 0; i < 4; ++i) ra[i] = a[4 * threadIdx.x + i];
  for (unsigned i = 0; i < 2; ++i) rb[i] = b[2 * threadIdx.x + i];
  for (unsigned i = 0; i < 4; ++i) d[i] = c[4 * threadIdx.x + i];
  if (tf32) {
    ptx::mmaTf32(d, ra, rb);
  } else {
    ptx::mmaBf16(d, ra, rb);
  }
  for (unsigned i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = d[i];
}

/// 32-bit registers of the operands: pairs of bf16, or f32 whose lower bits TF32 does not have.
std::vector<uint32_t> registers(size_t count, uint64_t seed, bool tf32, bool whole) {
  if (tf32) return numbers<uint32_t>(count, seed, whole);
  const std::vector<uint16_t> halves = numbers<uint16_t>(2 * count, seed, whole);
  std::vector<uint32_t> words(count);
  std::memcpy(words.data(), halves.data(), 4 * count);
  return words;
}
template <bool tf32>
Bytes products(bool whole, uint64_t seed) {
  const Array<uint32_t> a(registers(128, seed, tf32, whole)), b(registers(64, seed + 1, tf32, whole));
  std::vector<float> sums(128);
  const std::vector<uint32_t> words = numbers<uint32_t>(128, seed + 2, whole);
  std::memcpy(sums.data(), words.data(), 512);
  const Array<float> c(sums), out(128);
  CHECK(launch(multiplyFragments<tf32>, {dim3(1), dim3(32)}, a.data(), b.data(), c.data(), out.data()) == cudaSuccess);
  return bytesOf(out.read());
}
CONFORMANCE("mma.sync m16n8k16 bf16, whole numbers", 80) { return products<false>(true, 10); }
CONFORMANCE("mma.sync m16n8k8 tf32, whole numbers", 80) { return products<true>(true, 20); }
CONFORMANCE_ROUNDING("mma.sync m16n8k16 bf16", 80) { return products<false>(false, 30); }
CONFORMANCE_ROUNDING("mma.sync m16n8k8 tf32", 80) { return products<true>(false, 40); }

__global__ void convert(const float* in, uint32_t* out, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += 32) {
    out[2 * i] = ptx::toTf32(in[i]);
    out[2 * i + 1] = ptx::packBf16(in[i], in[(i + 1) % count]);
  }
}
CONFORMANCE("conversions to TF32 and bf16: ties, infinities, NaN, subnormal numbers", 80) {
  std::vector<uint32_t> words = numbers<uint32_t>(64, 50, false);
  const uint32_t special[] = {0x3f800fffu, 0x3f801000u, 0x3f803000u, 0xbf801000u, 0x3f808000u, 0x3f818000u,
                              0x7f7fffffu, 0xff7fffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u,
                              0x00000001u, 0x00800000u, 0x80001000u, 0x007fffffu, 0x00000000u, 0x80000000u};
  words.insert(words.end(), std::begin(special), std::end(special));
  std::vector<float> values(words.size());
  std::memcpy(values.data(), words.data(), 4 * words.size());
  const Array<float> in(values);
  const Array<uint32_t> out(2 * values.size());
  CHECK(launch(convert, {dim3(1), dim3(32)}, in.data(), out.data(), static_cast<int>(values.size())) == cudaSuccess);
  return bytesOf(out.read());
}

}  // namespace
}  // namespace langevin::conformance
