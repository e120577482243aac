// The buffer pool: sizes, reuse, limits, failures of the system's allocator.
#include "../core/pool.h"

#include <cstdlib>
#include <cstring>

#include "check.h"

namespace {

using langevin::Pool;

int systemBlocks = 0;  // blocks that the system has given out
int failAfter = -1;    // allocations until the system says no; -1: never
void* systemAllocate(size_t bytes) {
  if (failAfter == 0) return nullptr;
  if (failAfter > 0) --failAfter;
  ++systemBlocks;
  return std::malloc(bytes);
}
void systemRelease(void* block, size_t) {
  --systemBlocks;
  std::free(block);
}

TEST("a block is at least as large as asked, and wastes at most an eighth beyond 1 KiB") {
  for (size_t bytes = 0; bytes < 70000; ++bytes) {
    const size_t size = Pool::blockSize(bytes);
    CHECK(size >= bytes && size >= 64 && size % 64 == 0);
    CHECK(Pool::blockSize(size) == size);
    if (bytes > 1024) CHECK(size - bytes < bytes / 8 + 1);
  }
  for (const size_t bytes : {(size_t{1} << 31) + 1, (size_t{1} << 40) - 1, size_t{3} << 33}) {
    CHECK(Pool::blockSize(bytes) >= bytes && Pool::blockSize(bytes) - bytes <= bytes / 8);
  }
}

TEST("a freed block is handed out again, and every block goes back to the system") {
  {
    Pool pool(systemAllocate, systemRelease);
    void* first = pool.take(5000);
    std::memset(first, 1, 5000);
    pool.give(first, 5000);
    CHECK(pool.liveBytes() == 0 && pool.cachedBytes() == Pool::blockSize(5000));
    CHECK(pool.take(4990) == first);  // the same size class
    CHECK(pool.cachedBytes() == 0 && systemBlocks == 1);
    void* second = pool.take(5000);
    CHECK(second != first && systemBlocks == 2);
    pool.give(first, 4990);
    pool.give(second, 5000);
    pool.trim();
    CHECK(systemBlocks == 0 && pool.cachedBytes() == 0);
    pool.give(pool.take(100), 100);
  }
  CHECK(systemBlocks == 0);
}

TEST("a request takes the smallest freed block that fits and is at most four times as large") {
  {
    Pool pool(systemAllocate, systemRelease);
    void* large = pool.take(8192);
    void* middle = pool.take(4096);
    pool.give(large, 8192);
    pool.give(middle, 4096);
    void* a = pool.take(3000);
    CHECK(a == middle && pool.liveBytes() == 4096 && pool.cachedBytes() == 8192);
    void* b = pool.take(2048);
    CHECK(b == large && pool.liveBytes() == 12288 && pool.cachedBytes() == 0);
    pool.give(b, 2048);  // is a block of 8192 bytes again
    CHECK(pool.liveBytes() == 4096 && pool.cachedBytes() == 8192);
    void* small = pool.take(1900);
    CHECK(small != large && systemBlocks == 3);
    CHECK(pool.take(8192) == large);
    pool.give(large, 8192);
    pool.give(small, 1900);
    pool.give(a, 3000);
    CHECK(pool.liveBytes() == 0 && pool.peakBytes() == 4096 + 8192 + Pool::blockSize(1900));
  }
  CHECK(systemBlocks == 0);
}

TEST("live and peak bytes count what is held") {
  Pool pool(systemAllocate, systemRelease);
  void* a = pool.take(1024);
  void* b = pool.take(2048);
  CHECK(pool.liveBytes() == 3072 && pool.peakBytes() == 3072);
  pool.give(b, 2048);
  CHECK(pool.liveBytes() == 1024 && pool.peakBytes() == 3072);
  pool.resetPeak();
  CHECK(pool.peakBytes() == 1024);
  pool.give(a, 1024);
}

TEST("a limit holds for live and cached blocks together, and trim() makes room") {
  Pool pool(systemAllocate, systemRelease);
  pool.setLimit(4096);
  void* a = pool.take(2048);
  void* b = pool.take(2048);
  CHECK(a && b && !pool.take(64));
  pool.give(a, 2048);
  CHECK(!pool.take(256));  // 2048 live, and 2048 cached in a block too large for this
  pool.trim();
  void* c = pool.take(1024);
  CHECK(c);
  pool.setLimit(1);  // below what is held: nothing new, and nothing wraps around
  CHECK(!pool.take(64));
  pool.setLimit(0);
  void* d = pool.take(1 << 20);
  CHECK(d);
  pool.give(d, 1 << 20);
  pool.give(c, 1024);
  pool.give(b, 2048);
}

TEST("memory that the system refuses is nullptr, and the counts stay right") {
  Pool pool(systemAllocate, systemRelease);
  failAfter = 1;
  void* a = pool.take(128);
  CHECK(a && !pool.take(256));
  CHECK(pool.liveBytes() == 128 && pool.peakBytes() == 128);
  failAfter = -1;
  pool.give(a, 128);
}

}  // namespace

TEST_MAIN
