// wgmma: shared memory is filled with numbers that know of no layout, so that what comes out shows which bytes a
// descriptor stands for.
#include "../../cuda/wgmma.h"
#include "conformance.h"
#include "products.h"

namespace langevin::conformance {
namespace {

using test::Array;
using test::launch;
using test::Shape;

constexpr int kShared = 32 * 1024;
constexpr int kStartB = 16 * 1024;

/// A descriptor's fields in bytes (§9.7.15.5.1); the start counts from the operand's place in shared memory.
struct Operand {
  int start, leading, stride, baseOffset, swizzle;  // swizzle: 0, 128, 64 or 32 bytes
};

LANGEVIN_DEVICE uint64_t descriptorOf(const Operand& o, uint32_t base) {
  const uint64_t layout = o.swizzle == 128 ? 1 : o.swizzle == 64 ? 2 : o.swizzle == 32 ? 3 : 0;
  return ((base + static_cast<uint32_t>(o.start)) & 0x3ffff) >> 4 | static_cast<uint64_t>(o.leading >> 4) << 16 |
         static_cast<uint64_t>(o.stride >> 4) << 32 | static_cast<uint64_t>(o.baseOffset) << 49 | layout << 62;
}

enum class Form { shared, registers, tf32, replace };

template <Form form, int transposeA, int transposeB>
__global__ void multiply(const uint32_t* in, const uint32_t* registers, float* out, Operand a, Operand b) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_DYNAMIC_SHARED(memory);
  for (unsigned i = threadIdx.x; i < kShared / 4; i += 128) reinterpret_cast<uint32_t*>(memory)[i] = in[i];
  ptx::fenceAsyncShared();
  __syncthreads();
  float d[4];
  for (unsigned i = 0; i < 4; ++i) d[i] = static_cast<float>((7 * threadIdx.x + i) % 11);
  uint32_t r[4];
  for (unsigned i = 0; i < 4; ++i) r[i] = registers[4 * threadIdx.x + i];
  const uint64_t descriptorA = descriptorOf(a, ptx::sharedAddress(memory));
  const uint64_t descriptorB = descriptorOf(b, ptx::sharedAddress(memory + kStartB));
  ptx::fenceProducts();
  if constexpr (form == Form::shared) multiplyShared<transposeA, transposeB>(d, descriptorA, descriptorB, true);
  if constexpr (form == Form::replace) multiplyShared<transposeA, transposeB>(d, descriptorA, descriptorB, false);
  if constexpr (form == Form::registers) multiplyRegisters<transposeB>(d, r, descriptorB);
  if constexpr (form == Form::tf32) multiplyTf32(d, descriptorA, descriptorB);
  ptx::commitProducts();
  ptx::waitProducts<0>();
  for (unsigned i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = d[i];
#endif
}

std::vector<uint32_t> operandWords(size_t count, uint64_t seed, bool tf32, bool whole) {
  if (tf32) return numbers<uint32_t>(count, seed, whole);
  const std::vector<uint16_t> halves = numbers<uint16_t>(2 * count, seed, whole);
  std::vector<uint32_t> words(count);
  std::memcpy(words.data(), halves.data(), 4 * count);
  return words;
}

template <Form form, int transposeA = 0, int transposeB = 0>
Bytes product(const Operand& a, const Operand& b, bool whole = true) {
  constexpr bool kTf32 = form == Form::tf32;
  const Array<uint32_t> in(operandWords(kShared / 4, 200, kTf32, whole)),
      registers(operandWords(512, 201, false, whole));
  const Array<float> out(512);
  Shape shape{dim3(1), dim3(128)};
  shape.sharedBytes = kShared;
  CHECK(launch(multiply<form, transposeA, transposeB>, shape, in.data(), registers.data(), out.data(), a, b) ==
        cudaSuccess);
  return bytesOf(out.read());
}

// Operands as TMA writes them, and the strides between their groups.
constexpr Operand kRows128{0, 16, 1024, 0, 128};  // K-major: rows of 128 bytes
constexpr Operand kRows64{0, 16, 512, 0, 64};
constexpr Operand kRows32{0, 16, 256, 0, 32};
constexpr Operand kChunks128{0, 4096, 1024, 0, 128};  // MN-major: chunks of 64 rows or columns, 4096 bytes apart
constexpr Operand kChunks64{0, 2048, 512, 0, 64};
constexpr Operand kChunks32{0, 1024, 256, 0, 32};

Operand from(Operand operand, int start) {
  operand.start = start;
  return operand;
}
Operand withBaseOffset(Operand operand, int start, int offset) {
  operand.start = start;
  operand.baseOffset = offset;
  return operand;
}

CONFORMANCE("wgmma, K-major, swizzle of 128 bytes", 90) { return product<Form::shared>(kRows128, kRows128); }
CONFORMANCE("wgmma, K-major, swizzle of 64 bytes", 90) { return product<Form::shared>(kRows64, kRows64); }
CONFORMANCE("wgmma, K-major, swizzle of 32 bytes", 90) { return product<Form::shared>(kRows32, kRows32); }
CONFORMANCE("wgmma, K-major, no swizzle", 90) {
  return product<Form::shared>({0, 1024, 128, 0, 0}, {0, 512, 128, 0, 0});
}
CONFORMANCE("wgmma, K-major, swizzle of 128 bytes, the third 16 of k", 90) {
  return product<Form::shared>(from(kRows128, 64), from(kRows128, 64));
}
CONFORMANCE("wgmma, K-major, groups of rows further apart", 90) {
  return product<Form::shared>({0, 16, 2048, 0, 128}, kRows128);
}
CONFORMANCE("wgmma, A MN-major, swizzle of 128 bytes", 90) { return product<Form::shared, 1, 0>(kChunks128, kRows128); }
CONFORMANCE("wgmma, A MN-major, swizzle of 64 bytes", 90) { return product<Form::shared, 1, 0>(kChunks64, kRows64); }
CONFORMANCE("wgmma, A MN-major, swizzle of 32 bytes", 90) { return product<Form::shared, 1, 0>(kChunks32, kRows32); }
CONFORMANCE("wgmma, A MN-major, no swizzle", 90) {
  return product<Form::shared, 1, 0>({0, 2048, 256, 0, 0}, {0, 512, 128, 0, 0});
}
CONFORMANCE("wgmma, B MN-major, swizzle of 128 bytes", 90) { return product<Form::shared, 0, 1>(kRows128, kChunks128); }
CONFORMANCE("wgmma, B MN-major, no swizzle", 90) { return product<Form::shared, 0, 1>(kRows128, {0, 512, 256, 0, 0}); }
CONFORMANCE("wgmma, both MN-major, the second 16 of k", 90) {
  return product<Form::shared, 1, 1>(from(kChunks128, 2048), from(kChunks128, 2048));
}
CONFORMANCE("wgmma, pattern starts 384 bytes after a multiple of 1024, base offset 3", 90) {
  return product<Form::shared>(withBaseOffset(kRows128, 384, 3), kRows128);
}
CONFORMANCE("wgmma, starts 384 bytes after a multiple of 1024, base offset 0", 90) {
  return product<Form::shared>(withBaseOffset(kRows128, 384, 0), kRows128);
}
CONFORMANCE("wgmma, A from registers", 90) { return product<Form::registers>(kRows128, kRows128); }
CONFORMANCE("wgmma, A from registers, B MN-major", 90) { return product<Form::registers, 0, 1>(kRows128, kChunks128); }
CONFORMANCE("wgmma, TF32", 90) { return product<Form::tf32>(kRows128, kRows128); }
CONFORMANCE("wgmma, without the old sums", 90) { return product<Form::replace>(kRows128, kRows128); }
CONFORMANCE_ROUNDING("wgmma, bf16", 90) { return product<Form::shared>(kRows128, kRows128, false); }
CONFORMANCE_ROUNDING("wgmma, TF32, many magnitudes", 90) { return product<Form::tf32>(kRows128, kRows128, false); }

/// The kernels' own form: wgmma.h, 64 columns, four steps of k.
template <bool mnA, bool mnB>
__global__ void multiplyWide(const uint32_t* in, float* out) {
#if defined(LANGEVIN_HOPPER)
  LANGEVIN_DYNAMIC_SHARED(memory);
  for (unsigned i = threadIdx.x; i < kShared / 4; i += 128) reinterpret_cast<uint32_t*>(memory)[i] = in[i];
  ptx::fenceAsyncShared();
  __syncthreads();
  float d[32];
  for (float& sum : d) sum = 0;
  constexpr auto majorA = mnA ? ptx::Major::mn : ptx::Major::k;
  constexpr auto majorB = mnB ? ptx::Major::mn : ptx::Major::k;
  ptx::fenceProducts();
  for (int step = 0; step < 4; ++step) {
    const int furtherA = step * (mnA ? 16 * 128 : 32);
    const int furtherB = step * (mnB ? 16 * 128 : 32);
    ptx::multiply<64, majorA, majorB>(d, ptx::describe<128>(memory + furtherA, 8192),
                                      ptx::describe<128>(memory + kStartB + furtherB, 8192));
  }
  ptx::commitProducts();
  ptx::waitProducts<0>();
  for (unsigned i = 0; i < 32; ++i) out[32 * threadIdx.x + i] = d[i];
#endif
}
template <bool mnA, bool mnB>
Bytes wideProduct() {
  const Array<uint32_t> in(operandWords(kShared / 4, 210, false, true));
  const Array<float> out(128 * 32);
  Shape shape{dim3(1), dim3(128)};
  shape.sharedBytes = kShared;
  CHECK(launch(multiplyWide<mnA, mnB>, shape, in.data(), out.data()) == cudaSuccess);
  return bytesOf(out.read());
}
CONFORMANCE("wgmma of 64 columns and 64 k, both K-major", 90) { return wideProduct<false, false>(); }
CONFORMANCE("wgmma of 64 columns and 64 k, B MN-major", 90) { return wideProduct<false, true>(); }
CONFORMANCE("wgmma of 64 columns and 64 k, both MN-major", 90) { return wideProduct<true, true>(); }

}  // namespace
}  // namespace langevin::conformance
