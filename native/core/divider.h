// Division by a number that is the same for a whole kernel.
#pragma once
#include "dtype.h"

namespace langevin {

/// n / d for 0 ≤ n < 2⁶³ and 0 < d < 2⁶³ by a product and a shift (Granlund & Montgomery 1994): about 15 instructions
/// of a GPU, where a division of 64 bits is about 100. With s the least power of two 2ˢ ≥ d, and the 65-bit number 2⁶⁴
/// + m = ⌊2⁶⁴⁺ˢ / d⌋ + 1, the quotient is ⌊n·(2⁶⁴ + m) / 2⁶⁴⁺ˢ⌋.
class Divider {
 public:
  Divider() = default;
  LANGEVIN_HOST_INLINE explicit Divider(int64_t divisor) : divisor_(divisor) {
    const uint64_t d = static_cast<uint64_t>(divisor);
    while ((uint64_t{1} << shift_) < d) ++shift_;
    const auto excess = static_cast<unsigned __int128>((uint64_t{1} << shift_) - d);
    multiplier_ = static_cast<uint64_t>((excess << 64) / d) + 1;
  }

  LANGEVIN_INLINE int64_t divisor() const { return divisor_; }
  LANGEVIN_INLINE int64_t quotient(int64_t n) const {
    const auto product = static_cast<unsigned __int128>(static_cast<uint64_t>(n)) * multiplier_;
    return static_cast<int64_t>((static_cast<uint64_t>(product >> 64) + static_cast<uint64_t>(n)) >> shift_);
  }

 private:
  int64_t divisor_ = 1;
  uint64_t multiplier_ = 1;
  int32_t shift_ = 0;
};

}  // namespace langevin
