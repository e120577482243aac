// The CPU device's threads: parallel loops, faults in them, scratch memory, changes of the number of threads.
#include "../cpu/stream.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "check.h"

namespace {

using langevin::Stream;

TEST("every block runs once, for any number of threads and blocks") {
  for (const int threads : {1, 2, 3, 8}) {
    Stream stream(threads);
    CHECK(stream.threads() == threads);
    for (const int64_t blocks : {0, 1, 2, 7, 1000}) {
      std::vector<int> runs(static_cast<size_t>(blocks), 0);
      std::atomic<bool> threadOutOfRange{false};
      for (int repeat = 0; repeat < 20; ++repeat) {
        stream.parallel(blocks, [&](int64_t block, int thread) {
          ++runs[static_cast<size_t>(block)];
          if (thread < 0 || thread >= threads) threadOutOfRange = true;
        });
      }
      for (const int n : runs) CHECK(n == 20);
      CHECK(!threadOutOfRange);
    }
  }
}

TEST("what a loop wrote is there for the next, without sleeping and after it") {
  Stream stream(4);
  std::vector<int64_t> values(10000, 0);
  for (int round = 0; round < 50; ++round) {
    stream.parallel(100, [&](int64_t block, int) {
      for (int64_t i = block * 100; i < (block + 1) * 100; ++i) values[static_cast<size_t>(i)] += i + round;
    });
    if (round % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the workers fall asleep
  }
  for (int64_t i = 0; i < 10000; ++i) CHECK(values[static_cast<size_t>(i)] == 50 * i + 49 * 25);
}

TEST("a fault in a block is thrown to the caller, and the stream works on") {
  for (const int threads : {1, 4}) {
    Stream stream(threads);
    for (int repeat = 0; repeat < 50; ++repeat) {
      std::string message;
      try {
        stream.parallel(64, [&](int64_t block, int) {
          if (block % 9 == 5) langevin::fault("block %d", static_cast<int>(block));
        });
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
      CHECK(message.rfind("block ", 0) == 0);
      std::atomic<int> done{0};
      stream.parallel(10, [&](int64_t, int) { ++done; });
      CHECK(done == 10);
    }
  }
}

TEST("scratch memory is each thread's own, kept between loops and counted") {
  Stream stream(3);
  std::atomic<bool> wrong{false};
  for (const size_t bytes : {size_t{100}, size_t{5000}, size_t{200}, size_t{1} << 20}) {
    stream.parallel(30, [&](int64_t block, int thread) {
      for (int slot = 0; slot < 4; ++slot) {
        auto* data = static_cast<unsigned char*>(stream.scratch(thread, slot, bytes));
        if (reinterpret_cast<uintptr_t>(data) % 64 != 0) wrong = true;
        std::memset(data, static_cast<int>(block + slot), bytes);
      }
      for (int slot = 0; slot < 4; ++slot) {
        auto* data = static_cast<unsigned char*>(stream.scratch(thread, slot, bytes));
        if (data[0] != static_cast<unsigned char>(block + slot) || data[bytes - 1] != data[0]) wrong = true;
      }
    });
  }
  CHECK(!wrong && stream.scratchBytes() >= 4 * (size_t{1} << 20));
  stream.setThreads(1);
  CHECK(stream.scratchBytes() <= 4 * (size_t{1} << 20));
}

TEST("a thread's own stream runs loops by itself, in scratch of its own that is counted and goes with the thread") {
  Stream stream(3);
  std::atomic<int> wrong{0};
  stream.parallel(30, [&](int64_t block, int thread) {
    Stream& own = stream.alone(thread);
    int done = 0;  // not atomic: no other thread may run these blocks
    own.parallel(50, [&](int64_t, int inner) { done += inner == 0 ? 1 : 100; });
    auto* data = static_cast<unsigned char*>(own.scratch(0, 2, 100000));
    std::memset(data, static_cast<int>(block), 100000);
    if (done != 50 || own.threads() != 1 || data == stream.scratch(thread, 2, 100000)) ++wrong;
    if (data[99999] != static_cast<unsigned char>(block)) ++wrong;
  });
  CHECK(wrong == 0 && stream.scratchBytes() >= 2 * 100000);
  stream.alone(0).scratch(0, 0, size_t{1} << 20);
  CHECK(stream.scratchBytes() >= size_t{1} << 20);
  stream.setThreads(1);
  stream.setThreads(3);
  stream.alone(2);
  CHECK(stream.scratchBytes() >= size_t{1} << 20 && &stream.alone(2) != &stream.alone(0));
}

TEST("random numbers are drawn from further on where a stream is told so, and a thread's own stream is not") {
  Stream stream(1);
  stream.shiftRandom(5, 12);
  const langevin::Draw draw = stream.draw({1, 2, 3, 4}), own = stream.alone(0).draw({1, 2, 3, 4});
  CHECK(draw.philox.seed == 1 && draw.philox.step == 7 && draw.philox.stream == 3 && draw.philox.purpose == 4);
  CHECK(draw.first == 12 && own.philox.step == 2 && own.first == 0);
}

TEST("scratch that cannot be had is a fault, and the slot can be used again") {
  Stream stream(1);
  bool thrown = false;
  try {
    stream.scratch(0, 0, size_t{1} << 60);
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  CHECK(thrown && stream.scratchBytes() == 0 && stream.scratch(0, 0, 64) != nullptr);
}

TEST("the number of threads can change between loops") {
  Stream stream(1);
  for (const int threads : {4, 2, 1, 0, 3, 4}) {
    stream.setThreads(threads);
    std::atomic<int> done{0};
    stream.parallel(100, [&](int64_t, int) { ++done; });
    CHECK(done == 100);
  }
}

}  // namespace

TEST_MAIN
