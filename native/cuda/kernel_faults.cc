#include "kernel_faults.h"

#include <cstring>

namespace langevin {

KernelFaults::KernelFaults() {
  check(cudaMalloc(reinterpret_cast<void**>(&places_), kBytes), "memory for faults");
  check(cudaMalloc(reinterpret_cast<void**>(&empty_), kBytes), "memory for faults");
  check(cudaMalloc(reinterpret_cast<void**>(&opsSoFar_), sizeof *opsSoFar_), "memory for faults");
  const std::vector<KernelFault> empty(kPlaces, {0, 0, 0, 0, 0, opsSoFar_});
  check(cudaMemcpy(places_, empty.data(), kBytes, cudaMemcpyHostToDevice), "memory for faults");
  check(cudaMemcpy(empty_, empty.data(), kBytes, cudaMemcpyHostToDevice), "memory for faults");
  check(cudaMemset(opsSoFar_, 0, sizeof *opsSoFar_), "memory for faults");
  check(cudaDeviceSynchronize(), "memory for faults");  // the stream does not wait for the default stream
  names_.reserve(kPlaces);
}

KernelFaults::~KernelFaults() {
  cudaFree(opsSoFar_);
  cudaFree(empty_);
  cudaFree(places_);
}

KernelFault* KernelFaults::placeOf(const char* op) {
  expected_ = true;
  size_t place = 0;
  while (place < names_.size() && names_[place] != op) ++place;
  if (place == names_.size()) {
    if (place == kPlaces) fault("more than %zu ops whose kernels report faults", kPlaces);
    std::lock_guard<std::mutex> lock(mutex_);
    names_.push_back(op);
  }
  return places_ + place;
}

bool KernelFaults::collect(cudaStream_t stream, void* host) {
  if (!expected_) return false;
  expected_ = false;
  check(cudaMemcpyAsync(host, places_, kBytes, cudaMemcpyDeviceToHost, stream), "faults");
  check(cudaMemcpyAsync(places_, empty_, kBytes, cudaMemcpyDeviceToDevice, stream), "faults");
  return true;
}

std::string KernelFaults::describe(const void* host) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const KernelFault* first = nullptr;
  const char* op = "";
  for (size_t place = 0; place < names_.size(); ++place) {
    const KernelFault* found = static_cast<const KernelFault*>(host) + place;
    if (found->kind == 0 || (first && first->order < found->order)) continue;
    first = found;
    op = names_[place];
  }
  if (!first) return "";
  return std::string(op) + ": index " + std::to_string(first->value) + " at " + std::to_string(first->position) +
         " is outside [0, " + std::to_string(first->limit) + ")";
}

}  // namespace langevin
