// Tensor maps: what a TMA copy knows about a tensor of bf16 in device memory and about the boxes that it copies.
#pragma once
#include <cuda.h>

#include "platform.h"

namespace langevin::cuda {

/// A dense view of bf16 elements, innermost dimension first (its stride is 1). Base and strides are multiples of 16
/// bytes; a box is at most 256 long on each axis, and its innermost axis at most `swizzleBytes`.
struct TensorView {
  static constexpr int kMostDimensions = 5;
  const void* base = nullptr;
  int64_t dimensions = 0;
  int64_t extent[kMostDimensions] = {};
  int64_t stride[kMostDimensions] = {};  // in elements; stride[0] is 1
  int32_t box[kMostDimensions] = {};
  int32_t swizzleBytes = 128;

  TensorView& axis(int64_t extent, int64_t stride, int box);
};

/// Whether this driver can make tensor maps.
bool canMapTensors();

/// The map of a view. Made once for each view and thread (about 1 µs) and then kept, at most some thousand of them.
/// Throws a fault where the driver refuses it.
CUtensorMap tensorMap(const TensorView& view);

}  // namespace langevin::cuda
