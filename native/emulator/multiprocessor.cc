#include "multiprocessor.h"

#include <sys/mman.h>

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <set>

#include "signals.h"
#include "symbols.h"

EMULATOR_THREAD_LOCAL uint3 threadIdx;
EMULATOR_THREAD_LOCAL uint3 blockIdx;
EMULATOR_THREAD_LOCAL uint3 blockDim;
EMULATOR_THREAD_LOCAL uint3 gridDim;

namespace emulator {

EMULATOR_THREAD_LOCAL Thread* self;

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

std::string format(const char* format, va_list arguments) {
  char text[1024];
  std::vsnprintf(text, sizeof text, format, arguments);
  return text;
}

}  // namespace

uint64_t seed() {
  static const uint64_t value = [] {
    const char* const text = std::getenv("LANGEVIN_EMULATOR_SEED");
    return text && *text ? std::strtoull(text, nullptr, 10) : 1;
  }();
  return value;
}

namespace {

EMULATOR_THREAD_LOCAL Multiprocessor* current;  // null: the thread's first

std::mutex earlyMutex;
std::set<const void*>& kernelsThatLetNextStart() {
  static auto* const all = new std::set<const void*>;
  return *all;
}

}  // namespace

Multiprocessor& Multiprocessor::ofThisThread() {
  if (current) return *current;
  thread_local Multiprocessor own;
  return own;
}

bool Multiprocessor::letsNextStartEarly(const void* kernel) {
  const std::lock_guard<std::mutex> lock(earlyMutex);
  return kernelsThatLetNextStart().count(kernel) > 0;
}

Multiprocessor::Multiprocessor() = default;

Multiprocessor::~Multiprocessor() {
  for (const Stacks& s : stacks_) munmap(s.memory, s.bytes);
  for (const Block& block : blocks_) {
    munmap(block.shared, kSharedSpan);
    munmap(block.asyncView, kSharedSpan);
  }
}

// ---- memory of the multiprocessor ----

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

// ---- a grid ----

void Multiprocessor::run(const Launch& launch, const Launch* previous) {
  launch_ = &launch;
  previous_ = previous;
  waitForPrevious_.clear();
  allowsNext_ = false;
  random_ = Random(seed() * 0x100000001b3u + launch.number);
  blockDim = launch.block;
  gridDim = launch.grid;
  const uint64_t clusters = static_cast<uint64_t>(launch.grid.x) / launch.cluster * launch.grid.y * launch.grid.z;
  // Clusters in an order that no kernel may count on: every k-th from a random one on.
  constexpr uint32_t kDelays[] = {1, 4, 64, 1u << 31};
  asyncDelay_ = kDelays[random_.below(4)];
  uint64_t stride = 1 + random_.below(static_cast<uint32_t>(clusters < 97 ? clusters : 97));
  while (std::gcd(stride, clusters) != 1) ++stride;
  uint64_t cluster = random_.below(static_cast<uint32_t>(clusters < 0xffffffffu ? clusters : 0xffffffffu));
  const KernelSignals signals;
  for (uint64_t i = 0; i < clusters; ++i, cluster = (cluster + stride) % clusters) {
    const uint64_t across = launch.grid.x / launch.cluster;
    runCluster({static_cast<unsigned>(cluster % across * launch.cluster),
                static_cast<unsigned>(cluster / across % launch.grid.y),
                static_cast<unsigned>(cluster / across / launch.grid.y)});
  }
  launch_ = nullptr;
  if (allowsNext_) {
    const std::lock_guard<std::mutex> lock(earlyMutex);
    kernelsThatLetNextStart().insert(launch.kernel);
  }
}

void Multiprocessor::runPrevious() {
  thread_local Multiprocessor other;
  const Launch& previous = *previous_;
  previous_ = nullptr;
  Multiprocessor* const outer = current;
  current = &other;
  try {
    other.run(previous);
  } catch (const LaunchError&) {
    current = outer;
    throw;
  }
  current = outer;
  blockDim = launch_->block;
  gridDim = launch_->grid;
  for (Thread* thread : waitForPrevious_) wake(*thread);
  waitForPrevious_.clear();
}

void Multiprocessor::waitForPrevious() {
  self->block->waitedForPrevious = true;
  while (previous_) {
    waitForPrevious_.push_back(self);
    waitAt("waitForPrevious", nullptr);
  }
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

void Multiprocessor::runCluster(uint3 firstBlock) {
  blockCount_ = launch_->cluster;
  growShared(blockCount_);
  total_ = started_ = exited_ = 0;
  ready_.clear();
  failed_ = false;
  if (idle_.size() != fibers_.size()) {
    // What a kernel that failed had begun is given up with its stacks.
    idle_.clear();
    for (const auto& each : fibers_) idle_.push_back(each.get());
  }
  loads.clear();
  stores.clear();
  clusterBarrier.arrived = clusterBarrier.ended = clusterBarrier.endedAfterArrival = 0;
  clusterBarrier.waiting.clear();
  for (unsigned rank = 0; rank < blockCount_; ++rank) {
    startBlock(blocks_[rank], {firstBlock.x + rank, firstBlock.y, firstBlock.z}, rank);
    total_ += blocks_[rank].threads.size();
  }
  freshStart_ = random_.below(static_cast<uint32_t>(total_));
  // Neighbours one after another, or every k-th thread: both show bugs that the other hides.
  freshStride_ = random_.oneIn(4) ? 1 : 1 + random_.below(static_cast<uint32_t>(total_ < 64 ? total_ : 64));
  while (std::gcd(freshStride_, total_) != 1) ++freshStride_;
  fresh_ = freshStart_;
  prefer_ = static_cast<Prefer>(random_.below(3));
  latestFirst_ = random_.oneIn(3);
  schedule();
  while (completeSome()) {
  }
  for (size_t i = 0; i < blockCount_; ++i) finishBlock(blocks_[i]);
}

Thread* Multiprocessor::nextFresh() {
  if (started_ == total_ || failed_) return nullptr;
  const size_t perBlock = total_ / blockCount_;
  Thread* const thread = &blocks_[fresh_ / perBlock].threads[fresh_ % perBlock];
  fresh_ = (fresh_ + freshStride_) % total_;
  ++started_;
  return thread;
}

namespace {
void enter(Thread& thread) {
  self = &thread;
  thread.state = Thread::State::running;
  threadIdx = thread.index;
  blockIdx = thread.block->index;
}
}  // namespace

/// What a fiber does: threads that have not started yet, until one waits (then another fiber goes on with the next).
void Multiprocessor::runThreads(Fiber& fiber) {
  for (;;) {
    while (Thread* const thread = nextFresh()) {
      thread->fiber = &fiber;
      enter(*thread);
      launch_->body();
      leaveAsync(*thread);
      leaveBarriers(*thread);
      thread->state = Thread::State::exited;
      ++exited_;
    }
    self = nullptr;
    idle_.push_back(&fiber);
    fiber.suspend();
  }
}

void Multiprocessor::resume(Fiber& fiber) {
  running_ = &fiber;
  fiber.resume();
  running_ = nullptr;
  self = nullptr;
  if (failed_) throw failure_;
}

/// Whether a thread that can go on is next, rather than one that has not started.
bool Multiprocessor::resumesNext() {
  if (ready_.empty() || started_ == total_) return !ready_.empty();
  return prefer_ == Prefer::any ? random_.oneIn(2) : prefer_ == Prefer::started;
}

void Multiprocessor::schedule() {
  while (exited_ < total_) {
    if (!(loads.empty() && stores.empty()) && completesEarly()) completeSome();
    if (resumesNext()) {
      const size_t pick = latestFirst_ ? ready_.size() - 1 : random_.below(static_cast<uint32_t>(ready_.size()));
      Thread* const thread = ready_[pick];
      ready_[pick] = ready_.back();
      ready_.pop_back();
      enter(*thread);
      resume(*thread->fiber);
    } else if (started_ < total_) {
      Fiber& fiber = idleFiber();
      fiber.prepare(
          [](void* argument) {
            auto* const mine = static_cast<Fiber*>(argument);
            ofThisThread().runThreads(*mine);
          },
          &fiber);
      resume(fiber);
    } else if (previous_) {
      if (random_.oneIn(2) || !completeSome()) runPrevious();
    } else if (!completeSome()) {
      reportDeadlock();
    }
  }
}

// ---- what runs inside ----

void Multiprocessor::waitAt(const char* what, const void* object) {
  Thread& thread = *self;
  thread.state = Thread::State::waiting;
  thread.waitsAt = what;
  thread.waitsFor = object;
  thread.fiber->suspend();
  thread.waitsAt = nullptr;
}

void Multiprocessor::wake(Thread& thread) {
  thread.state = Thread::State::ready;
  ready_.push_back(&thread);
}

void Multiprocessor::yield() {
  Thread& thread = *self;
  // Who yields waits for another: from here on every thread gets its turn.
  prefer_ = Prefer::any;
  latestFirst_ = false;
  wake(thread);
  thread.fiber->suspend();
}

// ---- reports ----

std::string Multiprocessor::describe(const Thread* thread) const {
  char text[256];
  std::snprintf(text, sizeof text, "in kernel %s, block (%u, %u, %u)", symbolName(launch_->kernel).c_str(), blockIdx.x,
                blockIdx.y, blockIdx.z);
  std::string line = text;
  if (thread) {
    std::snprintf(text, sizeof text, ", thread (%u, %u, %u)", thread->index.x, thread->index.y, thread->index.z);
    line += text;
  }
  std::snprintf(text, sizeof text, " (launch %" PRIu64 ", LANGEVIN_EMULATOR_SEED=%" PRIu64 ")", launch_->number,
                seed());
  return line + text;
}

void Multiprocessor::fail(cudaError_t status, const std::string& message) {
  failure_ = {status, message + "\n  " + describe(self)};
  failed_ = true;
  if (self) {
    self->fiber->suspend();  // never resumed
  }
  launch_ = nullptr;
  throw failure_;
}

void Multiprocessor::failAfterSignal() { fail(signalStatus, signalMessage); }

void Multiprocessor::reportDeadlock() {
  std::string message = "deadlock: no thread of the block can go on";
  size_t shown = 0, waiting = 0;
  for (size_t i = 0; i < blockCount_; ++i) {
    const Thread* previous = nullptr;
    for (const Thread& thread : blocks_[i].threads) {
      if (thread.state != Thread::State::waiting) continue;
      ++waiting;
      blockIdx = blocks_[i].index;
      // One line for neighbours that wait for the same.
      const bool same = previous && previous->waitsAt == thread.waitsAt && previous->waitsFor == thread.waitsFor;
      previous = &thread;
      if (same || ++shown > 24) continue;
      char line[256];
      std::snprintf(line, sizeof line, "\n  block (%u, %u, %u), thread (%u, %u, %u) and after: waits at %s [%p]",
                    blocks_[i].index.x, blocks_[i].index.y, blocks_[i].index.z, thread.index.x, thread.index.y,
                    thread.index.z, thread.waitsAt, thread.waitsFor);
      message += line;
    }
  }
  message += "\n  " + std::to_string(waiting) + " threads wait, " + std::to_string(exited_) + " have ended";
  fail(cudaErrorLaunchFailure, message);
}

void waitAt(const char* what, const void* object) { Multiprocessor::ofThisThread().waitAt(what, object); }
void wake(Thread& thread) { Multiprocessor::ofThisThread().wake(thread); }
void yield() { Multiprocessor::ofThisThread().yield(); }

void failWith(cudaError_t status, const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  const std::string message = format(text, arguments);
  va_end(arguments);
  Multiprocessor::ofThisThread().fail(status, message);
}

void fail(const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  const std::string message = format(text, arguments);
  va_end(arguments);
  Multiprocessor::ofThisThread().fail(cudaErrorLaunchFailure, message);
}

void* sharedVariable(const void* declaration, size_t bytes, size_t alignment) {
  return Multiprocessor::ofThisThread().sharedVariable(declaration, bytes, alignment);
}
unsigned char* dynamicShared() { return self->block->dynamic; }

}  // namespace emulator
