// The transforms of Winograd's minimal filtering: Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for a patch d of pixels, a kernel g of
// 3×3 taps and a tile Y of outputs (Lavin and Gray 2016, eq. 8); every letter of them is a vector of channels. A scheme
// gives the matrices Bᵀ, G and Aᵀ as functions of one column; the functions at the end apply one to rows and columns.
//
// Multiply-adds of a tile and pair of channels, and operations of the transforms, per vector of channels:
//
//   scheme              products; direct   input   kernel   output
//   Winograd4           36; 144            160     78       130
//   WinogradStride2     25; 36             60      40       45
//   its gradient        25; 36             35      40       55
#pragma once
#include "../simd.h"

namespace langevin::LANGEVIN_ISA {

using Lane = Vec<float>;

/// F(4×4, 3×3): stride 1.
///
/// Cook and Toom's matrices for the points 0, ±a, ±b, ∞ with a = √½ and b = √2. The usual points 0, ±1, ±2 need 6 adds
/// and 6 FMAs for a column of Bᵀd instead of 8 and 8, but their products spread over more magnitudes and twice the
/// error is left. Because ab = 1 and b = 2a, the other constants are ½, 2, 2½ and 4.
struct Winograd4 {
  static constexpr int patch = 6;  // pixels of a patch, per axis
  static constexpr int points = 6;
  static constexpr int tile = 4;     // outputs
  static constexpr int step = 4;     // pixels from a patch to the next
  static constexpr int offset = -1;  // of tile 0's patch: the padding

  /// Whether the first `outputs` of a tile depend on this point.
  static constexpr bool needs(int point, int64_t outputs) { return outputs == tile || point < 5; }

  static constexpr float a = 0.70710678118654752f, b = 1.41421356237309505f;

  static LANGEVIN_INLINE void input(const Lane (&d)[patch], Lane (&v)[points]) {
    const Lane even = d[4] - d[2], odd = d[3] - d[1];
    const Lane evenA = even - d[2], oddA = odd - d[1];
    const Lane evenB = fma(Lane::broadcast(-0.5f), d[2], d[4]), oddB = fma(Lane::broadcast(-0.5f), d[1], d[3]);
    v[0] = fma(Lane::broadcast(-2.5f), d[2], d[0] + d[4]);
    v[1] = fma(Lane::broadcast(a), oddA, evenA);
    v[2] = fma(Lane::broadcast(-a), oddA, evenA);
    v[3] = fma(Lane::broadcast(b), oddB, evenB);
    v[4] = fma(Lane::broadcast(-b), oddB, evenB);
    v[5] = fma(Lane::broadcast(-2.5f), d[3], d[1] + d[5]);
  }

  static LANGEVIN_INLINE void kernel(const Lane (&g)[3], Lane (&u)[points]) {
    const Lane evenA = fma(Lane::broadcast(0.5f), g[2], g[0]) * Lane::broadcast(-2.0f / 3);
    const Lane oddA = g[1] * Lane::broadcast(-2.0f / 3 * a);
    const Lane evenB = fma(Lane::broadcast(2), g[2], g[0]) * Lane::broadcast(1.0f / 6);
    const Lane oddB = g[1] * Lane::broadcast(b / 6);
    u[0] = g[0], u[1] = evenA + oddA, u[2] = evenA - oddA;
    u[3] = evenB + oddB, u[4] = evenB - oddB, u[5] = g[2];
  }

  static LANGEVIN_INLINE void output(const Lane (&m)[points], Lane (&y)[tile]) {
    const Lane evenA = m[1] + m[2], oddA = m[1] - m[2], evenB = m[3] + m[4], oddB = m[3] - m[4];
    y[0] = (m[0] + evenA) + evenB;
    y[1] = Lane::broadcast(a) * fma(Lane::broadcast(2), oddB, oddA);
    y[2] = fma(Lane::broadcast(2), evenB, Lane::broadcast(0.5f) * evenA);
    y[3] = fma(Lane::broadcast(a / 2), oddA, fma(Lane::broadcast(2 * b), oddB, m[5]));
  }
};

/// Stride 2, two outputs: the outer taps see the odd pixels of the patch, a convolution of two taps and stride 1, by
/// F(2, 2) at the points 0, 1 and ∞; the middle tap sees the even ones, and needs no transform. Five products instead
/// of six, and only sums: no more rounding than that of the direct way.
struct WinogradStride2 {
  static constexpr int patch = 5, points = 5, tile = 2, step = 4, offset = -1;
  static constexpr bool needs(int point, int64_t outputs) { return outputs == tile || point % 2 == 1 || point == 0; }

  static LANGEVIN_INLINE void input(const Lane (&d)[patch], Lane (&v)[points]) {
    v[0] = d[0] - d[2], v[1] = d[2], v[2] = d[4] - d[2], v[3] = d[1], v[4] = d[3];
  }
  static LANGEVIN_INLINE void kernel(const Lane (&g)[3], Lane (&u)[points]) {
    u[0] = g[0], u[1] = g[0] + g[2], u[2] = g[2], u[3] = g[1], u[4] = g[1];
  }
  static LANGEVIN_INLINE void output(const Lane (&m)[points], Lane (&y)[tile]) {
    y[0] = (m[0] + m[1]) + m[3], y[1] = (m[1] + m[2]) + m[4];
  }
};

/// Its input gradient, four outputs from three: even ones by the middle tap, odd ones by F(2, 2) of the outer taps. The
/// kernel is turned, so that its first tap is the last.
struct WinogradStride2Gradient {
  static constexpr int patch = 3, points = 5, tile = 4, step = 2, offset = 0;
  static constexpr bool needs(int point, int64_t outputs) {
    return point == 3 || (outputs > 1 && point < 2) || (outputs > 2 && point == 4) || outputs == tile;
  }

  static LANGEVIN_INLINE void input(const Lane (&d)[patch], Lane (&v)[points]) {
    v[0] = d[0] - d[1], v[1] = d[1], v[2] = d[2] - d[1], v[3] = d[0], v[4] = d[1];
  }
  static LANGEVIN_INLINE void kernel(const Lane (&g)[3], Lane (&u)[points]) { WinogradStride2::kernel(g, u); }
  static LANGEVIN_INLINE void output(const Lane (&m)[points], Lane (&y)[tile]) {
    y[0] = m[3], y[1] = m[0] + m[1], y[2] = m[4], y[3] = m[1] + m[2];
  }
};

/// Bᵀ d B of `tiles` neighbouring patches, whose columns of Bᵀ d lie in `strip` [points][columns]; frequency f of tile
/// t to v + f·frequency + t·tile.
template <class Scheme, class F>
LANGEVIN_INLINE void transformRows(const float* strip, int64_t columns, int64_t tiles, F* v, int64_t frequency,
                                   int64_t tile) {
  constexpr int L = Lane::lanes;
  for (int64_t t = 0; t < tiles; ++t, strip += Scheme::step * L, v += tile) {
    F* target = v;
    const float* row = strip;
    for (int i = 0; i < Scheme::points; ++i, row += columns * L) {
      Lane d[Scheme::patch], sums[Scheme::points];
#pragma GCC unroll 6
      for (int j = 0; j < Scheme::patch; ++j) d[j] = Lane::load(row + j * L);
      Scheme::input(d, sums);
#pragma GCC unroll 6
      for (int j = 0; j < Scheme::points; ++j, target += frequency) storeNarrow(sums[j], target);
    }
  }
}

/// G g Gᵀ for g[i][j] at w + (3·i + j)·tap, to u + (points·i + j)·pitch.
template <class Scheme>
LANGEVIN_INLINE void transformKernel(const float* w, int64_t tap, float* u, int64_t pitch) {
  constexpr int points = Scheme::points;
  Lane columns[3][points];
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) {
    const Lane g[3] = {Lane::load(w + j * tap), Lane::load(w + (3 + j) * tap), Lane::load(w + (6 + j) * tap)};
    Scheme::kernel(g, columns[j]);
  }
#pragma GCC unroll 6
  for (int i = 0; i < points; ++i) {
    const Lane g[3] = {columns[0][i], columns[1][i], columns[2][i]};
    Lane row[points];
    Scheme::kernel(g, row);
#pragma GCC unroll 6
    for (int j = 0; j < points; ++j) row[j].store(u + (i * points + j) * pitch);
  }
}

/// Aᵀ m A for m[i][j] at m + (points·i + j)·pitch: output(i, j, sum) for each of the tile.
template <class Scheme, class Output>
LANGEVIN_INLINE void transformProducts(const float* m, int64_t pitch, const Output& output) {
  constexpr int points = Scheme::points, tile = Scheme::tile;
  Lane columns[points][tile];
#pragma GCC unroll 6
  for (int j = 0; j < points; ++j) {
    Lane column[points];
#pragma GCC unroll 6
    for (int i = 0; i < points; ++i) column[i] = Lane::load(m + (i * points + j) * pitch);
    Scheme::output(column, columns[j]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < tile; ++i) {
    Lane row[points], sums[tile];
#pragma GCC unroll 6
    for (int j = 0; j < points; ++j) row[j] = columns[j][i];
    Scheme::output(row, sums);
#pragma GCC unroll 4
    for (int j = 0; j < tile; ++j) output(i, j, sums[j]);
  }
}

}  // namespace langevin::LANGEVIN_ISA
