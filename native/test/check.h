// The least that a test program needs: CHECK, named cases, a count. A program runs its cases in order, prints
// "N passed, N failed" and exits non-zero where one failed.
#pragma once
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace langevin::test {

struct Case {
  std::string name;
  std::function<void()> run;
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
struct Register {
  Register(const char* name, std::function<void()> run) { cases().push_back({name, std::move(run)}); }
};

struct Failure {
  std::string message;
};

inline int runAll() {
  int passed = 0, failed = 0;
  for (const Case& c : cases()) {
    try {
      c.run();
      ++passed;
    } catch (const Failure& failure) {
      ++failed;
      std::printf("FAILED %s\n  %s\n", c.name.c_str(), failure.message.c_str());
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace langevin::test

#define CHECK(condition)                                                                                       \
  do {                                                                                                         \
    if (!(condition))                                                                                          \
      throw langevin::test::Failure{std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": " #condition}; \
  } while (0)

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
/// TEST("what a user would lose if it failed") { … }
#define TEST(name)                                                                              \
  static void JOIN(test_, __LINE__)();                                                          \
  static const langevin::test::Register JOIN(register_, __LINE__)(name, JOIN(test_, __LINE__)); \
  static void JOIN(test_, __LINE__)()

#define TEST_MAIN \
  int main() { return langevin::test::runAll(); }
