// The conformance suite: one tiny kernel per instruction of native/cuda/ptx.h, run on data without patterns, whose raw
// outputs are recorded on a real GPU once and compared with the emulator's from then on. No case says what is right:
// the hardware does. What the kernels are given is small whole numbers where sums would otherwise depend on the order
// of additions; cases of rounding are marked.
#pragma once
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../../cuda/ptx.h"
#include "../device.h"

namespace langevin::conformance {

using Bytes = std::vector<unsigned char>;

struct Case {
  std::string name;
  int architecture;  // the least that has the instruction
  bool rounding;     // recorded, but the emulator does not model how the hardware rounds sums
  std::function<Bytes()> run;
};
std::vector<Case>& cases();

struct Register {
  Register(const char* name, int architecture, bool rounding, std::function<Bytes()> run) {
    cases().push_back({name, architecture, rounding, std::move(run)});
  }
};

/// Bytes without a pattern, the same everywhere.
inline Bytes noise(size_t count, uint64_t seed) {
  Bytes bytes(count);
  for (unsigned char& byte : bytes) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<unsigned char>(seed >> 56);
  }
  return bytes;
}

/// bf16 (16 bits) or f32 (32 bits) from noise: whole numbers from −4 to 4, or numbers of many magnitudes.
template <class Word>
std::vector<Word> numbers(size_t count, uint64_t seed, bool whole) {
  const Bytes bytes = noise(4 * count, seed);
  std::vector<Word> words(count);
  for (size_t i = 0; i < count; ++i) {
    const unsigned char* const b = &bytes[4 * i];
    const int digits = b[0] << 8 | b[1];
    const float v = whole ? static_cast<float>(digits % 9 - 4)
                          : (static_cast<float>(digits) * 0x1p-15f - 1.0f) * static_cast<float>(1 << b[2] % 8);
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    words[i] = static_cast<Word>(sizeof(Word) == 2 ? toBf16(v).bits : bits);
  }
  return words;
}

template <class T>
Bytes bytesOf(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace langevin::conformance

/// CONFORMANCE(name, least architecture) { … return bytes; }, and the same for cases of rounding.
#define CONFORMANCE_CASE_(name, architecture, rounding)                                                  \
  static ::langevin::conformance::Bytes JOIN(case_, __LINE__)();                                         \
  static const ::langevin::conformance::Register JOIN(register_, __LINE__)(name, architecture, rounding, \
                                                                           JOIN(case_, __LINE__));       \
  static ::langevin::conformance::Bytes JOIN(case_, __LINE__)()
#define CONFORMANCE(name, architecture) CONFORMANCE_CASE_(name, architecture, false)
#define CONFORMANCE_ROUNDING(name, architecture) CONFORMANCE_CASE_(name, architecture, true)
