// What the emulator's tests share: launches, device arrays, and programs that are expected to end in a report.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "../cuda/platform.h"
#include "check.h"

namespace langevin::test {

struct Shape {
  dim3 grid = dim3(1);
  dim3 block = dim3(1);
  size_t sharedBytes = 0;
  unsigned cluster = 1;
  bool overlapPrevious = false;
  cudaStream_t stream = nullptr;
};

/// Launches and gives the launch's own error.
template <class... Ps, class... As>
cudaError_t tryLaunch(void (*kernel)(Ps...), const Shape& shape, As... arguments) {
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim.x = shape.cluster;
  attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = shape.overlapPrevious;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.sharedBytes;
  config.stream = shape.stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Ps>(arguments)...);
}

/// Launches and waits; gives the error of either.
template <class... Ps, class... As>
cudaError_t launch(void (*kernel)(Ps...), const Shape& shape, As... arguments) {
  if (shape.sharedBytes > 48 * 1024) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.sharedBytes));
  }
  const cudaError_t status = tryLaunch(kernel, shape, arguments...);
  return status != cudaSuccess ? status : cudaStreamSynchronize(shape.stream);
}

/// An array on the device.
template <class T>
class Array {
 public:
  explicit Array(size_t count) : count_(count) { CHECK(cudaMalloc(&data_, count * sizeof(T)) == cudaSuccess); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    CHECK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    CHECK(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  size_t count_;
  T* data_ = nullptr;
};

/// What `program`, run in a process of its own, writes to stderr; "" where it ends without an error that it returns.
/// A child that a signal ends says so.
inline std::string reportOf(const std::function<cudaError_t()>& program) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  std::fflush(stdout);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    int code = 99;
    try {
      code = program() == cudaSuccess ? 0 : 1;
    } catch (const Failure& failure) {
      std::fprintf(stderr, "a check in the child failed: %s\n", failure.message.c_str());
    }
    _exit(code);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n = read(ends[0], buffer, sizeof buffer); n > 0; n = read(ends[0], buffer, sizeof buffer)) {
    text.append(buffer, static_cast<size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status)) + "\n" + text;
  if (WEXITSTATUS(status) == 0) return "";
  return text.empty() ? "failed without a report" : text;
}

inline bool says(const std::string& report, const std::string& text) {
  if (report.find(text) != std::string::npos) return true;
  std::printf("  expected \"%s\" in: %s\n", text.c_str(), report.c_str());
  return false;
}

/// The same as reportOf for a launch.
template <class... Ps, class... As>
std::string reportOfLaunch(void (*kernel)(Ps...), const Shape& shape, As... arguments) {
  return reportOf([&] { return launch(kernel, shape, arguments...); });
}

}  // namespace langevin::test
