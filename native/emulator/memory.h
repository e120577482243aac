// Device memory and pinned host memory: each allocation a mapping of its own between guard pages, ending at one.
#pragma once
#include <cstddef>
#include <string>

namespace emulator {

enum class MemoryKind { device, pinned };

/// nullptr where memory is out. Device memory is filled with 0xFF (NaN as floating-point numbers).
void* allocate(size_t bytes, MemoryKind kind);
/// False: not the start of an allocation of this kind.
bool isAllocation(const void* pointer, MemoryKind kind);
/// Frees it. The bytes around it must be as they were: a report where they are not.
std::string release(void* pointer);

/// Whether [pointer, pointer + bytes) lies in one allocation; of device memory, of any kind.
bool isDeviceMemory(const void* pointer, size_t bytes);
bool isKnownMemory(const void* pointer, size_t bytes);
/// Whether `pointer` lies in pinned memory.
bool isPinned(const void* pointer);

/// "16 bytes after the end of an allocation of 4096 bytes", …
std::string describeAddress(const void* address);

size_t totalMemory();
size_t freeMemory();

}  // namespace emulator
