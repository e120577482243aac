// What every kernel file needs: element types by dtype, launches over elements, and faults found by kernels.
#pragma once
#include "../core/counts.h"
#include "stream.h"

namespace langevin::cuda {

// ---- element types by dtype ----

/// Calls f(T{}) with the element type of a dtype that this device computes with; another is a fault.
template <class F>
void withFloat(DType t, const F& f) {
  if (t == DType::f32) return f(float{});
  if (t == DType::bf16) return f(bf16{});
  fault("a buffer of %s where the cuda device needs f32 or bf16", nameOf(t));
}
/// … of f32, bf16 or i32 …
template <class F>
void withNumber(DType t, const F& f) {
  if (t == DType::i32) return f(int32_t{});
  withFloat(t, f);
}
/// … of any dtype (memory ops).
template <class F>
void withAny(DType t, const F& f) {
  if (t == DType::u8) return f(uint8_t{});
  if (t == DType::f64) return f(double{});
  withNumber(t, f);
}

// ---- loops ----

/// Threads of a block. Where ptxas would rather spill than take more registers, __launch_bounds__(kThreads, 4)
/// grants 64.
constexpr unsigned kThreads = 256;

/// The launch of a grid-stride loop over n items, one thread per item up to 16 blocks per multiprocessor.
inline LaunchShape loopOver(const Stream& stream, int64_t n) {
  const int64_t most = int64_t{16} * stream.gpu().multiprocessors;
  return {dim3(static_cast<unsigned>(smaller(ceilDiv(n, kThreads), most))), dim3(kThreads)};
}

/// for (int64_t i = firstItem(); i < n; i += itemStride())
LANGEVIN_DEVICE int64_t firstItem() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
LANGEVIN_DEVICE int64_t itemStride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// ---- faults ----

/// Keeps the op's first fault; any thread may call it.
LANGEVIN_DEVICE void reportFault(KernelFault* faults, FaultKind kind, int32_t value, int64_t position, int64_t limit) {
  if (atomicCAS(&faults->kind, 0, static_cast<int32_t>(kind)) == 0) {
    faults->value = value;
    faults->position = position;
    faults->limit = limit;
    faults->order = atomicAdd(faults->opsSoFar, 1);
  }
}

/// index[position] if it lies in [0, limit); else a fault, and -1.
LANGEVIN_DEVICE int64_t checkedIndex(const int32_t* index, int64_t position, int64_t limit, KernelFault* faults) {
  const int32_t value = index[position];
  if (value >= 0 && value < limit) return value;
  reportFault(faults, FaultKind::index, value, position, limit);
  return -1;
}

}  // namespace langevin::cuda
