// The emulated runtime: work runs in the order of its stream and as late as that allows, so that a program that does
// not wait for what it reads, or changes what is still to be read, gets wrong results.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "emulator.h"

namespace {

using namespace langevin::test;

__global__ void addOne(int* values, int n) {
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < static_cast<unsigned>(n); i += gridDim.x * blockDim.x) {
    ++values[i];
  }
}
__global__ void copyFirst(const int* from, int* to) { *to = *from; }
__global__ void outside(int* p) { p[1 << 20] = 1; }

struct Stream {
  cudaStream_t handle = nullptr;
  Stream() { CHECK(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking) == cudaSuccess); }
  ~Stream() { cudaStreamDestroy(handle); }
  Shape shape(unsigned blocks = 1, unsigned threads = 32) const {
    Shape s{dim3(blocks), dim3(threads)};
    s.stream = handle;
    return s;
  }
};
template <class T>
struct Pinned {
  T* data = nullptr;
  explicit Pinned(size_t n) { CHECK(cudaMallocHost(&data, n * sizeof(T)) == cudaSuccess); }
  ~Pinned() { cudaFreeHost(data); }
};

// First: the machine reads its environment once.
TEST("without a device every call says so") {
  CHECK(reportOf([] {
          setenv("LANGEVIN_EMULATOR_DEVICES", "0", 1);
          int count = -1;
          void* p = nullptr;
          CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0);
          CHECK(cudaMalloc(&p, 4) == cudaErrorNoDevice);
          return cudaErrorNoDevice;
        }) == "failed without a report");
}

TEST("work of a stream runs in its order") {
  const Stream stream;
  const Array<int> values(std::vector<int>(1000, 5));
  for (int i = 0; i < 100; ++i) CHECK(tryLaunch(addOne, stream.shape(4, 64), values.data(), 1000) == cudaSuccess);
  CHECK(cudaMemsetAsync(values.data(), 0, 4, stream.handle) == cudaSuccess);
  CHECK(tryLaunch(addOne, stream.shape(4, 64), values.data(), 1000) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  const std::vector<int> read = values.read();
  CHECK(read[0] == 1 && std::all_of(read.begin() + 1, read.end(), [](int v) { return v == 106; }));
}

TEST("a program that does not wait for its copy reads what was there before") {
  const Stream stream;
  const Array<int> values(std::vector<int>{41});
  const Pinned<int> host(1);
  *host.data = 7;
  CHECK(tryLaunch(addOne, stream.shape(), values.data(), 1) == cudaSuccess);
  CHECK(cudaMemcpyAsync(host.data, values.data(), 4, cudaMemcpyDeviceToHost, stream.handle) == cudaSuccess);
  CHECK(*host.data == 7);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess && *host.data == 42);
}

TEST("pinned memory that changes before its copy ran is copied as it then is; pageable memory is staged") {
  const Stream stream;
  const Array<int> values(2);
  const Pinned<int> pinned(1);
  int pageable = 1;
  *pinned.data = 1;
  CHECK(cudaMemcpyAsync(values.data(), pinned.data, 4, cudaMemcpyHostToDevice, stream.handle) == cudaSuccess);
  CHECK(cudaMemcpyAsync(values.data() + 1, &pageable, 4, cudaMemcpyHostToDevice, stream.handle) == cudaSuccess);
  *pinned.data = 2;
  pageable = 2;
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK((values.read() == std::vector<int>{2, 1}));
}

TEST("copies to pageable memory are there when the call returns") {
  const Stream stream;
  const Array<int> values(std::vector<int>{41});
  CHECK(tryLaunch(addOne, stream.shape(), values.data(), 1) == cudaSuccess);
  int host = 0;
  CHECK(cudaMemcpyAsync(&host, values.data(), 4, cudaMemcpyDeviceToHost, stream.handle) == cudaSuccess && host == 42);
}

TEST("streams without an order between them run in any; an event makes one") {
  int before = 0, after = 0;
  for (int repeat = 0; repeat < 40; ++repeat) {
    const Stream first, second;
    const Array<int> value(std::vector<int>{0}), seen(std::vector<int>{-1});
    CHECK(tryLaunch(addOne, first.shape(), value.data(), 1) == cudaSuccess);
    CHECK(tryLaunch(copyFirst, second.shape(), value.data(), seen.data()) == cudaSuccess);
    CHECK(cudaStreamSynchronize(second.handle) == cudaSuccess);
    ++(seen.read()[0] == 0 ? before : after);
  }
  CHECK(before > 0 && after > 0);
  for (int repeat = 0; repeat < 40; ++repeat) {
    const Stream first, second;
    const Array<int> value(std::vector<int>{0}), seen(std::vector<int>{-1});
    cudaEvent_t event = nullptr;
    CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
    CHECK(tryLaunch(addOne, first.shape(), value.data(), 1) == cudaSuccess);
    CHECK(cudaEventRecord(event, first.handle) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(second.handle, event) == cudaSuccess);
    CHECK(cudaEventDestroy(event) == cudaSuccess);
    CHECK(tryLaunch(copyFirst, second.shape(), value.data(), seen.data()) == cudaSuccess);
    CHECK(cudaStreamSynchronize(second.handle) == cudaSuccess);
    CHECK(seen.read()[0] == 1);
  }
}

TEST("an event says when work before it is done, to who asks and to who waits on another thread") {
  const Stream stream;
  const Array<int> values(std::vector<int>{0});
  cudaEvent_t start = nullptr, event = nullptr;
  CHECK(cudaEventCreate(&start) == cudaSuccess && cudaEventCreate(&event) == cudaSuccess);
  CHECK(cudaEventQuery(event) == cudaSuccess);  // never recorded
  CHECK(cudaEventRecord(start, stream.handle) == cudaSuccess);
  for (int i = 0; i < 5; ++i) CHECK(tryLaunch(addOne, stream.shape(), values.data(), 1) == cudaSuccess);
  CHECK(cudaEventRecord(event, stream.handle) == cudaSuccess);
  CHECK(cudaEventQuery(event) == cudaErrorNotReady && cudaGetLastError() == cudaErrorNotReady);
  int asked = 0;
  while (cudaEventQuery(event) == cudaErrorNotReady) CHECK(++asked < 1000);
  CHECK(values.read()[0] == 5);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start, event) == cudaSuccess && milliseconds >= 0);
  for (int i = 0; i < 5; ++i) CHECK(tryLaunch(addOne, stream.shape(), values.data(), 1) == cudaSuccess);
  CHECK(cudaEventRecord(event, stream.handle) == cudaSuccess);
  cudaError_t status = cudaErrorUnknown;
  std::thread other([&] { status = cudaEventSynchronize(event); });
  other.join();
  CHECK(status == cudaSuccess && values.read()[0] == 10);
  CHECK(cudaEventDestroy(start) == cudaSuccess && cudaEventDestroy(event) == cudaSuccess);
}

TEST("several host threads use streams of their own at once") {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      try {
        const Stream stream;
        const Array<int> values(std::vector<int>(300, 0));
        for (int i = 0; i < 50; ++i) {
          CHECK(tryLaunch(addOne, stream.shape(2, 96), values.data(), 300) == cudaSuccess);
          if (i % 7 == 0) CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
        }
        CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
        for (const int v : values.read()) CHECK(v == 50);
      } catch (const Failure& failure) {
        std::printf("  %s\n", failure.message.c_str());
        ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST("copies whose ends are not what they say, or too long, are refused") {
  const Array<int> values(4);
  int host[8] = {};
  CHECK(cudaMemcpy(values.data(), host, 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, values.data() + 1, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(values.data(), values.data(), 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, host + 4, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemset(host, 0, 4) == cudaErrorInvalidValue);
  CHECK(cudaFree(host) == cudaErrorInvalidValue && cudaFree(values.data() + 1) == cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr) == cudaSuccess);
}

TEST("memory that was not written is NaN; what is freed can be had again; too much is an error") {
  const Array<float> fresh(100);
  for (const float v : fresh.read()) CHECK(v != v);
  size_t freeBytes = 0, total = 0, later = 0;
  CHECK(cudaMemGetInfo(&freeBytes, &total) == cudaSuccess && freeBytes < total);
  void* p = nullptr;
  CHECK(cudaMalloc(&p, total) == cudaErrorMemoryAllocation && !p && cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 1 << 20) == cudaSuccess && cudaFree(p) == cudaSuccess);
  CHECK(cudaMemGetInfo(&later, &total) == cudaSuccess && later == freeBytes);
}

TEST("a graph does what was captured, as often as it is launched; capturing runs nothing") {
  const Stream stream;
  const Array<int> values(std::vector<int>{0}), copy(std::vector<int>{0});
  CHECK(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(tryLaunch(addOne, stream.shape(), values.data(), 1) == cudaSuccess);
  CHECK(cudaMemcpyAsync(copy.data(), values.data(), 4, cudaMemcpyDeviceToDevice, stream.handle) == cudaSuccess);
  CHECK(tryLaunch(addOne, stream.shape(), values.data(), 1) == cudaSuccess);
  cudaStreamCaptureStatus captureStatus = cudaStreamCaptureStatusNone;
  CHECK(cudaStreamIsCapturing(stream.handle, &captureStatus) == cudaSuccess);
  CHECK(captureStatus == cudaStreamCaptureStatusActive);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream.handle, &graph) == cudaSuccess && graph);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess && values.read()[0] == 0);
  cudaGraphExec_t executable = nullptr;
  CHECK(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess && cudaGraphDestroy(graph) == cudaSuccess);
  for (int i = 0; i < 10; ++i) CHECK(cudaGraphLaunch(executable, stream.handle) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(values.read()[0] == 20 && copy.read()[0] == 19);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
}

TEST("waiting for a stream that captures breaks the capture") {
  const Stream stream;
  CHECK(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream.handle, &graph) == cudaErrorStreamCaptureInvalidated && !graph);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  cudaGetLastError();
}

TEST("a fault of a kernel reaches waits, events and later launches of other streams") {
  const std::string report = reportOf([] {
    const Stream stream, other;
    const Array<int> values(4);
    cudaEvent_t event = nullptr;
    CHECK(cudaEventCreate(&event) == cudaSuccess);
    CHECK(tryLaunch(outside, stream.shape(1, 1), values.data()) == cudaSuccess);
    CHECK(cudaEventRecord(event, stream.handle) == cudaSuccess);
    CHECK(cudaEventSynchronize(event) == cudaErrorIllegalAddress);
    CHECK(cudaStreamSynchronize(other.handle) == cudaErrorIllegalAddress);
    CHECK(tryLaunch(addOne, other.shape(), values.data(), 1) == cudaErrorIllegalAddress);
    return cudaErrorIllegalAddress;
  });
  CHECK(says(report, "out-of-bounds") && report.find("a check in the child") == std::string::npos);
}

// The thread that runs host functions is started here, so nothing after this forks.
TEST("host functions run after what is before them, though nobody waits, and may not call the runtime") {
  const Stream stream;
  const Array<int> values(std::vector<int>{0});
  const Pinned<int> host(1);
  struct Told {
    int* value;
    std::atomic<int> seen{-1};
    cudaError_t within = cudaSuccess;
  } told;
  told.value = host.data;
  for (int i = 0; i < 20; ++i) CHECK(tryLaunch(addOne, stream.shape(), values.data(), 1) == cudaSuccess);
  CHECK(cudaMemcpyAsync(host.data, values.data(), 4, cudaMemcpyDeviceToHost, stream.handle) == cudaSuccess);
  CHECK(cudaLaunchHostFunc(
            stream.handle,
            [](void* data) {
              auto& t = *static_cast<Told*>(data);
              t.within = cudaStreamSynchronize(nullptr);
              t.seen = *t.value;
            },
            &told) == cudaSuccess);
  for (int i = 0; i < 5000 && told.seen < 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(told.seen == 20 && told.within == cudaErrorNotPermitted);
}

}  // namespace

TEST_MAIN
