// Matrix instructions of the emulated machine, against products by their definition in float64 with fragments and
// layouts written down here a second time, from the tables of the PTX ISA.
#include <cmath>
#include <cstring>

#include "../core/dtype.h"
#include "../cuda/ptx.h"
#include "emulator.h"

namespace {

using namespace langevin::test;
namespace ptx = langevin::ptx;
using langevin::toBf16;
using langevin::toFloat;

/// Numbers without a pattern; `whole`: small integers, whose products add up exactly.
struct Numbers {
  uint64_t state;
  float next(bool whole) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto bits = static_cast<uint32_t>(state >> 40);
    return whole ? static_cast<float>(static_cast<int>(bits % 9) - 4) : static_cast<float>(bits) * 0x1p-23f - 1.0f;
  }
};
uint16_t halfBits(float v) { return toBf16(v).bits; }
float halfValue(uint16_t bits) { return toFloat(langevin::bf16{bits}); }

// ---- ldmatrix, stmatrix ----

__global__ void moveMatrices(const uint16_t* in, uint32_t* loaded, uint32_t* transposed, uint16_t* stored) {
  LANGEVIN_SHARED(int4, tile, [32]);
  LANGEVIN_SHARED(int4, back, [32]);
  tile[threadIdx.x] = reinterpret_cast<const int4*>(in)[threadIdx.x];
  __syncwarp();
  // Tile i in rows 8·i to 8·i + 7, the rows of each tile given in reverse order.
  const unsigned row = threadIdx.x / 8 * 8 + (7 - threadIdx.x % 8);
  uint32_t r[4], t[4];
  ptx::loadMatrix4(r, &tile[row]);
  ptx::loadMatrix4Transposed(t, &tile[row]);
  for (unsigned i = 0; i < 4; ++i) {
    loaded[4 * threadIdx.x + i] = r[i];
    transposed[4 * threadIdx.x + i] = t[i];
  }
  ptx::storeMatrix4(&back[row], r);
  __syncwarp();
  reinterpret_cast<int4*>(stored)[threadIdx.x] = back[threadIdx.x];
}

TEST("ldmatrix, its transposing form, and stmatrix as its inverse") {
  std::vector<uint16_t> values(256);
  for (size_t i = 0; i < 256; ++i) values[i] = static_cast<uint16_t>(i * 257 + 3);
  const Array<uint16_t> in(values), stored(256);
  const Array<uint32_t> loaded(128), transposed(128);
  CHECK(launch(moveMatrices, {dim3(1), dim3(32)}, in.data(), loaded.data(), transposed.data(), stored.data()) ==
        cudaSuccess);
  CHECK(stored.read() == values);
  const std::vector<uint32_t> plain = loaded.read(), turned = transposed.read();
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned tile = 0; tile < 4; ++tile) {
      const auto element = [&](unsigned row, unsigned column) {
        return static_cast<uint32_t>(values[8 * (8 * tile + 7 - row) + column]);
      };
      const unsigned group = lane / 4, pair = 2 * (lane % 4);
      CHECK(plain[4 * lane + tile] == (element(group, pair) | element(group, pair + 1) << 16));
      CHECK(turned[4 * lane + tile] == (element(pair, group) | element(pair + 1, group) << 16));
    }
  }
}

// ---- mma.sync ----

__global__ void multiplyBf16(const uint32_t* a, const uint32_t* b, float* d) {
  uint32_t ra[4], rb[2];
  float rd[4];
  for (unsigned i = 0; i < 4; ++i) ra[i] = a[4 * threadIdx.x + i];
  for (unsigned i = 0; i < 2; ++i) rb[i] = b[2 * threadIdx.x + i];
  for (unsigned i = 0; i < 4; ++i) rd[i] = d[4 * threadIdx.x + i];
  ptx::mmaBf16(rd, ra, rb);
  for (unsigned i = 0; i < 4; ++i) d[4 * threadIdx.x + i] = rd[i];
}
__global__ void multiplyTf32(const uint32_t* a, const uint32_t* b, float* d) {
  uint32_t ra[4], rb[2];
  float rd[4];
  for (unsigned i = 0; i < 4; ++i) ra[i] = a[4 * threadIdx.x + i];
  for (unsigned i = 0; i < 2; ++i) rb[i] = b[2 * threadIdx.x + i];
  for (unsigned i = 0; i < 4; ++i) rd[i] = d[4 * threadIdx.x + i];
  ptx::mmaTf32(rd, ra, rb);
  for (unsigned i = 0; i < 4; ++i) d[4 * threadIdx.x + i] = rd[i];
}

/// The largest error of d = a·b + c, in units of Σ|a·b| + |c|.
struct Sums {
  double value = 0, size = 0;
  void add(double x) {
    value += x;
    size += std::fabs(x);
  }
  double error(float computed) const { return std::fabs(computed - value) / (size > 0 ? size : 1); }
};

double errorOfMma(bool tf32, bool whole, uint64_t seed) {
  Numbers numbers{seed};
  const int k = tf32 ? 8 : 16;
  std::vector<float> a(static_cast<size_t>(16 * k)), b(static_cast<size_t>(k * 8)), c(128);
  for (float& v : a)
    v = tf32 ? __uint_as_float(ptx::toTf32(numbers.next(whole))) : halfValue(halfBits(numbers.next(whole)));
  for (float& v : b)
    v = tf32 ? __uint_as_float(ptx::toTf32(numbers.next(whole))) : halfValue(halfBits(numbers.next(whole)));
  for (float& v : c) v = numbers.next(whole);
  std::vector<uint32_t> ra(128), rb(64);
  std::vector<float> rd(128);
  const auto pack = [](float low, float high) {
    return static_cast<uint32_t>(halfBits(low)) | static_cast<uint32_t>(halfBits(high)) << 16;
  };
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const auto A = [&](int row, int column) { return a[static_cast<size_t>(row * k + column)]; };
    const auto B = [&](int row, int column) { return b[static_cast<size_t>(row * 8 + column)]; };
    uint32_t* const la = &ra[static_cast<size_t>(4 * lane)];
    uint32_t* const lb = &rb[static_cast<size_t>(2 * lane)];
    if (tf32) {
      la[0] = __float_as_uint(A(g, t));
      la[1] = __float_as_uint(A(g + 8, t));
      la[2] = __float_as_uint(A(g, t + 4));
      la[3] = __float_as_uint(A(g + 8, t + 4));
      lb[0] = __float_as_uint(B(t, g));
      lb[1] = __float_as_uint(B(t + 4, g));
    } else {
      la[0] = pack(A(g, 2 * t), A(g, 2 * t + 1));
      la[1] = pack(A(g + 8, 2 * t), A(g + 8, 2 * t + 1));
      la[2] = pack(A(g, 2 * t + 8), A(g, 2 * t + 9));
      la[3] = pack(A(g + 8, 2 * t + 8), A(g + 8, 2 * t + 9));
      lb[0] = pack(B(2 * t, g), B(2 * t + 1, g));
      lb[1] = pack(B(2 * t + 8, g), B(2 * t + 9, g));
    }
    for (int i = 0; i < 4; ++i) {
      rd[static_cast<size_t>(4 * lane + i)] = c[static_cast<size_t>((g + 8 * (i / 2)) * 8 + 2 * t + i % 2)];
    }
  }
  const Array<uint32_t> da(ra), db(rb);
  const Array<float> dd(rd);
  CHECK(launch(tf32 ? multiplyTf32 : multiplyBf16, {dim3(1), dim3(32)}, da.data(), db.data(), dd.data()) ==
        cudaSuccess);
  const std::vector<float> result = dd.read();
  double worst = 0;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      Sums sum;
      sum.add(c[static_cast<size_t>(row * 8 + column)]);
      for (int n = 0; n < k; ++n) {
        sum.add(static_cast<double>(a[static_cast<size_t>(row * k + n)]) * b[static_cast<size_t>(n * 8 + column)]);
      }
      worst = std::max(worst, sum.error(result[static_cast<size_t>(4 * lane + i)]));
    }
  }
  return worst;
}

TEST("mma.sync multiplies fragments as the ISA lays them out") {
  for (const bool tf32 : {false, true}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      CHECK(errorOfMma(tf32, true, seed) == 0);  // whole numbers: exactly
      CHECK(errorOfMma(tf32, false, seed) < 1e-6);
    }
  }
}

TEST("TF32 is the upper 19 bits, rounded to nearest, ties away from zero") {
  CHECK(ptx::toTf32(1.0f) == 0x3f800000u && ptx::toTf32(-1.0f) == 0xbf800000u);
  CHECK(ptx::toTf32(__uint_as_float(0x3f800fffu)) == 0x3f800000u);
  CHECK(ptx::toTf32(__uint_as_float(0x3f801000u)) == 0x3f802000u);
  CHECK(ptx::toTf32(__uint_as_float(0xbf801000u)) == 0xbf802000u);
  CHECK(ptx::toTf32(INFINITY) == 0x7f800000u && std::isnan(__uint_as_float(ptx::toTf32(NAN))));
}

// ---- wgmma ----

/// One or two products of a warpgroup. The operands are put in shared memory byte by byte as `a` and `b` say.
struct Operands {
  uint64_t a, b;  // descriptors, less their start addresses
  int bytesA, bytesB;
  int n, steps, stepA, stepB;  // steps: products, each so many bytes further
  int aMnMajor, bMnMajor, tf32;
  int mistake;  // 1: no fence, 2: no wait, 3: operand overwritten before the wait, 4: different descriptors
};

__global__ void multiplyGroup(const unsigned char* a, const unsigned char* b, float* out, Operands o) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  unsigned char* const sharedB = memory + (o.bytesA + 1023) / 1024 * 1024;
  for (int i = static_cast<int>(threadIdx.x); i < o.bytesA; i += 128) memory[i] = a[i];
  for (int i = static_cast<int>(threadIdx.x); i < o.bytesB; i += 128) sharedB[i] = b[i];
  if (o.mistake != 1) ptx::fenceAsyncShared();
  __syncthreads();
  float d[128];
  for (float& v : d) v = 0.5f;
  ptx::fenceProducts();
  for (int step = 0; step < o.steps; ++step) {
    const uint64_t startA = (ptx::sharedAddress(memory) + static_cast<unsigned>(step * o.stepA)) >> 4;
    uint64_t startB = (ptx::sharedAddress(sharedB) + static_cast<unsigned>(step * o.stepB)) >> 4;
    if (o.mistake == 4 && threadIdx.x == 77) startB += 1;
    if (o.tf32) {
      emulator::wgmmaTf32(d, o.n, o.a | startA, o.b | startB);
    } else {
      emulator::wgmma(d, o.n, o.a | startA, o.b | startB, o.aMnMajor != 0, o.bMnMajor != 0);
    }
  }
  ptx::commitProducts();
  if (o.mistake == 3) {
    __syncthreads();
    memory[threadIdx.x] = 0x40;
    ptx::fenceAsyncShared();
    __syncthreads();
  }
  if (o.mistake != 2) ptx::waitProducts<0>();
  for (int i = 0; i < o.n / 2; ++i) out[static_cast<int>(threadIdx.x) * (o.n / 2) + i] = d[i];
  if (o.mistake == 2) ptx::waitProducts<0>();
}

/// The byte of element (mn, k) of an operand in the layouts that TMA writes: rows of `span` bytes, each either so many
/// k of one mn, or so many mn of one k; several of those side by side, `chunkBytes` apart. Swizzled.
int placeOf(int mn, int k, bool mnMajor, int span, int elementBytes, int chunkBytes) {
  const int perRow = span / elementBytes;
  const int along = mnMajor ? mn : k, across = mnMajor ? k : mn;
  const int address = along / perRow * chunkBytes + across * span + along % perRow * elementBytes;
  return address ^ ((address >> 7 & (span / 16 - 1)) << 4);
}

struct GroupCase {
  int n, k, span;
  bool aMnMajor, bMnMajor, tf32;
};

/// The error of 64×n×k products in steps of 16 (8) k; `whole` numbers.
cudaError_t runGroup(const GroupCase& c, bool whole, int mistake, double* worst) {
  Numbers numbers{static_cast<uint64_t>(c.n * 1000 + c.k * 10 + c.span)};
  const int bytes = c.tf32 ? 4 : 2, perRow = c.span / bytes;
  const auto chunks = [&](int mn, bool mnMajor) { return ((mnMajor ? mn : c.k) + perRow - 1) / perRow; };
  const auto chunkBytes = [&](int mn, bool mnMajor) { return (mnMajor ? c.k : mn) * c.span; };
  std::vector<float> a(static_cast<size_t>(64 * c.k)), b(static_cast<size_t>(c.n * c.k));
  const auto fill = [&](std::vector<float>& values, int mn, bool mnMajor) {
    std::vector<unsigned char> memory(static_cast<size_t>(chunks(mn, mnMajor) * chunkBytes(mn, mnMajor)), 0xee);
    for (int i = 0; i < mn; ++i) {
      for (int k = 0; k < c.k; ++k) {
        const float v = numbers.next(whole);
        unsigned char* const to =
            &memory[static_cast<size_t>(placeOf(i, k, mnMajor, c.span, bytes, chunkBytes(mn, mnMajor)))];
        const uint16_t half = halfBits(v);
        const uint32_t word = ptx::toTf32(v);
        std::memcpy(to, c.tf32 ? static_cast<const void*>(&word) : &half, static_cast<size_t>(bytes));
        values[static_cast<size_t>(i * c.k + k)] = c.tf32 ? __uint_as_float(word) : halfValue(half);
      }
    }
    return memory;
  };
  const std::vector<unsigned char> memoryA = fill(a, 64, c.aMnMajor), memoryB = fill(b, c.n, c.bMnMajor);
  const auto descriptor = [&](int mn, bool mnMajor) {
    const uint64_t layout = c.span == 128 ? 1 : c.span == 64 ? 2 : 3;
    return (static_cast<uint64_t>(mnMajor ? chunkBytes(mn, mnMajor) / 16 : 1) << 16) |
           (static_cast<uint64_t>(8 * c.span / 16) << 32) | (layout << 62);
  };
  Operands o{};
  o.a = descriptor(64, c.aMnMajor);
  o.b = descriptor(c.n, c.bMnMajor);
  o.bytesA = static_cast<int>(memoryA.size());
  o.bytesB = static_cast<int>(memoryB.size());
  o.n = c.n;
  o.steps = c.k * bytes / 32;
  o.stepA = c.aMnMajor ? 16 * c.span : 32;
  o.stepB = c.bMnMajor ? 16 * c.span : 32;
  o.aMnMajor = c.aMnMajor;
  o.bMnMajor = c.bMnMajor;
  o.tf32 = c.tf32;
  o.mistake = mistake;
  const Array<unsigned char> da(memoryA), db(memoryB);
  const Array<float> out(static_cast<size_t>(64 * c.n));
  Shape shape{dim3(1), dim3(128)};
  shape.sharedBytes = static_cast<size_t>((o.bytesA + 1023) / 1024 * 1024 + o.bytesB);
  const cudaError_t status = launch(multiplyGroup, shape, da.data(), db.data(), out.data(), o);
  if (status != cudaSuccess) return status;
  const std::vector<float> result = out.read();
  *worst = 0;
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < c.n / 2; ++i) {
      const int row = 16 * (t / 32) + t % 32 / 4 + 8 * (i / 2 % 2), column = 8 * (i / 4) + 2 * (t % 4) + i % 2;
      Sums sum;
      sum.add(0.5);
      for (int k = 0; k < c.k; ++k) {
        sum.add(static_cast<double>(a[static_cast<size_t>(row * c.k + k)]) * b[static_cast<size_t>(column * c.k + k)]);
      }
      const double error = sum.error(result[static_cast<size_t>(t * (c.n / 2) + i)]);
      *worst = error == error ? std::max(*worst, error) : 1e9;
    }
  }
  return cudaSuccess;
}

double errorOfGroup(const GroupCase& c, bool whole, int mistake = 0) {
  double worst = 1e9;
  CHECK(runGroup(c, whole, mistake, &worst) == cudaSuccess);
  return worst;
}

TEST("wgmma: K-major and MN-major operands under every swizzle, bf16 and TF32") {
  const GroupCase cases[] = {
      {8, 16, 32, false, false, false},   {160, 64, 128, false, false, false}, {256, 32, 64, false, false, false},
      {64, 16, 32, true, false, false},   {128, 64, 128, true, false, false},  {96, 32, 64, true, false, false},
      {64, 64, 128, false, true, false},  {160, 16, 64, false, true, false},   {32, 16, 32, false, true, false},
      {128, 128, 128, true, true, false}, {192, 48, 128, true, true, false},   {40, 32, 128, false, false, true},
      {72, 16, 64, false, false, true},   {128, 8, 32, false, false, true},
  };
  for (const GroupCase& c : cases) {
    CHECK(errorOfGroup(c, true) == 0);
    CHECK(errorOfGroup(c, false) < 2e-6);
  }
}

TEST("wgmma: a missing proxy fence or wait, and operands that change before it, give wrong sums") {
  const GroupCase c{64, 64, 128, false, false, false};
  CHECK(errorOfGroup(c, true, 1) > 0);
  CHECK(errorOfGroup(c, true, 2) > 0);
  CHECK(errorOfGroup(c, true, 3) > 0);
}

TEST("wgmma: operands that differ within a warpgroup are reported") {
  CHECK(says(reportOf([] {
               double worst = 0;
               return runGroup({64, 64, 128, false, false, false}, true, 4, &worst);
             }),
             "differ among the threads"));
}

__global__ void registersOperand(const uint32_t* a, const unsigned char* b, float* out, uint64_t descriptor) {
  LANGEVIN_DYNAMIC_SHARED(memory);
  for (int i = static_cast<int>(threadIdx.x); i < 8 * 32; i += 128) memory[i] = b[i];
  ptx::fenceAsyncShared();
  __syncthreads();
  uint32_t ra[4];
  float d[4] = {9, 9, 9, 9};
  for (unsigned i = 0; i < 4; ++i) ra[i] = a[4 * threadIdx.x + i];
  ptx::fenceProducts();
  emulator::wgmmaFromRegisters(d, 8, ra, descriptor | ptx::sharedAddress(memory) >> 4, false, false);
  ptx::commitProducts();
  ptx::waitProducts<0>();
  for (unsigned i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = d[i];
}

TEST("wgmma: A from registers, and without the old sums") {
  Numbers numbers{5};
  std::vector<uint32_t> a(512);
  std::vector<float> values(64 * 16), columns(8 * 16);
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < 4; ++i) {
      const int row = 16 * (t / 32) + t % 32 / 4 + 8 * (i % 2), k = 2 * (t % 4) + 8 * (i / 2);
      const float low = numbers.next(true), high = numbers.next(true);
      a[static_cast<size_t>(4 * t + i)] = halfBits(low) | static_cast<uint32_t>(halfBits(high)) << 16;
      values[static_cast<size_t>(16 * row + k)] = low;
      values[static_cast<size_t>(16 * row + k + 1)] = high;
    }
  }
  std::vector<unsigned char> b(256);
  for (int column = 0; column < 8; ++column) {
    for (int k = 0; k < 16; ++k) {
      const float v = numbers.next(true);
      columns[static_cast<size_t>(16 * column + k)] = v;
      const uint16_t half = halfBits(v);
      std::memcpy(&b[static_cast<size_t>(placeOf(column, k, false, 32, 2, 256))], &half, 2);
    }
  }
  const Array<uint32_t> da(a);
  const Array<unsigned char> db(b);
  const Array<float> out(512);
  Shape shape{dim3(1), dim3(128)};
  shape.sharedBytes = 256;
  const uint64_t descriptor = uint64_t{1} << 16 | uint64_t{16} << 32 | uint64_t{3} << 62;
  CHECK(launch(registersOperand, shape, da.data(), db.data(), out.data(), descriptor) == cudaSuccess);
  const std::vector<float> result = out.read();
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < 4; ++i) {
      const int row = 16 * (t / 32) + t % 32 / 4 + 8 * (i / 2), column = 2 * (t % 4) + i % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) {
        sum += values[static_cast<size_t>(16 * row + k)] * columns[static_cast<size_t>(16 * column + k)];
      }
      CHECK(result[static_cast<size_t>(4 * t + i)] == sum);
    }
  }
}

}  // namespace

TEST_MAIN
