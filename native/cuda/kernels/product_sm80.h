// The matrix product on tensor cores of Ampere and later, for convolutions and matmul: cp.async into a ring of stages
// in shared memory, ldmatrix, mma.sync (bf16 m16n8k16; f32 as TF32, m16n8k8), sums in f32.
//
// A step takes 64 bytes of the inner index from every row and column of the block's tile: 32 bf16 or 16 f32. Operands
// come from memory in chunks of 16 bytes, in one of two layouts:
//   InnerContiguous  chunks of neighbouring inner indices: 64 bytes a row, chunk c of row r at place c ^ (r/2 mod 4),
//   so
//                    that the eight rows which ldmatrix reads at once lie in different banks
//   InnerStrided     chunks of neighbouring rows (or columns): one line an inner index, padded by 16 bytes (bf16, read
//                    by ldmatrix.trans: an odd number of chunks a line) or 32 (f32, which ldmatrix cannot transpose:
//                    lines lie 8 banks apart)
//
// Shared memory traffic a step of a 128 × 160 tile, eight warps of 32 × 80: 18 KiB written and 8·(2 + 5)·2·512 bytes
// read for 2·128·160·32 operations (bf16), 17 operations a byte; at 128 bytes a clock of a multiprocessor that allows
// 2176 operations a clock, just above the 2048 that mma.sync does on an A100. Not measured on hardware.
#pragma once
#include "../ptx.h"
#include "convolution_epilogue.h"

namespace langevin::cuda::sm80 {

constexpr int kStepBytes = 64, kChunkBytes = 16, kStepChunks = kStepBytes / kChunkBytes;
template <class T>
constexpr int kDepth = kStepBytes / static_cast<int>(sizeof(T));  // inner indices a step
template <class T>
constexpr int kLanes = kChunkBytes / static_cast<int>(sizeof(T));  // elements of a chunk

/// A block's tile and its warps' tiles.
template <int rows_, int columns_, int warpRows_, int warpColumns_>
struct Tile {
  static constexpr int rows = rows_, columns = columns_, warpRows = warpRows_, warpColumns = warpColumns_;
  static constexpr int warpsAcross = columns / warpColumns, warps = rows / warpRows * warpsAcross;
  static constexpr int threads = 32 * warps, stages = 4;
  static constexpr int leftFragments = warpRows / 16, rightFragments = warpColumns / 8;
  static_assert(rightFragments % 2 == 0, "columns are loaded in pairs of fragments");
};

template <class T>
LANGEVIN_DEVICE void roundFragments(uint32_t (&fragments)[4]) {
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (uint32_t& f : fragments) f = ptx::toTf32(__uint_as_float(f));
  }
}

/// k counts multiplications of the tensor core: 32 bytes of the inner index.
template <class T, int extent>
struct InnerContiguous {
  static constexpr bool innerContiguous = true;
  static constexpr int bytes = extent * kStepBytes, chunksPerLine = kStepChunks, chunks = extent * kStepChunks;

  LANGEVIN_DEVICE static unsigned char* chunk(unsigned char* tile, int row, int place) {
    return tile + row * kStepBytes + ((place ^ (row / 2 % 4)) * kChunkBytes);
  }
  /// The four registers of a 16-row left operand.
  LANGEVIN_DEVICE static void loadLeft(uint32_t (&fragment)[4], unsigned char* tile, int row, int k) {
    const int lane = threadIdx.x % 32;
    ptx::loadMatrix4(fragment, chunk(tile, row + lane % 16, 2 * k + lane / 16));
    roundFragments<T>(fragment);
  }
  /// Two right operands of 8 columns, two registers each.
  LANGEVIN_DEVICE static void loadRight(uint32_t (&fragments)[4], unsigned char* tile, int column, int k) {
    const int lane = threadIdx.x % 32;
    ptx::loadMatrix4(fragments, chunk(tile, column + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
    roundFragments<T>(fragments);
  }
};

template <class T, int extent>
struct InnerStrided {
  static constexpr bool innerContiguous = false;
  static constexpr int pitch = extent * static_cast<int>(sizeof(T)) + (sizeof(T) == 2 ? 16 : 32);
  static constexpr int bytes = kDepth<T> * pitch;
  static constexpr int chunksPerLine = extent / kLanes<T>, chunks = kDepth<T> * chunksPerLine;

  LANGEVIN_DEVICE static unsigned char* chunk(unsigned char* tile, int inner, int place) {
    return tile + inner * pitch + place * kChunkBytes;
  }
  LANGEVIN_DEVICE static void loadLeft(uint32_t (&fragment)[4], unsigned char* tile, int row, int k) {
    const int lane = threadIdx.x % 32;
    if constexpr (sizeof(T) == 2) {
      ptx::loadMatrix4Transposed(fragment, chunk(tile, 16 * k + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2));
    } else {
      gather(fragment, tile, 8 * k + lane % 4, row + lane / 4, true);
    }
  }
  LANGEVIN_DEVICE static void loadRight(uint32_t (&fragments)[4], unsigned char* tile, int column, int k) {
    const int lane = threadIdx.x % 32;
    if constexpr (sizeof(T) == 2) {
      ptx::loadMatrix4Transposed(fragments, chunk(tile, 16 * k + lane % 16, column / 8 + lane / 16));
    } else {
      gather(fragments, tile, 8 * k + lane % 4, column + lane / 4, false);
    }
  }

 private:
  /// The values of two inner indices, 4 apart, and two places, 8 apart: neighbours in place first, or in the inner
  /// index.
  LANGEVIN_DEVICE static void gather(uint32_t (&fragment)[4], const unsigned char* tile, int inner, int place,
                                     bool placesFirst) {
    constexpr int line = pitch / 4;
    const float* near = reinterpret_cast<const float*>(tile) + inner * line + place;
    const float* far = near + 4 * line;
    fragment[0] = ptx::toTf32(near[0]);
    fragment[1] = ptx::toTf32(placesFirst ? near[8] : far[0]);
    fragment[2] = ptx::toTf32(placesFirst ? far[0] : near[8]);
    fragment[3] = ptx::toTf32(far[8]);
  }
};

template <class T>
LANGEVIN_DEVICE void multiplyAdd(float (&sums)[4], const uint32_t (&left)[4], const uint32_t (&right)[2]) {
  if constexpr (sizeof(T) == 2) {
    ptx::mmaBf16(sums, left, right);
  } else {
    ptx::mmaTf32(sums, left, right);
  }
}

/// Chunks of a dense matrix [lines][length], as `Layout` wants them: lines are inner indices (InnerStrided) or rows of
/// the tile (InnerContiguous). Both are bounded; beyond them come zeros.
template <class T, class Layout, int threads>
struct MatrixChunks {
  static constexpr int kItems = (Layout::chunks + threads - 1) / threads;
  const T* pointers[kItems];
  const T* matrix;
  int line[kItems], place[kItems];  // of the tile
  int linesLeft, lengthLeft;        // from the tile's corner
  int64_t advance;                  // elements a step

  LANGEVIN_DEVICE MatrixChunks(const T* matrix, int64_t lines, int64_t length, int64_t firstLine, int64_t firstPlace)
      : matrix(matrix) {
    advance = Layout::innerContiguous ? kDepth<T> : kDepth<T> * length;
    linesLeft = static_cast<int>(smaller(lines - firstLine, 1 << 30));
    lengthLeft = static_cast<int>(smaller(length - firstPlace, 1 << 30));
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = threadIdx.x + i * threads;
      line[i] = item / Layout::chunksPerLine, place[i] = item % Layout::chunksPerLine;
      pointers[i] = matrix + (firstLine + line[i]) * length + firstPlace + place[i] * kLanes<T>;
    }
  }
  LANGEVIN_DEVICE void load(unsigned char* tile) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (Layout::chunks % threads == 0 || static_cast<int>(threadIdx.x) + i * threads < Layout::chunks) {
        const bool inside = line[i] < linesLeft && place[i] * kLanes<T> < lengthLeft;
        ptx::copyAsync16(Layout::chunk(tile, line[i], place[i]), inside ? pointers[i] : matrix, inside);
      }
      pointers[i] += advance;
    }
    (Layout::innerContiguous ? lengthLeft : linesLeft) -= kDepth<T>;
  }
};

/// The block's product: left and right bring their chunks of the next step at each call of load().
template <class T, class Tile, class LeftLayout, class RightLayout>
struct Product {
  static constexpr int stageBytes = LeftLayout::bytes + RightLayout::bytes;
  static constexpr int stagingPitch = Tile::warpColumns + 8;  // floats; keeps rows of a fragment in different banks
  static constexpr int stagingBytes = Tile::warps * 16 * stagingPitch * 4;
  static constexpr int sharedBytes = Tile::stages * stageBytes > stagingBytes ? Tile::stages* stageBytes : stagingBytes;

  float sums[Tile::leftFragments][Tile::rightFragments][4];

  LANGEVIN_DEVICE static int warpRow() {
    return static_cast<int>(threadIdx.x) / 32 / Tile::warpsAcross * Tile::warpRows;
  }
  LANGEVIN_DEVICE static int warpColumn() {
    return static_cast<int>(threadIdx.x) / 32 % Tile::warpsAcross * Tile::warpColumns;
  }

  LANGEVIN_DEVICE void clear() {
#pragma unroll
    for (auto& row : sums) {
#pragma unroll
      for (auto& fragment : row) fragment[0] = fragment[1] = fragment[2] = fragment[3] = 0;
    }
  }

  template <class Left, class Right>
  LANGEVIN_DEVICE void run(unsigned char* shared, Left& left, Right& right, int steps) {
    clear();
    add(shared, left, right, steps);
  }

  /// Adds the product over `steps` steps to the sums.
  template <class Left, class Right>
  LANGEVIN_DEVICE void add(unsigned char* shared, Left& left, Right& right, int steps) {
    const auto load = [&](int step) {
      if (step < steps) {
        unsigned char* stage = shared + step % Tile::stages * stageBytes;
        left.load(stage);
        right.load(stage + LeftLayout::bytes);
      }
      ptx::commitCopies();  // also where empty, so that the count of groups is the count of steps
    };
    for (int step = 0; step < Tile::stages - 1; ++step) load(step);
    for (int step = 0; step < steps; ++step) {
      ptx::waitCopies<Tile::stages - 2>();
      __syncthreads();  // this step's stage is filled, and the one before is free
      load(step + Tile::stages - 1);
      multiplyStage(shared + step % Tile::stages * stageBytes);
    }
    ptx::waitCopies<0>();
    __syncthreads();
  }

  LANGEVIN_DEVICE void multiplyStage(unsigned char* stage) {
    unsigned char* const rightTile = stage + LeftLayout::bytes;
#pragma unroll
    for (int k = 0; k < kStepBytes / 32; ++k) {
      uint32_t left[Tile::leftFragments][4];
#pragma unroll
      for (int i = 0; i < Tile::leftFragments; ++i) LeftLayout::loadLeft(left[i], stage, warpRow() + 16 * i, k);
#pragma unroll
      for (int j = 0; j < Tile::rightFragments; j += 2) {
        uint32_t pair[4];
        RightLayout::loadRight(pair, rightTile, warpColumn() + 8 * j, k);
        const uint32_t right[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
#pragma unroll
        for (int i = 0; i < Tile::leftFragments; ++i) {
          multiplyAdd<T>(sums[i][j], left[i], right[0]);
          multiplyAdd<T>(sums[i][j + 1], left[i], right[1]);
        }
      }
    }
  }

  /// Calls f(row, column, z) for every eight neighbouring columns of the tile; z are their sums. The fragments go
  /// through shared memory, sixteen rows of a warp at a time, so that a lane has whole vectors to write.
  template <class F>
  LANGEVIN_DEVICE void forEachOctet(unsigned char* shared, const F& f) {
    constexpr int octets = Tile::warpColumns / 8;
    const int lane = threadIdx.x % 32;
    float* staging = reinterpret_cast<float*>(shared) + threadIdx.x / 32 * (16 * stagingPitch);
#pragma unroll
    for (int i = 0; i < Tile::leftFragments; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::rightFragments; ++j) {
        const float upper[2] = {sums[i][j][0], sums[i][j][1]}, lower[2] = {sums[i][j][2], sums[i][j][3]};
        float* to = staging + lane / 4 * stagingPitch + 8 * j + lane % 4 * 2;
        storeVector(to, upper);
        storeVector(to + 8 * stagingPitch, lower);
      }
      __syncwarp();
#pragma unroll
      for (int item = lane; item < 16 * octets; item += 32) {
        const int row = item / octets, column = item % octets * 8;
        float z[8];
        const float* from = staging + row * stagingPitch + column;
        float half[2][4];
        loadVector(from, half[0]);
        loadVector(from + 4, half[1]);
#pragma unroll
        for (int e = 0; e < 8; ++e) z[e] = half[e / 4][e % 4];
        f(warpRow() + 16 * i + row, warpColumn() + column, z);
      }
      __syncwarp();
    }
  }
};

}  // namespace langevin::cuda::sm80
