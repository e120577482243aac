// mbarriers, as other parts of the machine reach them.
#pragma once
#include "block.h"

namespace emulator {

/// The barrier at an address of a block; a fault where there is none or where its bytes were overwritten.
MemoryBarrier& memoryBarrier(Block& block, const uint64_t* at);
/// Bytes of a copy have come.
void bytesCame(MemoryBarrier& barrier, size_t bytes);

}  // namespace emulator
