// bfloat16 rounding against a reference in double, for every bfloat16 and around every tie; buffers that refuse.
#include "../core/dtype.h"

#include <cmath>
#include <stdexcept>

#include "check.h"

namespace {

using namespace langevin;

float floatOf(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

TEST("every bfloat16 survives the way to float and back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float f = toFloat(bf16{static_cast<uint16_t>(bits)});
    if (std::isnan(f)) {
      CHECK(std::isnan(toFloat(toBf16(f))));
    } else {
      CHECK(toBf16(f).bits == bits);
    }
  }
}

TEST("rounding is to nearest, ties to even, for every finite bfloat16 and the floats around it") {
  for (uint32_t high = 0; high < 0x7f80; ++high) {  // positive; the sign is carried along
    const double below = floatOf(high << 16);
    const double above = high == 0x7f7f ? 0x1p128 : static_cast<double>(floatOf((high + 1) << 16));
    for (const uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const float f = floatOf(high << 16 | low);
      const double toBelow = f - below, toAbove = above - f;
      const bool up = toAbove < toBelow || (toAbove == toBelow && (high & 1));
      CHECK(toBf16(f).bits == high + (up ? 1 : 0));
      CHECK(toBf16(-f).bits == ((high + (up ? 1 : 0)) | 0x8000));
    }
  }
}

TEST("infinities stay, NaNs stay NaN") {
  CHECK(toBf16(INFINITY).bits == 0x7f80 && toBf16(-INFINITY).bits == 0xff80);
  for (uint32_t low = 1; low < 0x800000; low += 127) {
    CHECK(std::isnan(toFloat(toBf16(floatOf(0x7f800000u | low)))));
    CHECK(std::isnan(toFloat(toBf16(floatOf(0xff800000u | low)))));
  }
}

TEST("a buffer of another dtype or size is a fault, an absent optional one is null") {
  float data[4] = {};
  In in;
  in.data = data;
  in.count = 4;
  CHECK(in.as<float>(4) == data && in.as<float>(0) == data);
  const auto faults = [](auto f) {
    try {
      f();
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  };
  CHECK(faults([&] { in.as<float>(5); }));
  CHECK(faults([&] { in.as<float>(-1); }));
  CHECK(faults([&] { in.as<double>(1); }));
  CHECK(OptIn{}.as<float>(100) == nullptr);
}

}  // namespace

TEST_MAIN
