#include "memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>

namespace emulator {

namespace {

constexpr size_t kPage = 4096;
/// Nothing is mapped so far on both sides, so that accesses far outside are seen too. Address space costs nothing.
constexpr size_t kGuard = size_t{16} << 20;
constexpr unsigned char kDevicePoison = 0xFF;
constexpr unsigned char kSlack = 0xCD;
constexpr size_t kRemembered = 256;

struct Allocation {
  unsigned char* start;
  size_t bytes;
  MemoryKind kind;
  unsigned char* mapping;
  size_t mapped;
};

/// Never destroyed: threads may still free memory while the process ends.
struct Memory {
  std::shared_mutex mutex;
  std::map<uintptr_t, Allocation> allocations;  // by start
  std::deque<Allocation> freed;                 // the last ones
  size_t deviceBytes = 0;

  const Allocation* around(const void* pointer, size_t bytes) const {
    const auto at = reinterpret_cast<uintptr_t>(pointer);
    auto next = allocations.upper_bound(at);
    if (next == allocations.begin()) return nullptr;
    const Allocation& a = (--next)->second;
    const uintptr_t start = next->first;
    return at - start <= a.bytes && bytes <= a.bytes - (at - start) && (bytes > 0 || at < start + a.bytes) ? &a
                                                                                                           : nullptr;
  }
};
Memory& memory() {
  static Memory* const all = new Memory;
  return *all;
}

bool isFilled(const unsigned char* from, const unsigned char* to) {
  for (; from < to; ++from) {
    if (*from != kSlack) return false;
  }
  return true;
}

}  // namespace

size_t totalMemory() {
  static const size_t total = [] {
    const char* const text = std::getenv("LANGEVIN_EMULATOR_MEMORY");
    return text && *text ? static_cast<size_t>(std::strtoull(text, nullptr, 10)) : size_t{2} << 30;
  }();
  return total;
}

size_t freeMemory() {
  Memory& all = memory();
  const std::shared_lock<std::shared_mutex> lock(all.mutex);
  return totalMemory() - all.deviceBytes;
}

void* allocate(size_t bytes, MemoryKind kind) {
  Memory& all = memory();
  const std::unique_lock<std::shared_mutex> lock(all.mutex);
  if (kind == MemoryKind::device && bytes > totalMemory() - all.deviceBytes) return nullptr;
  if (bytes > SIZE_MAX / 2) return nullptr;
  const size_t inside = (bytes + kPage - 1) / kPage * kPage;
  const size_t mapped = inside + 2 * kGuard;
  void* const mapping = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  auto* const first = static_cast<unsigned char*>(mapping) + kGuard;
  if (mprotect(first, inside, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapping, mapped);
    return nullptr;
  }
  // Ends at the guard page, as nearly as an alignment of 16 bytes allows.
  unsigned char* const start = first + inside - (bytes + 15) / 16 * 16;
  std::memset(first, kSlack, static_cast<size_t>(start - first));
  std::memset(start + bytes, kSlack, static_cast<size_t>(first + inside - (start + bytes)));
  if (kind == MemoryKind::device) {
    std::memset(start, kDevicePoison, bytes);
    all.deviceBytes += bytes;
  }
  all.allocations[reinterpret_cast<uintptr_t>(start)] = {start, bytes, kind, static_cast<unsigned char*>(mapping),
                                                         mapped};
  return start;
}

bool isAllocation(const void* pointer, MemoryKind kind) {
  Memory& all = memory();
  const std::shared_lock<std::shared_mutex> lock(all.mutex);
  const auto found = all.allocations.find(reinterpret_cast<uintptr_t>(pointer));
  return found != all.allocations.end() && found->second.kind == kind;
}

std::string release(void* pointer) {
  Memory& all = memory();
  const std::unique_lock<std::shared_mutex> lock(all.mutex);
  const auto found = all.allocations.find(reinterpret_cast<uintptr_t>(pointer));
  if (found == all.allocations.end()) return "not an allocation";
  const Allocation a = found->second;
  std::string report;
  if (!isFilled(a.mapping + kGuard, a.start) || !isFilled(a.start + a.bytes, a.mapping + a.mapped - kGuard)) {
    report = "something wrote just outside an allocation of " + std::to_string(a.bytes) + " bytes";
  }
  if (a.kind == MemoryKind::device) all.deviceBytes -= a.bytes;
  all.allocations.erase(found);
  // Its addresses stay taken for a while, so that a late use of them faults.
  mmap(a.mapping, a.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  all.freed.push_back(a);
  if (all.freed.size() > kRemembered) {
    munmap(all.freed.front().mapping, all.freed.front().mapped);
    all.freed.pop_front();
  }
  return report;
}

bool isDeviceMemory(const void* pointer, size_t bytes) {
  Memory& all = memory();
  const std::shared_lock<std::shared_mutex> lock(all.mutex);
  const Allocation* const a = all.around(pointer, bytes);
  return a && a->kind == MemoryKind::device;
}

bool isKnownMemory(const void* pointer, size_t bytes) {
  Memory& all = memory();
  const std::shared_lock<std::shared_mutex> lock(all.mutex);
  return all.around(pointer, bytes) != nullptr;
}

bool isPinned(const void* pointer) {
  Memory& all = memory();
  const std::shared_lock<std::shared_mutex> lock(all.mutex);
  const Allocation* const a = all.around(pointer, 0);
  return a && a->kind == MemoryKind::pinned;
}

std::string describeAddress(const void* address) {
  Memory& all = memory();
  const std::shared_lock<std::shared_mutex> lock(all.mutex);
  const auto* const at = static_cast<const unsigned char*>(address);
  char text[160];
  const auto describe = [&](const Allocation& a, const char* state) {
    const char* const kind = a.kind == MemoryKind::device ? "device" : "pinned host";
    if (at < a.start) {
      std::snprintf(text, sizeof text, "%zd bytes before the start of %zu bytes of %s memory%s", a.start - at, a.bytes,
                    kind, state);
    } else if (at >= a.start + a.bytes) {
      std::snprintf(text, sizeof text, "%zd bytes after the end of %zu bytes of %s memory%s", at - (a.start + a.bytes),
                    a.bytes, kind, state);
    } else {
      std::snprintf(text, sizeof text, "%zd bytes into %zu bytes of %s memory%s", at - a.start, a.bytes, kind, state);
    }
    return std::string(text);
  };
  for (const auto& [start, a] : all.allocations) {
    if (at >= a.mapping && at < a.mapping + a.mapped) return describe(a, "");
  }
  for (auto a = all.freed.rbegin(); a != all.freed.rend(); ++a) {
    if (at >= a->mapping && at < a->mapping + a->mapped) return describe(*a, ", which was freed");
  }
  return "in no allocation";
}

}  // namespace emulator
