// What the emulator's tests share: programs that are expected to end in a report.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "device.h"

namespace langevin::test {

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
