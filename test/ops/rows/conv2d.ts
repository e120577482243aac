/** Convolution: options and wrong calls; test/ops/conv2d.test.ts has the ladder of sizes. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { conv2d, conv2dBoth } from '../../../src/ops/conv2d.ts'
import { convolve, map } from '../host.ts'
import { given, x } from '../samples.ts'

import { bad, type Case, one, type Row, sums, twice } from '../table.ts'

/** Of bf16 a backend may round the shortcut's result before it is added. */
const shortcutSums: Case['tolerance'] = { ...sums, ...twice }

/** Where it is large enough for Winograd. */
const roundedTiles: Case['roundedTiles'] = { rtol: 2 ** -8, atol: 2 ** -5 }

const leaky = (slope: number) => (v: number) => (v > 0 ? v : slope * v)

export const convolutionRows: readonly Row[] = [
  {
    op: 'conv2d',
    cases: [
      one(
        [x([2, 5, 4, 3]), x([3, 3, 3, 5])],
        (a, w) => conv2d(a, w),
        (a, w) => convolve(a, w, { stride: 1, padding: 0 }),
        { tolerance: sums },
      ),
      one(
        [x([1, 5, 6, 2]), x([3, 2, 2, 3]), x([3])],
        (a, w, bias) => conv2d(a, w, { bias, stride: 2, padding: 1 }),
        (a, w, bias) => convolve(a, w, { bias, stride: 2, padding: 1 }),
        { tolerance: sums },
      ),
      one(
        [x([2, 4, 4, 2]), x([3, 3, 2, 3]), x([3]), x([2, 4, 4, 3])],
        (a, w, bias, residual) => conv2d(a, w, { bias, residual, padding: 1, leakySlope: 0.2 }),
        (a, w, bias, residual) => map(convolve(a, w, { bias, residual, stride: 1, padding: 1 }), leaky(0.2)),
        { tolerance: sums },
      ),
      one(
        [x([1, 3, 3, 1]), x([1, 1, 1, 1])],
        (a, w) => conv2d(a, w, { stride: 3 }),
        (a, w) => convolve(a, w, { stride: 3, padding: 0 }),
        { tolerance: sums },
      ),
      one(
        [x([0, 4, 4, 2]), x([3, 3, 2, 3])],
        (a, w) => conv2d(a, w),
        (a, w) => convolve(a, w, { stride: 1, padding: 0 }),
        { tolerance: sums },
      ),
      one(
        [x([4, 14, 15, 17]), x([3, 3, 17, 33]), x([33]), x([4, 14, 15, 33])],
        (a, w, bias, residual) => conv2d(a, w, { bias, residual, padding: 1, leakySlope: 0.2 }),
        (a, w, bias, residual) => map(convolve(a, w, { bias, residual, stride: 1, padding: 1 }), leaky(0.2)),
        { tolerance: sums, roundedTiles, gradient: 'compare' },
      ),
      one(
        [x([2, 4, 5, 2]), x([3, 3, 2, 3]), x([3]), x([2, 4, 5, 4]), x([1, 1, 4, 3]), x([3])],
        (a, w, bias, sx, sw, sb) =>
          conv2d(a, w, { bias, shortcut: { x: sx, weight: sw, bias: sb }, padding: 1, leakySlope: 0.2 }),
        (a, w, bias, sx, sw, sb) => {
          const shortcut = { x: sx, weight: sw, bias: sb }
          return map(convolve(a, w, { bias, shortcut, stride: 1, padding: 1 }), leaky(0.2))
        },
        { tolerance: shortcutSums },
      ),
      one(
        [x([2, 5, 6, 3]), x([3, 3, 3, 8]), x([2, 3, 3, 8]), x([2, 5, 6, 5]), x([1, 1, 5, 8])],
        (a, w, residual, sx, sw) => conv2d(a, w, { residual, shortcut: { x: sx, weight: sw }, stride: 2, padding: 1 }),
        (a, w, residual, sx, sw) =>
          convolve(a, w, { residual, shortcut: { x: sx, weight: sw }, stride: 2, padding: 1 }),
        { tolerance: shortcutSums },
      ),
      one(
        [given([1, 3, 3, 1], [1, 2, 3, 4, Number.NaN, 6, 7, 8, Infinity]), given([2, 2, 1, 1], [1, 1, 1, -1])],
        (a, w) => conv2d(a, w),
        (a, w) => convolve(a, w, { stride: 1, padding: 0 }),
      ),
    ],
    bad: [
      bad(
        ShapeError,
        /conv2d: weight must be \[kh, kw, 16, cout\] \(input has 16 channels\), got \[3, 3, 32, 16\]/,
        (t) => conv2d(t([1, 8, 8, 16]), t([3, 3, 32, 16])),
      ),
      bad(ShapeError, /conv2d: x must be \[batch, height, width, cin\], got \[8, 8, 3\]/, (t) =>
        conv2d(t([8, 8, 3]), t([3, 3, 3, 4])),
      ),
      bad(ShapeError, /conv2d: bias must be \[4\], got \[3\]/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { bias: t([3]) }),
      ),
      bad(ShapeError, /conv2d: residual must be \[1, 6, 6, 4\] \(the output's shape\), got \[1, 8, 8, 4\]/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { residual: t([1, 8, 8, 4]) }),
      ),
      bad(
        ShapeError,
        /conv2d: shortcut.x must be \[1, 8, 8, channels\] \(with x's batch, height and width\), got \[1, 4, 4, 2\]/,
        (t) => conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { shortcut: { x: t([1, 4, 4, 2]), weight: t([1, 1, 2, 4]) } }),
      ),
      bad(
        ShapeError,
        /conv2d: shortcut.weight must be \[1, 1, 2, 4\] \(shortcut.x has 2 channels\), got \[3, 3, 2, 4\]/,
        (t) => conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { shortcut: { x: t([1, 8, 8, 2]), weight: t([3, 3, 2, 4]) } }),
      ),
      bad(ShapeError, /conv2d: shortcut.weight must have extents >= 1, got \[1, 1, 0, 4\]/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { shortcut: { x: t([1, 8, 8, 0]), weight: t([1, 1, 0, 4]) } }),
      ),
      bad(ShapeError, /conv2d: shortcut.bias must be \[4\], got \[3\]/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), {
          shortcut: { x: t([1, 8, 8, 2]), weight: t([1, 1, 2, 4]), bias: t([3]) },
        }),
      ),
      bad(
        ShapeError,
        /conv2d: the shortcut's result \[1, 8, 8, 4\] must be of the output's shape \[1, 6, 6, 4\]; with a kernel of 2·padding \+ 1 it is/,
        (t) => conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { shortcut: { x: t([1, 8, 8, 2]), weight: t([1, 1, 2, 4]) } }),
      ),
      bad(DTypeError, /conv2d: shortcut.x must be f32 like x, got f64/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([1, 1, 3, 4]), {
          shortcut: { x: t([1, 8, 8, 2], 'f64'), weight: t([1, 1, 2, 4]) },
        }),
      ),
      bad(ShapeError, /conv2d: a 3×3 kernel does not fit x \[1, 2, 8, 3\] with padding 0/, (t) =>
        conv2d(t([1, 2, 8, 3]), t([3, 3, 3, 4])),
      ),
      bad(ShapeError, /conv2d: weight must have extents >= 1, got \[1, 1, 0, 2\]/, (t) =>
        conv2d(t([1, 8, 8, 0]), t([1, 1, 0, 2])),
      ),
      bad(ShapeError, /conv2d: stride must be a whole number >= 1, got 0/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { stride: 0 }),
      ),
      bad(ShapeError, /conv2d: padding must be a whole number >= 0, got -1/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4]), { padding: -1 }),
      ),
      bad(DTypeError, /conv2d: weight must be f32 like x, got f64/, (t) =>
        conv2d(t([1, 8, 8, 3]), t([3, 3, 3, 4], 'f64')),
      ),
      bad(DTypeError, /conv2d: x must be f32 or f64 or bf16, got u8/, (t) =>
        conv2d(t([1, 8, 8, 3], 'u8'), t([3, 3, 3, 4], 'u8')),
      ),
    ],
  },
  {
    op: 'conv2dBoth',
    cases: [
      one(
        [x([2, 4, 4, 2]), x([3, 3, 2, 3]), x([3]), x([2, 4, 4, 3])],
        (a, w, bias, residual) => conv2dBoth(a, w, { bias, residual, padding: 1, leakySlope: 0.2 }),
        (a, w, bias, residual) => {
          const pre = convolve(a, w, { bias, residual, stride: 1, padding: 1 })
          return [map(pre, leaky(0.2)), pre]
        },
        { tolerance: sums },
      ),
      one(
        [x([3, 9, 9, 16]), x([3, 3, 16, 16])],
        (a, w) => conv2dBoth(a, w, { padding: 1, stride: 2, leakySlope: 0.1 }),
        (a, w) => {
          const pre = convolve(a, w, { stride: 2, padding: 1 })
          return [map(pre, leaky(0.1)), pre]
        },
        { tolerance: sums, roundedTiles, gradient: 'compare' },
      ),
      one(
        [x([2, 8, 8, 32]), x([3, 3, 32, 32]), x([32]), x([2, 8, 8, 16]), x([1, 1, 16, 32]), x([32])],
        (a, w, bias, sx, sw, sb) => {
          const shortcut = { x: sx, weight: sw, bias: sb }
          return conv2dBoth(a, w, { bias, shortcut, padding: 1, stride: 2, leakySlope: 0.2 })
        },
        (a, w, bias, sx, sw, sb) => {
          const pre = convolve(a, w, { bias, shortcut: { x: sx, weight: sw, bias: sb }, stride: 2, padding: 1 })
          return [map(pre, leaky(0.2)), pre]
        },
        { tolerance: shortcutSums, roundedTiles, gradient: 'compare' },
      ),
    ],
    bad: [
      bad(ShapeError, /conv2d: weight must be/, (t) =>
        conv2dBoth(t([1, 8, 8, 3]), t([3, 3, 4, 4]), { leakySlope: 0.2 }),
      ),
    ],
  },
]
