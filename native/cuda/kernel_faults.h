// Faults that kernels find in their data: where they are kept on the device, and how they are told.
#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "stream.h"

namespace langevin {

/// One place per op, so that a fault tells its op, also in the replay of a captured graph.
class KernelFaults {
 public:
  static constexpr size_t kPlaces = 64;
  /// Host memory that collect() needs.
  static constexpr size_t kBytes = kPlaces * sizeof(KernelFault);

  KernelFaults();
  ~KernelFaults();
  KernelFaults(const KernelFaults&) = delete;
  KernelFaults& operator=(const KernelFaults&) = delete;

  /// Device memory for the faults of this op, known by its name's address.
  KernelFault* placeOf(const char* op);
  /// Enqueues a copy of all places to the host (pinned, kBytes), and empties them. False where no kernel can have
  /// reported since the last time: nothing is copied then.
  bool collect(cudaStream_t stream, void* host);
  /// A replayed graph may report, without asking for places again.
  void expect() { expected_ = true; }

  /// The first fault among those copied, as the CPU device words it: "pick: index 7 at 3 is outside [0, 5)"; empty
  /// where there is none. Any thread may call it.
  std::string describe(const void* host) const;

 private:
  KernelFault* places_ = nullptr;
  KernelFault* empty_ = nullptr;  // what places_ holds where there is no fault
  int32_t* opsSoFar_ = nullptr;
  bool expected_ = false;
  mutable std::mutex mutex_;
  std::vector<const char*> names_;
};

}  // namespace langevin
