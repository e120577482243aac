// A matrix product as every implementation takes it: checked pointers and extents. kernels/matmul.cu checks the buffers
// and asks the tensor-core implementation where the stream's level and precision allow it; the plain one takes
// everything.
#pragma once
#include "stream.h"

namespace langevin::cuda {

/// y [m, n] = op(a)·op(b) + bias[n]; op(a) is [m, k]: a is [m, k], or [k, m] where transposeA; b likewise. bias:
/// optional. All pointers are device memory and hold `dtype` (f32 or bf16); no extent is 0.
struct Matmul {
  const void *a, *b, *bias;
  void* y;
  int64_t m, n, k;
  bool transposeA, transposeB;
  DType dtype;
};

/// matmul_sm80.cu: cp.async, ldmatrix, mma.sync; bf16, and f32 where the stream's precision is tf32. False where the
/// shape is not one that it takes.
namespace sm80 {
bool matmul(Stream& stream, const Matmul& p);
}  // namespace sm80

}  // namespace langevin::cuda
