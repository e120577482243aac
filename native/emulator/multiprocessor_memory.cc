// The multiprocessor's memory: stacks for fibers, and shared memory; how a block finds it and what it must leave.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "multiprocessor.h"

namespace emulator {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kStacksAtOnce = 32;

void* mapOrAbort(size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::fprintf(stderr, "emulator: no memory for stacks or shared memory\n");
    std::abort();
  }
  return memory;
}

/// One block's shared memory: static, a guard page, dynamic (1024-byte aligned, as near to the end as that allows), a
/// guard page.
constexpr size_t kStaticSpan = kStaticSharedBytes + kPage;  // with the last variable's gap
constexpr size_t kSharedSpan = kStaticSpan + kPage + (kMostSharedBytes + kPage - 1) / kPage * kPage + kPage;

}  // namespace

Multiprocessor::~Multiprocessor() {
  for (const Stacks& s : stacks_) munmap(s.memory, s.bytes);
  for (const Block& block : blocks_) {
    munmap(block.shared, kSharedSpan);
    munmap(block.asyncView, kSharedSpan);
  }
}

void Multiprocessor::growStacks() {
  const size_t each = Fiber::kStackBytes + kPage;
  auto* const memory = static_cast<unsigned char*>(mapOrAbort(kStacksAtOnce * each));
  stacks_.push_back({memory, kStacksAtOnce * each});
  for (size_t i = 0; i < kStacksAtOnce; ++i) {
    mprotect(memory + i * each, kPage, PROT_NONE);
    fibers_.push_back(std::make_unique<Fiber>(memory + i * each + kPage));
    idle_.push_back(fibers_.back().get());
  }
}

bool Multiprocessor::isStackGuard(const void* address) const {
  const auto* const a = static_cast<const unsigned char*>(address);
  for (const Stacks& s : stacks_) {
    if (a >= s.memory && a < s.memory + s.bytes) {
      return static_cast<size_t>(a - s.memory) % (Fiber::kStackBytes + kPage) < kPage;
    }
  }
  return false;
}

Fiber& Multiprocessor::idleFiber() {
  if (idle_.empty()) growStacks();
  Fiber* const fiber = idle_.back();
  idle_.pop_back();
  return *fiber;
}

void Multiprocessor::growShared(size_t blocks) {
  while (blocks_.size() < blocks) {
    blocks_.emplace_back();
    auto* const memory = static_cast<unsigned char*>(mapOrAbort(kSharedSpan));
    mprotect(memory + kStaticSpan, kPage, PROT_NONE);
    mprotect(memory + kSharedSpan - kPage, kPage, PROT_NONE);
    blocks_.back().shared = memory;
    blocks_.back().asyncView = static_cast<unsigned char*>(mapOrAbort(kSharedSpan));
  }
}

void* Multiprocessor::sharedVariable(const void* declaration, size_t bytes, size_t alignment) {
  Block& block = *self->block;
  for (const SharedVariable& v : block.variables) {
    if (v.declaration == declaration) return block.shared + v.offset;
  }
  const size_t align = alignment < 16 ? 16 : alignment;
  const size_t offset = (block.staticBytes + align - 1) / align * align;
  const size_t end = offset + bytes;
  if (end > kStaticSharedBytes) {
    failWith(cudaErrorLaunchOutOfResources, "more than %zu bytes of static shared memory", kStaticSharedBytes);
  }
  std::memset(block.shared + block.staticBytes, kSharedPoison, end + kSharedGap - block.staticBytes);
  std::memset(block.asyncView + block.staticBytes, kSharedPoison, end + kSharedGap - block.staticBytes);
  block.staticBytes = end + kSharedGap;
  block.variables.push_back({declaration, offset, bytes});
  size_t declared = launch_->dynamicBytes;
  for (const SharedVariable& v : block.variables) declared += v.bytes;
  if (declared > launch_->sharedLimit) {
    failWith(cudaErrorLaunchOutOfResources, "%zu bytes of shared memory where the kernel may have %zu", declared,
             launch_->sharedLimit);
  }
  return block.shared + offset;
}

void Multiprocessor::startBlock(Block& block, uint3 index, unsigned rank) {
  const dim3 size = launch_->block;
  const size_t threads = static_cast<size_t>(size.x) * size.y * size.z;
  block.index = index;
  block.rank = rank;
  block.exited = 0;
  block.votes = 0;
  block.threads.assign(threads, Thread());
  block.warps.resize((threads + 31) / 32);
  for (size_t i = 0; i < block.warps.size(); ++i) {
    Warp& warp = block.warps[i];
    const size_t lanes = threads - 32 * i;
    warp.lanes = &block.threads[32 * i];
    warp.present = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
    warp.exited = 0;
    warp.registers = 0;
    warp.meetingsUnderWay = 0;
  }
  uint3 at{0, 0, 0};
  for (size_t i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    thread.index = at;
    thread.linear = static_cast<unsigned>(i);
    thread.lane = static_cast<unsigned>(i % 32);
    thread.block = &block;
    thread.warp = &block.warps[i / 32];
    if (++at.x == size.x) {
      at.x = 0;
      if (++at.y == size.y) {
        at.y = 0;
        ++at.z;
      }
    }
  }
  for (NamedBarrier& barrier : block.barriers) {
    barrier.expected = barrier.arrived = 0;
    barrier.waiting.clear();
  }
  block.variables.clear();
  block.staticBytes = 0;
  unsigned char* const end = block.shared + kSharedSpan - kPage;
  block.dynamic = end - (launch_->dynamicBytes + 1023) / 1024 * 1024;
  block.dynamicBytes = launch_->dynamicBytes;
  std::memset(block.dynamic, kSharedPoison, static_cast<size_t>(end - block.dynamic));
  std::memset(block.inAsyncView(block.dynamic), kSharedPoison, static_cast<size_t>(end - block.dynamic));
  block.async.clear();
  block.memoryBarriers.clear();
  block.warpgroups.clear();
  block.registerWaiters.clear();
  block.waitedForPrevious = false;
}

bool Block::contains(const void* p, size_t bytes) const {
  const auto* const at = static_cast<const unsigned char*>(p);
  if (at >= dynamic && at + bytes <= dynamic + dynamicBytes) return true;
  for (const SharedVariable& v : variables) {
    if (at >= shared + v.offset && at + bytes <= shared + v.offset + v.bytes) return true;
  }
  return false;
}

namespace {
bool isPoison(const unsigned char* from, const unsigned char* to) {
  for (; from < to; ++from) {
    if (*from != kSharedPoison) return false;
  }
  return true;
}
}  // namespace

void Multiprocessor::finishBlock(Block& block) {
  if (launch_->overlapsPrevious && !block.waitedForPrevious) {
    blockIdx = block.index;
    fail(cudaErrorLaunchFailure, "the launch overlaps the one before, but no thread of the block waited for that");
  }
  for (const SharedVariable& v : block.variables) {
    const unsigned char* const end = block.shared + v.offset + v.bytes;
    if (!isPoison(end, end + kSharedGap)) {
      blockIdx = block.index;
      fail(cudaErrorIllegalAddress,
           "the block wrote past the end of a variable of shared memory of " + std::to_string(v.bytes) + " bytes");
    }
  }
  const unsigned char* const end = block.dynamic + launch_->dynamicBytes;
  if (!isPoison(end, block.dynamic + (launch_->dynamicBytes + 1023) / 1024 * 1024)) {
    blockIdx = block.index;
    fail(cudaErrorIllegalAddress, "the block wrote past the end of its dynamic shared memory");
  }
}

void* sharedVariable(const void* declaration, size_t bytes, size_t alignment) {
  return Multiprocessor::ofThisThread().sharedVariable(declaration, bytes, alignment);
}
unsigned char* dynamicShared() { return self->block->dynamic; }

}  // namespace emulator
