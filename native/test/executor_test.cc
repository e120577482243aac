// The queue: order, a full queue, faults, waiting, and a device that is closed with calls still in it.
#include "../core/executor.h"

#include <chrono>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#include "../cpu/stream.h"
#include "check.h"

namespace {

using langevin::Call;
using langevin::Executor;
using langevin::Stream;

/// Enqueues a function; `drop` destroys it, run or not.
template <class F>
void enqueue(Executor& executor, F f, const char* name = "call") {
  static_assert(sizeof(F) <= langevin::kTaskBytes, "");
  new (executor.reserve()) F(std::move(f));
  executor.submit({name, [](Stream& stream, void* arguments) { (*static_cast<F*>(arguments))(stream); },
                   [](void* arguments) { static_cast<F*>(arguments)->~F(); }});
}

void pauseMilliseconds(int n) { std::this_thread::sleep_for(std::chrono::milliseconds(n)); }

TEST("calls run in order, far more of them than the queue holds") {
  Stream stream(2);
  Executor executor(stream);
  const int n = static_cast<int>(Executor::kCapacity) * 5 + 3;
  std::vector<int> order;
  for (int i = 0; i < n; ++i) enqueue(executor, [&order, i](Stream&) { order.push_back(i); });
  executor.waitUntilIdle();
  CHECK(order.size() == static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) CHECK(order[static_cast<size_t>(i)] == i);
}

TEST("reserve() waits for room while the queue is full") {
  Stream stream(1);
  Executor executor(stream);
  std::atomic<bool> open{false};
  std::atomic<int> done{0};
  enqueue(executor, [&](Stream&) {
    while (!open) std::this_thread::yield();
  });
  std::thread opener([&] {
    pauseMilliseconds(20);
    open = true;
  });
  for (uint64_t i = 0; i < 2 * Executor::kCapacity; ++i) enqueue(executor, [&](Stream&) { ++done; });
  CHECK(open);  // it did wait
  executor.waitUntilIdle();
  CHECK(done == static_cast<int>(2 * Executor::kCapacity));
  opener.join();
}

TEST("waitUntilIdle() waits for calls in progress, awake or asleep") {
  Stream stream(2);
  Executor executor(stream);
  for (int i = 0; i < 30; ++i) {
    std::vector<int> values(1000, 0);
    enqueue(executor, [&values](Stream& stream) {
      stream.parallel(1000, [&](int64_t block, int) { values[static_cast<size_t>(block)] = 1; });
    });
    executor.waitUntilIdle();
    for (const int v : values) CHECK(v == 1);
    if (i % 10 == 0) pauseMilliseconds(2);  // the executor falls asleep
  }
  executor.waitUntilIdle();  // nothing to wait for
}

TEST("a fault names its op, the first is kept until taken, and later calls run") {
  Stream stream(2);
  Executor executor(stream);
  std::atomic<int> done{0};
  enqueue(
      executor, [](Stream&) { langevin::fault("a buffer of %s", "u8"); }, "conv2d");
  enqueue(
      executor, [](Stream& stream) { stream.parallel(8, [](int64_t, int) { langevin::fault("in a block"); }); },
      "norm");
  enqueue(executor, [&](Stream&) { ++done; });
  executor.waitUntilIdle();
  CHECK(done == 1);
  CHECK(executor.takeFault() == "conv2d: a buffer of u8");
  CHECK(executor.takeFault().empty());
  enqueue(
      executor, [](Stream& stream) { stream.parallel(8, [](int64_t, int) { langevin::fault("in a block"); }); },
      "norm");
  executor.waitUntilIdle();
  CHECK(executor.takeFault() == "norm: in a block");
}

TEST("a lost device tells its loss again and again, and whatever fails after it is not told") {
  Stream stream(1);
  Executor executor(stream);
  enqueue(
      executor, [](Stream&) { langevin::fault("a buffer of u8"); }, "norm");
  enqueue(
      executor, [](Stream&) { throw langevin::DeviceLost("illegal address"); }, "conv2d");
  enqueue(
      executor, [](Stream&) { langevin::fault("after it"); }, "pick");
  executor.waitUntilIdle();
  CHECK(executor.lost());
  CHECK(executor.takeFault() == "conv2d: illegal address");
  CHECK(executor.takeFault() == "conv2d: illegal address");
}

TEST("the op that runs is known by name") {
  Stream stream(1);
  Executor executor(stream);
  std::string seen;
  enqueue(
      executor, [&](Stream&) { seen = executor.running(); }, "conv2d");
  executor.waitUntilIdle();
  CHECK(seen == "conv2d");
}

TEST("a device that is closed runs the call in progress to its end and destroys the arguments of all others") {
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto token = std::make_shared<int>(0);
    std::atomic<bool> started{false};
    std::atomic<bool> finished{false};
    {
      Stream stream(2);
      Executor executor(stream);
      enqueue(executor, [&, token](Stream&) {
        started = true;
        pauseMilliseconds(2);
        finished = true;
      });
      for (int i = 0; i < 500; ++i) enqueue(executor, [token](Stream&) { ++*token; });
      while (!started) std::this_thread::yield();
    }
    CHECK(finished && token.use_count() == 1);
  }
}

TEST("devices can be opened and closed at once, as worker threads do") {
  std::vector<std::thread> owners;
  std::atomic<int> done{0};
  for (int i = 0; i < 8; ++i) {
    owners.emplace_back([&done] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        Stream stream(2);
        Executor executor(stream);
        enqueue(executor, [&done](Stream& stream) { stream.parallel(10, [&](int64_t, int) { ++done; }); });
        executor.waitUntilIdle();
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
  CHECK(done == 8 * 5 * 10);
}

}  // namespace

TEST_MAIN
