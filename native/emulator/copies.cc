// cp.async: copies of a thread from global to shared memory, in groups that it waits for. They run by the ordinary
// (generic) proxy, at once or when they are waited for.
#include <cstring>

#include "asynchronous.h"
#include "memory.h"
#include "multiprocessor.h"

namespace emulator {

uint32_t sharedAddress(const void* shared) {
  const Block& block = *self->block;
  const auto* const at = static_cast<const unsigned char*>(shared);
  // The first KiB is the system's own, as on Hopper; variables lie behind the dynamic part.
  constexpr uint32_t kDynamic = 1024;
  if (at >= block.dynamic && at <= block.dynamic + block.dynamicBytes) {
    return kDynamic + static_cast<uint32_t>(at - block.dynamic);
  }
  if (!block.contains(shared, 0)) fail("an address in shared memory is needed, not %p", shared);
  return kDynamic +
         static_cast<uint32_t>((block.dynamicBytes + 1023) / 1024 * 1024 + static_cast<size_t>(at - block.shared));
}

uint32_t roundedToTf32(float v) {
  const uint32_t word = __float_as_uint(v);
  // Infinities and NaN stay; the largest finite numbers round to infinity.
  if ((word & 0x7f800000u) == 0x7f800000u) return (word & 0x007fffffu) != 0 ? 0x7fffffffu : word;
  return (word + 0x1000u) & 0xffffe000u;
}

namespace {
void run(const Copy& copy) {
  if (copy.valid) {
    std::memcpy(copy.to, copy.from, copy.bytes);
  } else {
    std::memset(copy.to, 0, copy.bytes);
  }
}
}  // namespace

void copyAsync(void* shared, const void* global, unsigned bytes, bool valid) {
  if (reinterpret_cast<uintptr_t>(shared) % bytes != 0 || !self->block->contains(shared, bytes)) {
    fail("cp.async of %u bytes to %p, which is no such place in shared memory", bytes, shared);
  }
  if (valid && reinterpret_cast<uintptr_t>(global) % bytes != 0) {
    failWith(cudaErrorMisalignedAddress, "cp.async of %u bytes from %p, which is not aligned", bytes, global);
  }
  if (valid && !isKnownMemory(global, bytes)) {
    failWith(cudaErrorIllegalAddress, "cp.async of %u bytes from %p, %s", bytes, global,
             describeAddress(global).c_str());
  }
  const Copy copy{static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global),
                  static_cast<uint8_t>(bytes), valid, self->async().copyGroups};
  if (Multiprocessor::ofThisThread().completesEarly()) {
    run(copy);
  } else {
    self->async().copies.push_back(copy);
  }
}

void commitCopies() { ++self->async().copyGroups; }

void waitCopies(int pending) {
  ThreadAsync& mine = self->async();
  size_t kept = 0;
  for (const Copy& copy : mine.copies) {
    if (copy.group + static_cast<uint32_t>(pending) < mine.copyGroups) {
      run(copy);
    } else {
      mine.copies[kept++] = copy;
    }
  }
  mine.copies.resize(kept);
}

}  // namespace emulator
