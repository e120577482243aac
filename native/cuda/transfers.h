// Copies between host and device through pinned memory. The executor's thread enqueues them and goes on; a thread of
// their own waits for each, hands what was read to its reader, and takes the pinned memory back.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../core/device.h"
#include "kernel_faults.h"
#include "stream.h"

namespace langevin {

class Transfers {
 public:
  /// `lost` is called, on any thread, with the message of a failure that ends the device.
  Transfers(KernelFaults& faults, std::function<void(const std::string&)> lost);
  ~Transfers();  // waits for the copies under way

  /// Device to host. Ends with copied(context, fault), where `fault` is the one given or else a kernel's.
  void read(cudaStream_t stream, void* host, const void* device, size_t bytes, const std::string& fault,
            Device::Copied copied, void* context);
  /// Host to device; `host` may change once this returns.
  void write(cudaStream_t stream, void* device, const void* host, size_t bytes);

 private:
  static constexpr size_t kBlockBytes = size_t{4} << 20;
  static constexpr size_t kMostBlocks = 8;

  /// Pinned memory for a part of a copy, and for the faults behind it.
  struct Block {
    unsigned char* data = nullptr;
    size_t bytes = 0;
    cudaEvent_t done = nullptr;
    ~Block();
  };
  /// A block in use; goes back to the free ones with its holder.
  struct GiveBack {
    Transfers* transfers;
    void operator()(Block* block) const { transfers->giveBack(block); }
  };
  using Lease = std::unique_ptr<Block, GiveBack>;
  /// A part that is under way: its bytes go to `host` (nullptr: a write); the last one of a read ends it.
  struct Part {
    Lease block;
    void* host;
    size_t bytes;
    bool hasFaults;
    std::string fault;
    Device::Copied copied;
    void* context;
  };

  Lease takeBlock(size_t bytes);
  void giveBack(Block* block);
  void start(cudaStream_t stream, Part part);
  void loop();
  void finish(Part& part);

  KernelFaults& faults_;
  const std::function<void(const std::string&)> lost_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Block>> free_;
  size_t inUse_ = 0;
  std::deque<Part> parts_;  // under way, in stream order
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace langevin
