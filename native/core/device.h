// What the addon needs of a backend besides its ops. `cpu/backend.cc` and `cuda/backend.cc` each define it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "op_table.h"

namespace langevin {

/// Why a device cannot be opened, and what to do about it.
struct DeviceUnavailable : std::runtime_error {
  std::string hint;
  DeviceUnavailable(const std::string& message, std::string fix) : std::runtime_error(message), hint(std::move(fix)) {}
};

/// Thrown by calls after a failure from which the device does not recover in this process.
struct DeviceLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The longest argument tuple that any op needs, in bytes.
constexpr size_t kTaskBytes = 640;

/// One enqueued call: `name` for faults, `run` executes it, `drop` destroys its arguments afterwards.
struct Call {
  const char* name;
  void (*run)(Stream&, void* arguments);
  void (*drop)(void* arguments);
};

/// A call with its arguments, inline, so that enqueuing allocates nothing.
struct Task {
  Call call;
  alignas(16) unsigned char arguments[kTaskBytes];
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

  /// Whether the device has failed in a way from which it does not recover; its fault is then told again and again.
  virtual bool lost() { return false; }

  /// Copies within the stream; used inside calls. The copy to the host may go on while later calls run: it ends with
  /// copied(context, fault) on any thread, `fault` being the first one of the calls before it, as takeFault tells it;
  /// or copyToHost throws. What is copied from the host may change as soon as copyFromHost returns.
  using Copied = void (*)(void* context, const std::string& fault);
  virtual void copyToHost(Stream& stream, void* host, const void* device, size_t bytes, Copied copied,
                          void* context) = 0;
  virtual void copyFromHost(Stream& stream, void* device, const void* host, size_t bytes) = 0;

  /// nullptr when memory is out; throws DeviceLost.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* block, size_t bytes) = 0;
  struct Memory {
    size_t liveBytes, peakBytes, cachedBytes, scratchBytes;
  };
  virtual Memory memory() = 0;
  virtual void resetPeak() = 0;
  virtual void setMemoryLimit(size_t bytes) = 0;

  /// Whether calls can be recorded and replayed; what follows is for such devices only.
  virtual bool captures() { return false; }
  /// Whether a capture needs the calls before it to be done, so that a fault in it is its own.
  virtual bool captureWaits() { return true; }
  /// The calls from here to endCapture() are recorded and not run. Reads and writes are faults meanwhile.
  virtual void beginCapture() {}
  /// The number of the graph of these calls; takeFault() tells where there is none. Every buffer that was in use
  /// during the capture keeps its memory until disposeGraph.
  virtual int64_t endCapture() { return 0; }
  /// Enqueues the graph's calls, with `stepOffset` added to every Philox::step in it.
  virtual void replay(int64_t graph, int64_t stepOffset) {
    (void)graph;
    (void)stepOffset;
  }
  virtual void disposeGraph(int64_t graph) { (void)graph; }

  /// Whether the device's threads can each replay a graph by themselves; what follows is for such devices only.
  virtual bool hasLanes() { return false; }
  struct Lane {
    int64_t graph;
    int64_t stepOffset;    // added to every Philox::step in it …
    int64_t firstElement;  // … and to the numbers of its random elements: a multiple of 4
  };
  /// Enqueues each graph's calls `times` times over, with `steps` more added to every Philox::step from one time to the
  /// next: a graph's in order and on one thread, those of different graphs at once, so that none may write what another
  /// uses.
  virtual void replayLanes(const std::vector<Lane>& lanes, int64_t times, int64_t steps) {
    (void)lanes;
    (void)times;
    (void)steps;
  }

  /// How f32 is multiplied by the calls that follow: "fp32", "tf32" or "strict" (fp32 without Winograd's convolutions).
  /// A device without TF32 computes in fp32, one without Winograd is always strict.
  virtual bool setPrecision(const std::string& name) = 0;

  virtual const OpTable& ops() = 0;
  /// What a person would want to know of the hardware and the build: {"name", "NVIDIA H100"}, …
  virtual std::vector<std::pair<std::string, std::string>> properties() { return {}; }
  /// The kernels in use: an instruction set, or a GPU's level.
  virtual std::string variant() = 0;
  virtual std::string variants() = 0;  // comma-separated, all that this machine can run
  virtual bool setVariant(const std::string& name) = 0;
  virtual int threads() = 0;
  virtual void setThreads(int threads) = 0;
};

/// Opens the backend's device. Throws DeviceUnavailable where there is none.
std::unique_ptr<Device> openDevice();
const char* backendName();

}  // namespace langevin
