/** Heads on rows of logits. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { add } from '../../../src/ops/arithmetic.ts'
import { cast } from '../../../src/ops/cast.ts'
import { conv2dBoth } from '../../../src/ops/conv2d.ts'
import { energyHead } from '../../../src/ops/energyHead.ts'
import { crossEntropy, logSoftmax, logsumexp, softmax } from '../../../src/ops/softmax.ts'
import { scope } from '../../../src/tensor/scope.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'
import { at, build, type Host, host, largest, map, reduce, total, zip } from '../host.ts'
import { fixed, given, integers, x } from '../samples.ts'

import { bad, type Case, one, type Row } from '../table.ts'

const perRow = (a: Host, f: (row: number[]) => number[]): Host => {
  const [rows, columns] = a.shape
  const data = Array.from({ length: rows }, (_, r) => f([...a.data.subarray(r * columns, (r + 1) * columns)]))
  return host([rows, columns], data.flat())
}
const logSumExp = (row: readonly number[]): number => {
  const m = largest(row)
  if (!Number.isFinite(m)) return m
  return m + Math.log(total(row.map((v) => Math.exp(v - m))))
}
const headShapes = [
  [1, 1],
  [2, 10],
  [5, 17],
  [3, 33],
  [0, 4],
] as const
const infinite = given([4, 3], [1, Number.NaN, 2, Infinity, 1, 2, -Infinity, 0, -Infinity, 1e4, -1e4, 1e4])
const heads: Case['tolerance'] = { f32: { rtol: 4e-6, atol: 2e-7 } }

function softmaxRow(op: string, run: (x: Tensor) => Tensor, f: (row: number[]) => number[]): Row {
  return {
    op,
    cases: [
      ...headShapes.map((shape) => one([x(shape)], run, (a) => perRow(a, f), { tolerance: heads })),
      one([x([701, 10], { low: -30, high: 30 })], run, (a) => perRow(a, f), { tolerance: heads, gradient: 'compare' }),
      one([given([2, 3], [1e4, 1e4, -1e4, -1e4, -1e4, -1e4])], run, (a) => perRow(a, f), { tolerance: heads }),
      one([given([1, 3], [1, Number.NaN, 2])], run, () => host([1, 3], [Number.NaN, Number.NaN, Number.NaN])),
    ],
    bad: [
      bad(ShapeError, new RegExp(`^${op}: x must be \\[batch, classes\\], got \\[3\\]`), (t) => run(t([3]))),
      bad(DTypeError, new RegExp(`^${op}: x must be f32 or f64 or bf16, got i32`), (t) => run(t([3, 2], 'i32'))),
    ],
  }
}

/** logsumexp, or the labelled element, of mean over pixels · weight + bias. */
function energies(a: Host, weight: Host, bias: Host | undefined, labels?: Host): Host {
  const [batch, height, width, channels] = a.shape
  const pixels = height * width
  const classes = weight.shape[1]
  return build([batch], ([i]) => {
    const logits = Array.from({ length: classes }, (_, k) => {
      let z = bias?.data[k] ?? 0
      for (let p = 0; p < pixels; p++)
        for (let c = 0; c < channels; c++)
          z += (a.data[(i * pixels + p) * channels + c] / pixels) * weight.data[c * classes + k]
      return z
    })
    return labels ? logits[labels.data[i]] : logSumExp(logits)
  })
}
const headTolerance: Case['tolerance'] = { f32: { rtol: 4e-6, atol: 1e-6 }, bf16: { rtol: 2 ** -8, atol: 2 ** -10 } }

/** The fused head: weights are fixed; with trainable ones it is the separate ops. */
function energyHeadCase(shape: readonly number[], classes: number, gradient: Case['gradient']): Case[] {
  const [batch, , , channels] = shape
  const labels = integers(
    [batch],
    Array.from({ length: batch }, (_, i) => (i * 3 + 1) % classes),
  )
  const weights = [fixed([channels, classes]), fixed([classes])]
  return [
    one(
      [x(shape), ...weights],
      (a, weight, bias) => energyHead(a, weight, { bias }),
      (a, weight, bias) => energies(a, weight, bias),
      { tolerance: headTolerance, gradient },
    ),
    one(
      [x(shape), ...weights, labels],
      (a, weight, bias, label) => energyHead(a, weight, { bias, labels: label }),
      (a, weight, bias, label) => energies(a, weight, bias, label),
      { tolerance: headTolerance, gradient },
    ),
  ]
}

export const headRows: readonly Row[] = [
  softmaxRow('softmax', softmax, (row) => row.map((v) => Math.exp(v - logSumExp(row)))),
  softmaxRow('logSoftmax', logSoftmax, (row) => row.map((v) => v - logSumExp(row))),
  {
    op: 'logsumexp',
    cases: [
      ...headShapes.map((shape) =>
        one([x(shape)], logsumexp, (a) => reduce(a, [1], false, logSumExp), { tolerance: heads }),
      ),
      one([x([701, 10], { low: -30, high: 30 })], logsumexp, (a) => reduce(a, [1], false, logSumExp), {
        tolerance: heads,
        gradient: 'compare',
      }),
      one([infinite], logsumexp, (a) => reduce(a, [1], false, logSumExp)),
    ],
    bad: [
      bad(ShapeError, /logsumexp: x must be \[batch, classes\], got \[2, 3, 4\]/, (t) => logsumexp(t([2, 3, 4]))),
      bad(DTypeError, /logsumexp: x must be f32 or f64 or bf16, got u8/, (t) => logsumexp(t([2, 3], 'u8'))),
    ],
  },
  {
    op: 'energyHead',
    cases: [
      ...energyHeadCase([1, 1, 1, 1], 1, 'check'),
      ...energyHeadCase([2, 2, 3, 8], 10, 'check'),
      ...energyHeadCase([3, 3, 3, 5], 3, 'check'),
      ...energyHeadCase([0, 2, 2, 4], 3, 'check'),
      ...energyHeadCase([5, 8, 8, 72], 10, 'compare'),
      ...energyHeadCase([2, 7, 5, 33], 70, 'compare'),
      one(
        [x([2, 2, 2, 4]), fixed([4, 3])],
        (a, weight) => energyHead(a, weight),
        (a, weight) => energies(a, weight, undefined),
        { tolerance: headTolerance },
      ),
      one(
        [x([2, 3, 2, 4]), x([4, 3]), x([3])],
        (a, weight, bias) => energyHead(a, weight, { bias }),
        (a, weight, bias) => energies(a, weight, bias),
        { tolerance: { f32: { rtol: 4e-6, atol: 1e-6 }, bf16: { rtol: 2 ** -6, atol: 2 ** -6 } } },
      ),
      // a head in f32 over activations in bf16
      one(
        [x([3, 2, 3, 16]), fixed([16, 5]), fixed([5])],
        (a, weight, bias) => scope(() => energyHead(a, cast(weight, 'f32'), { bias: cast(bias, 'f32') })),
        (a, weight, bias) => energies(a, weight, bias),
        { tolerance: headTolerance, dtypes: ['bf16'], gradient: 'none' },
      ),
      // after a LeakyReLU, whose derivative and whose other output's gradient its backward pass takes along
      ...([8, 5] as const).map((channels) =>
        one(
          [x([2, 3, 3, channels]), fixed([1, 1, channels, channels]), fixed([channels, 4])],
          (a, kernel, weight) => {
            const [activated, pre] = conv2dBoth(a, kernel, { leakySlope: 0.2 })
            const f = energyHead(activated, weight)
            const g = energyHead(pre, weight)
            const both = add(f, g)
            for (const y of [activated, pre, f, g]) y.dispose()
            return both
          },
          (a, kernel, weight) => {
            const [batch, height, width] = a.shape
            const z = build([batch, height, width, channels], ([n, i, j, c]) => {
              let sum = 0
              for (let k = 0; k < channels; k++) sum += at(a, [n, i, j, k]) * at(kernel, [0, 0, k, c])
              return sum
            })
            return zip(
              (f, g) => f + g,
              energies(
                map(z, (v) => (v > 0 ? v : 0.2 * v)),
                weight,
                undefined,
              ),
              energies(z, weight, undefined),
            )
          },
          { tolerance: { f32: { rtol: 1e-5, atol: 2e-6 }, bf16: { rtol: 2 ** -6, atol: 2 ** -6 } } },
        ),
      ),
    ],
    bad: [
      bad(ShapeError, /energyHead: x must be \[batch, height, width, channels\], got \[2, 3\]/, (t) =>
        energyHead(t([2, 3]), t([3, 2])),
      ),
      bad(ShapeError, /energyHead: weight must be \[3, classes\] \(x has 3 channels\), got \[4, 2\]/, (t) =>
        energyHead(t([1, 2, 2, 3]), t([4, 2])),
      ),
      bad(ShapeError, /energyHead: x must have pixels and weight classes, got \[1, 0, 2, 3\] and \[3, 2\]/, (t) =>
        energyHead(t([1, 0, 2, 3]), t([3, 2])),
      ),
      bad(ShapeError, /energyHead: bias must be \[2\], got \[3\]/, (t) =>
        energyHead(t([1, 2, 2, 3]), t([3, 2]), { bias: t([3]) }),
      ),
      bad(ShapeError, /energyHead: labels must be \[2\] \(one for each image\), got \[1\]/, (t) =>
        energyHead(t([2, 2, 2, 3]), t([3, 2]), { labels: t([1], 'i32') }),
      ),
      bad(DTypeError, /energyHead: labels must be i32, got f32/, (t) =>
        energyHead(t([2, 2, 2, 3]), t([3, 2]), { labels: t([2]) }),
      ),
      bad(DTypeError, /energyHead: weight must be f32 like x, got f64/, (t) =>
        energyHead(t([2, 2, 2, 3]), t([3, 2], 'f64')),
      ),
    ],
  },
  {
    op: 'crossEntropy',
    cases: [
      ...headShapes.map(([rows, columns]) =>
        one(
          [
            x([rows, columns]),
            integers(
              [rows],
              Array.from({ length: rows }, (_, i) => (i * 3) % columns),
            ),
          ],
          crossEntropy,
          (a, labels) =>
            build(
              [rows],
              ([i]) => logSumExp([...a.data.subarray(i * columns, (i + 1) * columns)]) - at(a, [i, labels.data[i]]),
            ),
          { tolerance: { f32: { rtol: 4e-6, atol: 1e-6 }, bf16: { rtol: 2 ** -8, atol: 2 ** -14 } } },
        ),
      ),
      one(
        [
          x([701, 10], { low: -9, high: 9 }),
          integers(
            [701],
            Array.from({ length: 701 }, (_, i) => (i * 3) % 10),
          ),
        ],
        crossEntropy,
        (a, labels) =>
          build([701], ([i]) => logSumExp([...a.data.subarray(i * 10, (i + 1) * 10)]) - at(a, [i, labels.data[i]])),
        { tolerance: { f32: { rtol: 4e-6, atol: 1e-6 } }, gradient: 'compare' },
      ),
    ],
    bad: [
      bad(DTypeError, /crossEntropy: labels must be i32, got f32/, (t) => crossEntropy(t([3, 2]), t([3]))),
      bad(ShapeError, /crossEntropy: labels must be \[3\] \(one for each row of x\), got \[2\]/, (t) =>
        crossEntropy(t([3, 2]), t([2], 'i32')),
      ),
      bad(ShapeError, /crossEntropy: x must be \[batch, classes\], got \[3\]/, (t) =>
        crossEntropy(t([3]), t([3], 'i32')),
      ),
    ],
  },
]
