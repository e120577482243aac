// Sizes: minima, rounded-up quotients, and products that cannot overflow.
#pragma once
#include "dtype.h"

namespace langevin {

LANGEVIN_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
LANGEVIN_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
LANGEVIN_INLINE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// The product of extents; a negative one, or a product beyond any buffer, is a fault.
LANGEVIN_HOST_INLINE int64_t countOf(int64_t a, int64_t b = 1, int64_t c = 1, int64_t d = 1) {
  int64_t n;
  if (a < 0 || b < 0 || c < 0 || d < 0) fault("a negative extent");
  if (__builtin_mul_overflow(a, b, &n) || __builtin_mul_overflow(n, c, &n) || __builtin_mul_overflow(n, d, &n)) {
    fault("extents whose product is out of range");
  }
  return n;
}

}  // namespace langevin
