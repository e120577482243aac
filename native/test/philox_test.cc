// Philox4x32-10 against the published vectors (Random123, kat_vectors), and Box–Muller against the closed form.
#include "../core/philox.h"

#include <cmath>

#include "check.h"

namespace {

using namespace langevin;

void checkVector(const uint32_t (&c)[4], uint32_t k0, uint32_t k1, const uint32_t (&expected)[4]) {
  const Words words = philox4x32(c[0], c[1], c[2], c[3], k0, k1);
  for (int i = 0; i < 4; ++i) CHECK(words.w[i] == expected[i]);
}

TEST("Philox4x32-10 gives the published words") {
  checkVector({0, 0, 0, 0}, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  checkVector({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff,
              {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  checkVector({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0,
              {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST("a uniform is on [0, 1) with 24 bits") {
  CHECK(uniformOf(0) == 0.0f && uniformOf(0xff) == 0.0f && uniformOf(0x100) == 0x1p-24f);
  CHECK(uniformOf(0xffffffff) < 1.0f && uniformOf(0xffffffff) == 1.0f - 0x1p-24f);
}

TEST("the logarithm is right to 2e-7, relatively, for every uniform") {
  for (uint32_t i = 1; i <= 0x1000000u; i += 7) {
    const float u = static_cast<float>(i) * 0x1p-24f;
    const double exact = std::log(static_cast<double>(u));
    CHECK(std::fabs(logOf(u) - exact) <= 2e-7 * std::fabs(exact));
  }
  CHECK(logOf(1.0f) == 0.0f);
}

TEST("normals are √(−2 log u)·(cos, sin)(angle) of their words") {
  for (uint32_t i = 0; i < 200000; ++i) {
    const Words words = philox4x32(i, 1, 2, 3, 4, 5);
    float n0, n1;
    boxMuller(words.w[0], words.w[1], n0, n1);
    const double u = static_cast<double>((words.w[0] >> 8) + 1) * 0x1p-24;
    const double v = (static_cast<double>((words.w[1] >> 6) & 0xffffffu) - 0x800000) * 0x1p-24;
    const double angle = (static_cast<double>(words.w[1] >> 30) + v) * 1.5707963267948966;
    const double r = std::sqrt(-2 * std::log(u));
    CHECK(std::fabs(n0 - r * std::cos(angle)) < 3e-6 && std::fabs(n1 - r * std::sin(angle)) < 3e-6);
  }
}

TEST("normals have the moments of N(0, 1)") {
  const int n = 4000000;
  double sum[4] = {};
  for (uint32_t i = 0; i < n / 4; ++i) {
    const Words words = philox4x32(i, 0, 0, 0, 42, 0);
    float z[4];
    boxMuller(words.w[0], words.w[1], z[0], z[1]);
    boxMuller(words.w[2], words.w[3], z[2], z[3]);
    for (const double x : z) {
      double power = x;
      for (double& s : sum) {
        s += power;
        power *= x;
      }
    }
  }
  // Five standard errors: of the k-th moment, √((E x²ᵏ − (E xᵏ)²)/n).
  CHECK(std::fabs(sum[0] / n) < 5 * std::sqrt(1.0 / n));
  CHECK(std::fabs(sum[1] / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::fabs(sum[2] / n) < 5 * std::sqrt(15.0 / n));
  CHECK(std::fabs(sum[3] / n - 3) < 5 * std::sqrt(96.0 / n));
}

}  // namespace

TEST_MAIN
