// What the addon needs of a backend besides its ops. `cpu/backend.cc` and `cuda/backend.cc` each define it.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "op_table.h"

namespace langevin {

/// The longest argument tuple that any op needs, in bytes.
constexpr size_t kTaskBytes = 640;

/// One enqueued call: `name` for faults, `run` executes it, `drop` destroys its arguments afterwards.
struct Call {
  const char* name;
  void (*run)(Stream&, void* arguments);
  void (*drop)(void* arguments);
};

/// A device owned by one JavaScript environment: an ordered stream of calls, and memory.
class Device {
 public:
  virtual ~Device() = default;  // waits for the call in progress and drops the rest

  /// Memory for the next call's arguments (kTaskBytes, 16-byte aligned); construct them there, then submit.
  virtual void* reserve() = 0;
  virtual void submit(const Call& call) = 0;
  virtual void waitUntilIdle() = 0;
  /// The first fault since the last call, empty if none.
  virtual std::string takeFault() = 0;

  /// Copies within the stream; used inside calls.
  virtual void copyToHost(Stream& stream, void* host, const void* device, size_t bytes) = 0;
  virtual void copyFromHost(Stream& stream, void* device, const void* host, size_t bytes) = 0;

  virtual void* allocate(size_t bytes) = 0;  // nullptr when memory is out
  virtual void release(void* block, size_t bytes) = 0;
  struct Memory {
    size_t liveBytes, peakBytes, cachedBytes, scratchBytes;
  };
  virtual Memory memory() = 0;
  virtual void resetPeak() = 0;
  virtual void setMemoryLimit(size_t bytes) = 0;

  virtual const OpTable& ops() = 0;
  /// Names a person would want to see: {"isa", "avx512"}, …; and the settings below, by name.
  virtual std::string variant() = 0;
  virtual std::string variants() = 0;  // comma-separated, all that this machine can run
  virtual bool setVariant(const std::string& name) = 0;
  virtual int threads() = 0;
  virtual void setThreads(int threads) = 0;
};

/// Opens the backend's device. Throws std::runtime_error with a message for people where there is none.
std::unique_ptr<Device> openDevice();
const char* backendName();

}  // namespace langevin
