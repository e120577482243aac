// The transforms of Winograd's F(4×4, 3×3): Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for a patch d of 6×6 pixels, a kernel g of 3×3
// taps and a tile Y of 4×4 outputs (Lavin and Gray 2016, eq. 8); every letter of them is a vector of channels.
//
// The matrices are Cook and Toom's, for the points 0, ±a, ±b, ∞ with a = √½ and b = √2. The usual points 0, ±1, ±2 need
// 6 adds and 6 FMAs for a column of Bᵀd instead of 8 and 8, but their products spread over more magnitudes and twice
// the error is left. Because ab = 1 and b = 2a, the other constants are ½, 2, 2½ and 4.
//
// Neighbouring patches share two of their six columns, so Bᵀ d is made of a row of patches at once, for 4 columns each.
// Per patch and vector: Bᵀ d B 60 loads, 60 stores, 160 operations; G g Gᵀ 9, 36, 78; Aᵀ m A 36, 16, 130.
#pragma once
#include "../simd.h"

namespace langevin::LANGEVIN_ISA {

constexpr int kWinogradTile = 4;   // outputs of a tile, per axis
constexpr int kWinogradPatch = 6;  // pixels of its patch, and points of evaluation, per axis
constexpr int kFrequencies = kWinogradPatch * kWinogradPatch;

constexpr float kHalfRoot = 0.70710678118654752f;  // a
constexpr float kRoot = 1.41421356237309505f;      // b

using Lane = Vec<float>;

/// Bᵀ d
LANGEVIN_INLINE void inputRows(const Lane (&d)[kWinogradPatch], Lane (&v)[kWinogradPatch]) {
  const Lane even = d[4] - d[2], odd = d[3] - d[1];
  const Lane evenA = even - d[2], oddA = odd - d[1];
  const Lane evenB = fma(Lane::broadcast(-0.5f), d[2], d[4]), oddB = fma(Lane::broadcast(-0.5f), d[1], d[3]);
  v[0] = fma(Lane::broadcast(-2.5f), d[2], d[0] + d[4]);
  v[1] = fma(Lane::broadcast(kHalfRoot), oddA, evenA);
  v[2] = fma(Lane::broadcast(-kHalfRoot), oddA, evenA);
  v[3] = fma(Lane::broadcast(kRoot), oddB, evenB);
  v[4] = fma(Lane::broadcast(-kRoot), oddB, evenB);
  v[5] = fma(Lane::broadcast(-2.5f), d[3], d[1] + d[5]);
}

/// Bᵀ d B of `tiles` neighbouring patches, from columns [row i][column] of Bᵀ d, `columns` to a row; tile t's
/// frequency f to v + f·frequency + t·tile.
LANGEVIN_INLINE void transformRows(const float* strip, int64_t columns, int64_t tiles, float* v, int64_t frequency,
                                   int64_t tile) {
  constexpr int L = Lane::lanes;
  for (int64_t t = 0; t < tiles; ++t, strip += kWinogradTile * L, v += tile) {
    float* target = v;
    const float* row = strip;
    for (int i = 0; i < kWinogradPatch; ++i, row += columns * L) {
      Lane d[kWinogradPatch], sums[kWinogradPatch];
#pragma GCC unroll 6
      for (int j = 0; j < kWinogradPatch; ++j) d[j] = Lane::load(row + j * L);
      inputRows(d, sums);
#pragma GCC unroll 6
      for (int j = 0; j < kWinogradPatch; ++j, target += frequency) sums[j].store(target);
    }
  }
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

/// Aᵀ m A for m[i][j] at m + (6·i + j)·pitch: output(i, j, sum) for each of the 4×4.
template <class Output>
LANGEVIN_INLINE void transformProducts(const float* m, int64_t pitch, const Output& output) {
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
    for (int j = 0; j < kWinogradTile; ++j) output(i, j, sums[j]);
  }
}

}  // namespace langevin::LANGEVIN_ISA
