// The transforms of Winograd's F(4×4, 3×3): Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for a patch d of 6×6 pixels, a kernel g of 3×3
// taps and a tile Y of 4×4 outputs (Lavin and Gray 2016, eq. 8); every letter of them is a vector of channels.
//
// The matrices are Cook and Toom's, for the points 0, ±a, ±b, ∞ with a = √½ and b = √2. The usual points 0, ±1, ±2 need
// 6 adds and 6 FMAs for a column of Bᵀd instead of 2 and 10, but their products spread over more magnitudes and twice
// the error is left. Because ab = 1 and b = 2a, the other constants are ½, 2, 2½ and 4.
//
// Per patch and vector: Bᵀ d B 60 loads, 36 stores, 144 operations; G g Gᵀ 9, 36, 78; Aᵀ m A 36, 16, 130.
#pragma once
#include "../simd.h"

namespace langevin::LANGEVIN_ISA {

constexpr int kWinogradTile = 4;   // outputs of a tile, per axis
constexpr int kWinogradPatch = 6;  // pixels of its patch, and points of evaluation, per axis
constexpr int kFrequencies = kWinogradPatch * kWinogradPatch;

constexpr float kHalfRoot = 0.70710678118654752f;  // a
constexpr float kRoot = 1.41421356237309505f;      // b

using Lane = Vec<float>;

/// Rows 3·half to 3·half + 2 of Bᵀ, times d.
template <int half>
LANGEVIN_INLINE void inputRows(const Lane (&d)[kWinogradPatch], Lane (&v)[3]) {
  if constexpr (half == 0) {
    const Lane even = (d[4] - d[2]) - d[2], odd = (d[3] - d[1]) - d[1];
    v[0] = fma(Lane::broadcast(-2.5f), d[2], d[0] + d[4]);
    v[1] = fma(Lane::broadcast(kHalfRoot), odd, even);
    v[2] = fma(Lane::broadcast(-kHalfRoot), odd, even);
  } else {
    const Lane even = fma(Lane::broadcast(-0.5f), d[2], d[4]), odd = fma(Lane::broadcast(-0.5f), d[1], d[3]);
    v[0] = fma(Lane::broadcast(kRoot), odd, even);
    v[1] = fma(Lane::broadcast(-kRoot), odd, even);
    v[2] = fma(Lane::broadcast(-2.5f), d[3], d[1] + d[5]);
  }
}

/// p, as a value that the compiler knows nothing about: it would otherwise form the addresses of all 36 frequencies at
/// once, for which there are not enough registers.
template <class P>
LANGEVIN_INLINE P* opaque(P* p) {
  __asm__("" : "+r"(p));
  return p;
}

/// Three rows of Bᵀ d B, d[i][j] at x + i·row + j·pixel, to v + (6·i + j)·pitch. Half of the rows at a time: their 18
/// sums stay in registers.
template <int half>
LANGEVIN_INLINE void transformInputHalf(const float* x, int64_t row, int64_t pixel, float* v, int64_t pitch) {
  Lane rows[3][kWinogradPatch];
#pragma GCC unroll 6
  for (int j = 0; j < kWinogradPatch; ++j) {
    Lane d[kWinogradPatch], sums[3];
#pragma GCC unroll 6
    for (int i = half; i < kWinogradPatch - 1 + half; ++i) d[i] = Lane::load(x + i * row);
    x = opaque(x + pixel);
    inputRows<half>(d, sums);
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) rows[i][j] = sums[i];
  }
  v += half * 3 * kWinogradPatch * pitch;
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    Lane low[3], high[3];
    inputRows<0>(rows[i], low);
    inputRows<1>(rows[i], high);
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
      low[j].store(v);
      v = opaque(v + pitch);
    }
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
      high[j].store(v);
      v = opaque(v + pitch);
    }
  }
}

/// One patch, one vector of channels.
LANGEVIN_INLINE void transformPatch(const float* x, int64_t row, int64_t pixel, float* v, int64_t pitch) {
  transformInputHalf<0>(x, row, pixel, v, pitch);
  transformInputHalf<1>(x, row, pixel, v, pitch);
}

/// G g
LANGEVIN_INLINE void weightRows(const Lane (&g)[3], Lane (&u)[kWinogradPatch]) {
  const Lane evenA = (g[0] + Lane::broadcast(0.5f) * g[2]) * Lane::broadcast(-2.0f / 3);
  const Lane oddA = g[1] * Lane::broadcast(-2.0f / 3 * kHalfRoot);
  const Lane evenB = fma(Lane::broadcast(2), g[2], g[0]) * Lane::broadcast(1.0f / 6);
  const Lane oddB = g[1] * Lane::broadcast(kRoot / 6);
  u[0] = g[0], u[1] = evenA + oddA, u[2] = evenA - oddA;
  u[3] = evenB + oddB, u[4] = evenB - oddB, u[5] = g[2];
}

/// G g Gᵀ for g[i][j] at w + (3·i + j)·tap, to u + (6·i + j)·pitch.
LANGEVIN_INLINE void transformKernel(const float* w, int64_t tap, float* u, int64_t pitch) {
  Lane columns[3][kWinogradPatch];
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) {
    const Lane g[3] = {Lane::load(w + j * tap), Lane::load(w + (3 + j) * tap), Lane::load(w + (6 + j) * tap)};
    weightRows(g, columns[j]);
  }
#pragma GCC unroll 6
  for (int i = 0; i < kWinogradPatch; ++i) {
    const Lane g[3] = {columns[0][i], columns[1][i], columns[2][i]};
    Lane row[kWinogradPatch];
    weightRows(g, row);
#pragma GCC unroll 6
    for (int j = 0; j < kWinogradPatch; ++j) row[j].store(u + (i * kWinogradPatch + j) * pitch);
  }
}

/// Aᵀ m
LANGEVIN_INLINE void outputRows(const Lane (&m)[kWinogradPatch], Lane (&y)[kWinogradTile]) {
  const Lane evenA = m[1] + m[2], oddA = m[1] - m[2], evenB = m[3] + m[4], oddB = m[3] - m[4];
  y[0] = (m[0] + evenA) + evenB;
  y[1] = Lane::broadcast(kHalfRoot) * fma(Lane::broadcast(2), oddB, oddA);
  y[2] = fma(Lane::broadcast(2), evenB, Lane::broadcast(0.5f) * evenA);
  y[3] = fma(Lane::broadcast(kHalfRoot / 2), oddA, fma(Lane::broadcast(2 * kRoot), oddB, m[5]));
}

/// Aᵀ m A for m[i][j] at m + (6·i + j)·pitch, to y[4·i + j].
LANGEVIN_INLINE void transformProducts(const float* m, int64_t pitch, float* y) {
  Lane columns[kWinogradPatch][kWinogradTile];
#pragma GCC unroll 6
  for (int j = 0; j < kWinogradPatch; ++j) {
    Lane column[kWinogradPatch];
#pragma GCC unroll 6
    for (int i = 0; i < kWinogradPatch; ++i) column[i] = Lane::load(m + (i * kWinogradPatch + j) * pitch);
    outputRows(column, columns[j]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kWinogradTile; ++i) {
    const Lane row[kWinogradPatch] = {columns[0][i], columns[1][i], columns[2][i],
                                      columns[3][i], columns[4][i], columns[5][i]};
    Lane sums[kWinogradTile];
    outputRows(row, sums);
#pragma GCC unroll 4
    for (int j = 0; j < kWinogradTile; ++j) sums[j].store(y + (i * kWinogradTile + j) * Lane::lanes);
  }
}

}  // namespace langevin::LANGEVIN_ISA
