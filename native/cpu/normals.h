// Random numbers in batches: 16 Philox counters at once, 64 numbers in element order.
//
// Bit for bit what philox4x32 and boxMuller (core/philox.h) give one at a time: elements 4b … 4b + 3 are words 0 … 3 of
// counter (b, step, stream, purpose), and normals 0, 1 and 2, 3 are boxMuller of words 0, 1 and of words 2, 3.
//
// Philox works on 64-bit lanes, of which only the lower halves count: the 32 × 32 → 64 bit product is one instruction
// that ignores the upper halves (pmuludq), and what garbage the exclusive-or leaves there does no harm. So a round of
// one vector of counters is 2 products, 2 shifts and 4 exclusive-ors: 20 products for 4 words per lane.
#pragma once
#include "../core/op_table.h"
#include "../core/philox.h"
#include "elements.h"

namespace langevin::LANGEVIN_ISA {

/// Elements per batch.
constexpr int64_t kBatch = 64;
constexpr int kCounters = 16;

/// Elements per block of a loop that makes random numbers: an element costs ten times what a copy does.
constexpr int64_t kRandomBlock = 4096;

typedef uint64_t WideWords __attribute__((vector_size(kVectorBytes)));
constexpr int kWideLanes = kVectorBytes / 8;

/// The products of the lower halves.
LANGEVIN_INLINE WideWords multiplyWide(WideWords a, WideWords b) {
#if defined(__AVX512F__)
  return (WideWords)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);  // without maskz GCC 12 warns (PR 105593)
#elif defined(__AVX2__)
  return (WideWords)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  return (WideWords)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

LANGEVIN_INLINE void philoxRounds(WideWords (&c)[4], uint32_t k0, uint32_t k1) {
  const WideWords m0 = WideWords{} + 0xD2511F53u, m1 = WideWords{} + 0xCD9E8D57u;
  for (int round = 0; round < 10; ++round) {
    const WideWords p0 = multiplyWide(m0, c[0]), p1 = multiplyWide(m1, c[2]);
    c[0] = (p1 >> 32) ^ c[1] ^ (WideWords{} + k0);
    c[1] = p1;
    c[2] = (p0 >> 32) ^ c[3] ^ (WideWords{} + k1);
    c[3] = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

/// words[w][i] = word w of counter block + i, for 16 counters.
LANGEVIN_INLINE void philoxWords(const Philox& p, int64_t block, uint32_t (&words)[4][kCounters]) {
  const uint64_t seed = static_cast<uint64_t>(p.seed);
  WideWords lane;
  for (int i = 0; i < kWideLanes; ++i) lane[i] = static_cast<uint64_t>(2 * i);
  for (int group = 0; group < kCounters; group += 2 * kWideLanes) {
    // Even counters in one vector, odd ones in the other: joined, they are 32-bit lanes in order.
    WideWords even[4], odd[4];
    even[0] = lane + static_cast<uint64_t>(block + group);
    odd[0] = even[0] + 1;
    even[1] = odd[1] = WideWords{} + static_cast<uint32_t>(p.step);
    even[2] = odd[2] = WideWords{} + static_cast<uint32_t>(p.stream);
    even[3] = odd[3] = WideWords{} + static_cast<uint32_t>(p.purpose);
    philoxRounds(even, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    philoxRounds(odd, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    for (int w = 0; w < 4; ++w) {
      const WideWords joined = (even[w] & 0xffffffffu) | (odd[w] << 32);
      std::memcpy(&words[w][group], &joined, sizeof joined);
    }
  }
}

/// out[4·i + w] = rows[w][i]: each counter's four words, one counter after another.
template <class W>
LANGEVIN_INLINE void interleave(const W (&rows)[4][kCounters], W (&out)[kBatch]) {
  static_assert(sizeof(W) == 4, "a word or a float");
#if defined(__x86_64__)
  // 4 × 4 transposes: a tenth faster, all told, than the permutations that GCC 12 makes of the loop below.
  for (int i = 0; i < kCounters; i += 4) {
    __m128 row[4];
    for (int w = 0; w < 4; ++w) std::memcpy(&row[w], &rows[w][i], 16);
    _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
    std::memcpy(&out[4 * i], row, 64);
  }
#else
  for (int i = 0; i < kCounters; ++i) {
    for (int w = 0; w < 4; ++w) out[4 * i + w] = rows[w][i];
  }
#endif
}

/// The words of elements [element, element + 64); element is a multiple of 4.
LANGEVIN_INLINE void randomWords(const Draw& draw, int64_t element, uint32_t (&out)[kBatch]) {
  uint32_t words[4][kCounters];
  philoxWords(draw.philox, (draw.first + element) / 4, words);
  interleave(words, out);
}

/// The normals of elements [element, element + 64); element is a multiple of 4.
LANGEVIN_INLINE void randomNormals(const Draw& draw, int64_t element, float (&out)[kBatch]) {
  uint32_t words[4][kCounters];
  philoxWords(draw.philox, (draw.first + element) / 4, words);
  float normals[4][kCounters];
  for (int i = 0; i < kCounters; ++i) boxMuller(words[0][i], words[1][i], normals[0][i], normals[1][i]);
  for (int i = 0; i < kCounters; ++i) boxMuller(words[2][i], words[3][i], normals[2][i], normals[3][i]);
  interleave(normals, out);
}

/// body(element, count) for batches of [0, n), on any thread; count is 64 but for the last.
template <class Body>
LANGEVIN_INLINE void forBatches(Stream& stream, int64_t n, const Body& body) {
  const auto block = [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e += kBatch) body(e, smaller(kBatch, end - e));
  };
  forBlocks(stream, n, block, kRandomBlock);
}

}  // namespace langevin::LANGEVIN_ISA
