/** Heads on rows of logits. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { crossEntropy, logSoftmax, logsumexp, softmax } from '../../../src/ops/softmax.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'
import { at, build, type Host, host, largest, reduce, total } from '../host.ts'
import { given, integers, x } from '../samples.ts'

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
