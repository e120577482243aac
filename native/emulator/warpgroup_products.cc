// wgmma: matrix products of a warpgroup, queued when they are issued and computed when somebody waits for them: what
// overwrites an operand too early, or reads a sum too early, gets wrong results. Descriptors and layouts are those of
// PTX ISA 9.0, §9.7.15.5. Sums are f32, by fused multiply-adds in the order of k: the hardware's own order and rounding
// are not modelled.
#include <cstring>
#include <memory>

#include "asynchronous.h"
#include "multiprocessor.h"

namespace emulator {

namespace {

constexpr int kRows = 64;
constexpr int kMostColumns = 256;
constexpr unsigned kThreadsOfGroup = 128;

Warpgroup& warpgroup() {
  Block& block = *self->block;
  if (block.warpgroups.empty()) block.warpgroups.resize((block.threads.size() + 127) / 128);
  return block.warpgroups[self->linear / kThreadsOfGroup];
}

// ---- operands in shared memory ----

struct Descriptor {
  uint32_t start, leading, stride, baseOffset;
  uint32_t span;  // of the swizzle, bytes; 16: none

  explicit Descriptor(uint64_t bits)
      : start(static_cast<uint32_t>(bits & 0x3fff) << 4),
        leading(static_cast<uint32_t>(bits >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(bits >> 32 & 0x3fff) << 4),
        baseOffset(static_cast<uint32_t>(bits >> 49 & 7)) {
    constexpr uint32_t kSpans[] = {16, 128, 64, 32};
    span = kSpans[bits >> 62];
  }

  /// Bits 4 to 6 change places by bits 7 to 9, counted from where the pattern starts.
  uint32_t swizzle(uint32_t address) const {
    const uint32_t mask = span / 16 - 1;
    return address ^ ((((address >> 7) - baseOffset) & mask) << 4);
  }
  /// Where 16 bytes of row `row` lie: K-major, bytes 16·chunk of its k.
  uint32_t kMajor(int row, int chunk) const {
    const auto r = static_cast<uint32_t>(row), c = static_cast<uint32_t>(chunk);
    return swizzle(start + r % 8 * span + r / 8 * stride + (span == 16 ? c * leading : c * 16));
  }
  /// MN-major: elements 8·chunk to 8·chunk + 7 of one k.
  uint32_t mnMajor(int chunk, int k) const {
    const auto c = static_cast<uint32_t>(chunk), kk = static_cast<uint32_t>(k);
    if (span == 16) return start + c * stride + kk % 8 * 16 + kk / 8 * leading;
    const uint32_t perRow = span / 16;
    return swizzle(start + c % perRow * 16 + c / perRow * leading + kk % 8 * span + kk / 8 * stride);
  }
};

/// The asynchronous proxy's view of 16 bytes at an address of the window.
const unsigned char* viewAt(const Block& block, uint32_t address) {
  constexpr uint32_t kDynamic = 1024;
  const auto afterDynamic = kDynamic + static_cast<uint32_t>((block.dynamicBytes + 1023) / 1024 * 1024);
  const unsigned char* place = nullptr;
  if (address >= kDynamic && address + 16 <= kDynamic + block.dynamicBytes) {
    place = block.dynamic + (address - kDynamic);
  } else if (address >= afterDynamic && address + 16 <= afterDynamic + block.staticBytes) {
    place = block.shared + (address - afterDynamic);
  }
  if (!place || !block.contains(place, 16)) {
    failWith(cudaErrorIllegalAddress, "wgmma: a descriptor that leads to shared address %u, outside the block's memory",
             address);
  }
  return block.inAsyncView(place);
}

/// f(element index 0 to 7, value) for 16 bytes of bf16.
template <class F>
void widen(const unsigned char* bytes, const F& f) {
  uint16_t halves[8];
  std::memcpy(halves, bytes, 16);
  for (int i = 0; i < 8; ++i) f(i, __uint_as_float(static_cast<uint32_t>(halves[i]) << 16));
}

/// set(row or column, k, value) for all elements of an operand.
template <class F>
void load(const Block& block, uint64_t bits, int rows, bool tf32, bool mnMajor, const F& set) {
  const Descriptor descriptor(bits);
  if (tf32) {
    for (int row = 0; row < rows; ++row) {
      for (int chunk = 0; chunk < 2; ++chunk) {
        uint32_t words[4];
        std::memcpy(words, viewAt(block, descriptor.kMajor(row, chunk)), 16);
        for (int i = 0; i < 4; ++i) set(row, 4 * chunk + i, __uint_as_float(words[i] & 0xffffe000u));
      }
    }
  } else if (mnMajor) {
    for (int chunk = 0; chunk < rows / 8; ++chunk) {
      for (int k = 0; k < 16; ++k) {
        widen(viewAt(block, descriptor.mnMajor(chunk, k)), [&](int i, float v) { set(8 * chunk + i, k, v); });
      }
    }
  } else {
    for (int row = 0; row < rows; ++row) {
      for (int chunk = 0; chunk < 2; ++chunk) {
        widen(viewAt(block, descriptor.kMajor(row, chunk)), [&](int i, float v) { set(row, 8 * chunk + i, v); });
      }
    }
  }
}

// ---- the product ----

/// sums[64][n] += a[64][k]·b[k][n], in the order of k; n is a multiple of 8.
inline __attribute__((always_inline)) void multiplyRows(float* sums, const float* a, const float* b, int n, int k) {
  constexpr int kWide = 32;
  for (int row = 0; row < kRows; ++row, sums += n, a += k) {
    int column = 0;
    for (; column + kWide <= n; column += kWide) {
      float part[kWide];
      for (int j = 0; j < kWide; ++j) part[j] = sums[column + j];
      for (int i = 0; i < k; ++i) {
        for (int j = 0; j < kWide; ++j) part[j] = __builtin_fmaf(a[i], b[i * n + column + j], part[j]);
      }
      for (int j = 0; j < kWide; ++j) sums[column + j] = part[j];
    }
    for (; column < n; column += 8) {
      float part[8];
      for (int j = 0; j < 8; ++j) part[j] = sums[column + j];
      for (int i = 0; i < k; ++i) {
        for (int j = 0; j < 8; ++j) part[j] = __builtin_fmaf(a[i], b[i * n + column + j], part[j]);
      }
      for (int j = 0; j < 8; ++j) sums[column + j] = part[j];
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void multiplyAvx2(float* sums, const float* a, const float* b, int n, int k) {
  multiplyRows(sums, a, b, n, k);
}
#endif
void multiplyPlain(float* sums, const float* a, const float* b, int n, int k) { multiplyRows(sums, a, b, n, k); }

void multiplyTile(float* sums, const float* a, const float* b, int n, int k) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (fast) return multiplyAvx2(sums, a, b, n, k);
#endif
  multiplyPlain(sums, a, b, n, k);
}

/// Thread t has rows 16·(t / 32) + (t % 32) / 4 + 8·h and columns 8·j + 2·(t % 4) + e in register 4·j + 2·h + e.
template <class F>
void forEachSum(int n, const F& f) {
  for (int t = 0; t < static_cast<int>(kThreadsOfGroup); ++t) {
    const int row = 16 * (t / 32) + t % 32 / 4, column = 2 * (t % 4);
    for (int j = 0; j < n / 8; ++j) {
      for (int h = 0; h < 2; ++h) {
        f(t, 4 * j + 2 * h, (row + 8 * h) * n + 8 * j + column);
      }
    }
  }
}

void compute(const Block& block, const Product& p) {
  // On the heap: an addon that is loaded late finds little room for variables of threads.
  struct Operands {
    alignas(64) float a[kRows * 16], b[16 * kMostColumns], sums[kRows * kMostColumns];
  };
  thread_local const auto operands = std::make_unique<Operands>();
  float *const a = operands->a, *const b = operands->b, *const sums = operands->sums;
  const int k = p.tf32 ? 8 : 16, n = p.n;
  if (p.aInRegisters) {
    for (int t = 0; t < static_cast<int>(kThreadsOfGroup); ++t) {
      const int row = 16 * (t / 32) + t % 32 / 4, column = 2 * (t % 4);
      for (int i = 0; i < 8; ++i) {
        const uint32_t word = p.registers[t][i / 2];
        a[(row + 8 * (i / 2 % 2)) * k + column + 8 * (i / 4) + i % 2] =
            __uint_as_float(i % 2 ? word & 0xffff0000u : word << 16);
      }
    }
  } else {
    load(block, p.a, kRows, p.tf32, p.aMnMajor, [&](int row, int kk, float v) { a[row * k + kk] = v; });
  }
  load(block, p.b, n, p.tf32, p.bMnMajor, [&](int column, int kk, float v) { b[kk * n + column] = v; });
  forEachSum(n, [&](int t, int i, int at) {
    sums[at] = p.accumulate ? p.d[t][i] : 0.0f;
    sums[at + 1] = p.accumulate ? p.d[t][i + 1] : 0.0f;
  });
  multiplyTile(sums, a, b, n, k);
  forEachSum(n, [&](int t, int i, int at) {
    p.d[t][i] = sums[at];
    p.d[t][i + 1] = sums[at + 1];
  });
}

// ---- the queue ----

bool sameProduct(const Product& x, const Product& y) {
  return x.a == y.a && x.b == y.b && x.n == y.n && x.aMnMajor == y.aMnMajor && x.bMnMajor == y.bMnMajor &&
         x.aInRegisters == y.aInRegisters && x.tf32 == y.tf32 && x.accumulate == y.accumulate && x.group == y.group;
}

void issue(Product& product, float* d, const uint32_t* registers) {
  const Block& block = *self->block;
  Warpgroup& group = warpgroup();
  ThreadAsync& mine = self->async();
  if (block.threads.size() % kThreadsOfGroup != 0) fail("wgmma in a block of %zu threads", block.threads.size());
  if (product.n < 8 || product.n > kMostColumns || product.n % 8 != 0) fail("wgmma: n = %d", product.n);
  if (!mine.productsFenced) fail("wgmma without fenceProducts before it");
  product.group = mine.productGroups;
  const uint64_t index = mine.productsIssued - group.computed;
  if (index == group.products.size()) group.products.push_back(product);
  Product& queued = group.products[index];
  if (!sameProduct(queued, product)) fail("wgmma: operands or groups differ among the threads of a warpgroup");
  const unsigned thread = self->linear % kThreadsOfGroup;
  queued.d[thread] = d;
  queued.registers[thread] = registers;
  ++mine.productsIssued;
  if (++queued.issued == kThreadsOfGroup) {
    for (Thread* waiting : group.waiting) wake(*waiting);
    group.waiting.clear();
  }
}

}  // namespace

void fenceProducts() { self->async().productsFenced = true; }
void commitProducts() { ++self->async().productGroups; }

void wgmma(float* d, int n, uint64_t a, uint64_t b, bool aMnMajor, bool bMnMajor, bool accumulate) {
  Product product{};
  product.a = a;
  product.b = b;
  product.n = n;
  product.aMnMajor = aMnMajor;
  product.bMnMajor = bMnMajor;
  product.accumulate = accumulate;
  issue(product, d, nullptr);
}

void wgmmaFromRegisters(float* d, int n, const uint32_t* a, uint64_t b, bool bMnMajor, bool accumulate) {
  Product product{};
  product.b = b;
  product.n = n;
  product.bMnMajor = bMnMajor;
  product.aInRegisters = true;
  product.accumulate = accumulate;
  issue(product, d, a);
}

void wgmmaTf32(float* d, int n, uint64_t a, uint64_t b, bool accumulate) {
  Product product{};
  product.a = a;
  product.b = b;
  product.n = n;
  product.tf32 = true;
  product.accumulate = accumulate;
  issue(product, d, nullptr);
}

void waitProducts(int pending) {
  Warpgroup& group = warpgroup();
  const uint32_t committed = self->async().productGroups;
  while (!group.products.empty() && group.products.front().group + static_cast<uint32_t>(pending) < committed) {
    if (group.products.front().issued < kThreadsOfGroup) {
      group.waiting.push_back(self);
      waitAt("wgmma.wait_group (a product that not all of the warpgroup have issued)", nullptr);
      continue;
    }
    const Product product = group.products.front();
    group.products.pop_front();
    ++group.computed;
    compute(*self->block, product);
  }
}

}  // namespace emulator
