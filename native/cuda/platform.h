// The CUDA language and runtime as our kernels use them. The same sources are compiled by nvcc for a GPU and by g++
// against native/emulator, which comes first on the include path there and defines LANGEVIN_EMULATED.
//
// Kernels are plain CUDA C++ with three differences: shared memory is declared by the two macros below, kernels are
// started with Stream::launch instead of <<<>>>, and everything beyond the language (asynchronous copies, barriers in
// shared memory, matrix instructions, clusters) is a function of namespace ptx, in ptx.h.
#pragma once
#include <cuda_runtime.h>

#include "../core/op_table.h"

#if defined(LANGEVIN_EMULATED)
#  define LANGEVIN_DEVICE inline
#  define LANGEVIN_SHARED(type, name, ...) auto& name = ::emulator::sharedVariable<type __VA_ARGS__>(LANGEVIN_HERE)
#  define LANGEVIN_DYNAMIC_SHARED(name) unsigned char* const name = ::emulator::dynamicShared()
#else
#  define LANGEVIN_DEVICE __device__ __forceinline__
/// LANGEVIN_SHARED(float, tile, [32][33]): a variable of the block, with undefined contents; no extents: a scalar.
#  define LANGEVIN_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
/// The block's dynamic shared memory, aligned to 1024 bytes.
#  define LANGEVIN_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#endif

/// Code that needs Hopper's own instructions (TMA, wgmma, clusters, setmaxnreg): sm_90a, and the emulator.
#if defined(LANGEVIN_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#  define LANGEVIN_HOPPER 1
#endif

namespace langevin {

/// Throws a fault that names the runtime's error where `status` is one. `what` says what was tried.
void check(cudaError_t status, const char* what);

}  // namespace langevin
