// ldmatrix, stmatrix and mma.sync: the fragments of PTX ISA 9.0, §9.7.14.5. Products are accumulated in f32 by fused
// multiply-adds, in the order of k from the given sum on: the hardware's own order and rounding are not modelled.
#include <cstring>

#include "asynchronous.h"
#include "multiprocessor.h"

namespace emulator {

namespace {

constexpr uint32_t kAllLanes = 0xffffffffu;

struct MatrixRow {
  uint32_t* r;
  unsigned char* row;  // of tile lane / 8, row lane % 8
  bool transposed;
};

/// Lane l has elements (l / 4, 2·(l % 4)) and the one beside it of each tile; transposed, of the tile's transpose.
unsigned char* elementOf(void* const* operands, unsigned tile, unsigned row, unsigned column) {
  return static_cast<MatrixRow*>(operands[8 * tile + row])->row + 2 * column;
}

void checkRow(const char* what, const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0 || !self->block->contains(row, 16)) {
    fail("%s: %p is no 16-byte aligned row of 16 bytes in shared memory", what, row);
  }
}

bool allTakePart(void* const* operands) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!operands[lane]) return false;
  }
  return true;
}

}  // namespace

void loadMatrices(uint32_t* r, const void* row, bool transposed) {
  checkRow("ldmatrix", row);
  MatrixRow mine{r, const_cast<unsigned char*>(static_cast<const unsigned char*>(row)), transposed};
  meet(transposed ? "ldmatrix.trans" : "ldmatrix", kAllLanes, &mine, [](void* const* operands) {
    if (!allTakePart(operands)) fail("ldmatrix in a warp of which lanes are missing");
    for (unsigned lane = 0; lane < 32; ++lane) {
      const auto& to = *static_cast<const MatrixRow*>(operands[lane]);
      for (unsigned tile = 0; tile < 4; ++tile) {
        uint16_t halves[2];
        for (unsigned i = 0; i < 2; ++i) {
          const unsigned row = lane / 4, column = 2 * (lane % 4) + i;
          std::memcpy(&halves[i],
                      to.transposed ? elementOf(operands, tile, column, row) : elementOf(operands, tile, row, column),
                      2);
        }
        to.r[tile] = halves[0] | static_cast<uint32_t>(halves[1]) << 16;
      }
    }
  });
}

void storeMatrices(void* row, const uint32_t* r) {
  checkRow("stmatrix", row);
  uint32_t values[4];
  std::memcpy(values, r, sizeof values);
  MatrixRow mine{values, static_cast<unsigned char*>(row), false};
  meet("stmatrix", kAllLanes, &mine, [](void* const* operands) {
    if (!allTakePart(operands)) fail("stmatrix in a warp of which lanes are missing");
    for (unsigned lane = 0; lane < 32; ++lane) {
      const auto& from = *static_cast<const MatrixRow*>(operands[lane]);
      for (unsigned tile = 0; tile < 4; ++tile) {
        std::memcpy(elementOf(operands, tile, lane / 4, 2 * (lane % 4)), &from.r[tile], 4);
      }
    }
  });
}

namespace {

struct Fragments {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

float halfOf(uint32_t word, unsigned half) { return __uint_as_float(half ? word & 0xffff0000u : word << 16); }
float tf32Of(uint32_t word) { return __uint_as_float(word & 0xffffe000u); }

/// d[16][8] += a[16][k]·b[k][8] over the lanes' fragments.
template <int k, class A, class B>
void multiply(void* const* operands, const A& elementOfA, const B& elementOfB) {
  float a[16][k], b[k][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const Fragments*>(operands[lane]);
    elementOfA(lane, mine.a, a);
    elementOfB(lane, mine.b, b);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const Fragments*>(operands[lane]);
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float sum = mine.d[i];
      for (int n = 0; n < k; ++n) sum = __builtin_fmaf(a[row][n], b[n][column], sum);
      mine.d[i] = sum;
    }
  }
}

void completeBf16(void* const* operands) {
  if (!allTakePart(operands)) fail("mma.sync in a warp of which lanes are missing");
  multiply<16>(
      operands,
      [](unsigned lane, const uint32_t* r, float(&a)[16][16]) {
        for (unsigned i = 0; i < 8; ++i) {  // register i / 2: rows + 8·(its bit 0), columns + 8·(its bit 1)
          a[lane / 4 + 8 * (i / 2 % 2)][2 * (lane % 4) + 8 * (i / 4) + i % 2] = halfOf(r[i / 2], i % 2);
        }
      },
      [](unsigned lane, const uint32_t* r, float(&b)[16][8]) {
        for (unsigned i = 0; i < 4; ++i) b[2 * (lane % 4) + 8 * (i / 2) + i % 2][lane / 4] = halfOf(r[i / 2], i % 2);
      });
}

void completeTf32(void* const* operands) {
  if (!allTakePart(operands)) fail("mma.sync in a warp of which lanes are missing");
  multiply<8>(
      operands,
      [](unsigned lane, const uint32_t* r, float(&a)[16][8]) {
        for (unsigned i = 0; i < 4; ++i) a[lane / 4 + 8 * (i % 2)][lane % 4 + 4 * (i / 2)] = tf32Of(r[i]);
      },
      [](unsigned lane, const uint32_t* r, float(&b)[8][8]) {
        for (unsigned i = 0; i < 2; ++i) b[lane % 4 + 4 * i][lane / 4] = tf32Of(r[i]);
      });
}

}  // namespace

void mmaBf16(float* d, const uint32_t* a, const uint32_t* b) {
  Fragments mine{d, a, b};
  meet("mma.sync.bf16", kAllLanes, &mine, completeBf16);
}
void mmaTf32(float* d, const uint32_t* a, const uint32_t* b) {
  Fragments mine{d, a, b};
  meet("mma.sync.tf32", kAllLanes, &mine, completeTf32);
}

}  // namespace emulator
