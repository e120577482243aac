// A caching allocator. A freed block goes to a free list and is handed out again at once: safe, because every access
// to a buffer is a task of one ordered stream, so the old owner's tasks run before the new owner's. A request takes the
// smallest block that fits, also one that is somewhat larger: a network whose layers shrink then works in the blocks of
// its first layers (one SGLD step of WRN-28-10, 8 images: 28 MB live at once; 40 instead of 60 MB are taken for it).
#pragma once
#include <cstddef>
#include <map>
#include <unordered_map>
#include <vector>

namespace langevin {

class Pool {
 public:
  using Allocate = void* (*)(size_t bytes);  // nullptr when memory is out
  using Release = void (*)(void* block, size_t bytes);

  Pool(Allocate allocate, Release release) : allocate_(allocate), release_(release) {}
  ~Pool() { trim(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Blocks come in sizes of 64 bytes up to 1 KiB, then in eighths of a power of two: at most 12.5 % is lost.
  static size_t blockSize(size_t bytes);

  /// The largest block, in times of what is asked, that is handed out instead of a new one.
  static constexpr size_t kMostReuse = 4;

  /// A block of at least `bytes`, or nullptr. The caller must let the stream run empty, call trim() and try again
  /// before it reports that memory is out.
  void* take(size_t bytes);
  void give(void* block, size_t bytes);
  /// Gives every cached block back to the system. The stream must be idle.
  void trim();

  size_t liveBytes() const { return live_; }
  size_t peakBytes() const { return peak_; }
  size_t cachedBytes() const { return cached_; }
  void resetPeak() { peak_ = live_; }
  /// Most bytes that live and cached blocks together may take; 0: no limit.
  void setLimit(size_t bytes) { limit_ = bytes; }
  size_t limit() const { return limit_; }

 private:
  Allocate allocate_;
  Release release_;
  std::map<size_t, std::vector<void*>> free_;          // by size; no list is empty
  std::unordered_map<void*, size_t> largerThanAsked_;  // the sizes of live blocks of another size than blockSize says
  size_t live_ = 0, peak_ = 0, cached_ = 0, limit_ = 0;
};

}  // namespace langevin
