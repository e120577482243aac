#include "transfers.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

namespace langevin {

Transfers::Transfers(KernelFaults& faults, std::function<void(const std::string&)> lost)
    : faults_(faults), lost_(std::move(lost)), thread_([this] { loop(); }) {}

Transfers::~Transfers() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Transfers::Block::~Block() {
  if (done) cudaEventDestroy(done);
  if (data) cudaFreeHost(data);
}

void Transfers::read(cudaStream_t stream, void* host, const void* device, size_t bytes, const std::string& fault,
                     Device::Copied copied, void* context) {
  size_t from = 0;
  do {
    const size_t size = std::min(bytes - from, kBlockBytes);
    const bool last = from + size == bytes;
    Part part{takeBlock(size), static_cast<unsigned char*>(host) + from, size, false, {}, nullptr, nullptr};
    if (size > 0) {
      check(cudaMemcpyAsync(part.block->data, static_cast<const unsigned char*>(device) + from, size,
                            cudaMemcpyDeviceToHost, stream),
            "copy");
    }
    if (last) {
      part.hasFaults = faults_.collect(stream, part.block->data + part.block->bytes);
      part.fault = fault;
      part.copied = copied;
      part.context = context;
    }
    start(stream, std::move(part));
    from += size;
  } while (from < bytes);
}

void Transfers::write(cudaStream_t stream, void* device, const void* host, size_t bytes) {
  for (size_t from = 0; from < bytes; from += kBlockBytes) {
    const size_t size = std::min(bytes - from, kBlockBytes);
    Part part{takeBlock(size), nullptr, size, false, {}, nullptr, nullptr};
    std::memcpy(part.block->data, static_cast<const unsigned char*>(host) + from, size);
    check(cudaMemcpyAsync(static_cast<unsigned char*>(device) + from, part.block->data, size, cudaMemcpyHostToDevice,
                          stream),
          "copy");
    start(stream, std::move(part));
  }
}

/// A block of at least `bytes`: a free one, a new one, or the first that comes back. Small copies get small blocks, so
/// that a program that reads scalars pins little memory.
Transfers::Lease Transfers::takeBlock(size_t bytes) {
  constexpr size_t kSmall = 64 << 10;
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return inUse_ < kMostBlocks; });
  ++inUse_;
  const auto found = std::find_if(free_.begin(), free_.end(), [&](const auto& block) { return block->bytes >= bytes; });
  if (found != free_.end()) {
    Lease block(found->release(), {this});
    free_.erase(found);
    return block;
  }
  lock.unlock();
  Lease block(new Block, {this});
  const size_t size = bytes <= kSmall ? kSmall : kBlockBytes;
  check(cudaEventCreateWithFlags(&block->done, cudaEventDisableTiming | cudaEventBlockingSync), "an event");
  check(cudaMallocHost(reinterpret_cast<void**>(&block->data), size + KernelFaults::kBytes), "pinned memory");
  block->bytes = size;
  return block;
}

void Transfers::giveBack(Block* block) {
  std::unique_ptr<Block> owned(block);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    --inUse_;
    if (block->bytes > 0) free_.push_back(std::move(owned));  // 0: it could not be made
    if (free_.size() > kMostBlocks) {
      owned = std::move(free_.front());
      free_.erase(free_.begin());
    }
  }
  changed_.notify_all();
}

void Transfers::start(cudaStream_t stream, Part part) {
  check(cudaEventRecord(part.block->done, stream), "an event");
  {
    std::lock_guard<std::mutex> lock(mutex_);
    parts_.push_back(std::move(part));
  }
  changed_.notify_all();
}

void Transfers::loop() {
  for (;;) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stop_ || !parts_.empty(); });
    if (parts_.empty()) return;
    Part part = std::move(parts_.front());
    parts_.pop_front();
    lock.unlock();
    finish(part);
  }
}

void Transfers::finish(Part& part) {
  try {
    check(cudaEventSynchronize(part.block->done), "a kernel before it");
    if (part.host && part.bytes > 0) std::memcpy(part.host, part.block->data, part.bytes);
    if (part.hasFaults && part.fault.empty()) part.fault = faults_.describe(part.block->data + part.block->bytes);
  } catch (const std::exception& error) {
    if (part.fault.empty()) part.fault = std::string("read: ") + error.what();
    lost_(part.fault);
  }
  if (part.copied) part.copied(part.context, part.fault);
}

}  // namespace langevin
