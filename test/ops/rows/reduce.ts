/** Reductions. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { argmax, l2Norm, max, mean, min, type ReduceOptions, sum, sumTo } from '../../../src/ops/reduce.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'
import { type Host, host, largest, reduce, total } from '../host.ts'
import { distinct, given, largeShape, x } from '../samples.ts'

import { bad, type Case, masters, one, type Row, twice } from '../table.ts'

type Reduction = (x: Tensor, options?: ReduceOptions) => Tensor

const axesOf = (shape: readonly number[], axes: ReduceOptions['axes']): number[] =>
  axes === undefined
    ? shape.map((_, i) => i)
    : [axes].flat().map((axis) => ((axis as number) < 0 ? (axis as number) + shape.length : (axis as number)))

function reductionRow(op: string, run: Reduction, f: (v: number[]) => number, extra: Partial<Case> = {}): Row {
  const samples: [readonly number[], ReduceOptions][] = [
    [[], {}],
    [[1], {}],
    [[17], {}],
    [[3, 5], {}],
    [[3, 5], { axes: 0 }],
    [[3, 5], { axes: -1, keepDims: true }],
    [[2, 3, 4], { axes: [0, 2] }],
    [[2, 3, 4], { axes: [0, 2], keepDims: true }],
    [[2, 3, 4], { axes: [1, 2] }],
    [[2, 3], { axes: [] }],
    [[2, 2, 3, 1, 2, 3], { axes: [1, 3, 5] }],
  ]
  const reference = (options: ReduceOptions) => (a: Host) =>
    reduce(a, axesOf(a.shape, options.axes), options.keepDims ?? false, f)
  const rounding: Case['tolerance'] = { f32: { rtol: 4e-6, atol: 1e-6 }, bf16: { rtol: 2 ** -6, atol: 2 ** -7 } }
  const large: [readonly number[], ReduceOptions][] = [
    [largeShape, {}],
    [[701, 67], { axes: 0 }],
    [[701, 67], { axes: 1 }],
    [[13, 31, 129], { axes: [0, 1] }],
    [[1, 1031, 33], { axes: 1 }],
    [[33, 1031], { axes: 1 }],
  ]
  return {
    op,
    cases: [
      ...samples.map(([shape, options]) =>
        one([x(shape, { low: 0.3, high: 2 })], (a) => run(a, options), reference(options), {
          tolerance: rounding,
          ...extra,
        }),
      ),
      ...large.map(([shape, options]) =>
        one([x(shape, { low: 0.3, high: 2 })], (a) => run(a, options), reference(options), {
          tolerance: rounding,
          ...extra,
          gradient: 'compare',
        }),
      ),
      one(
        [given([3, 3], [1, Number.NaN, 2, Infinity, 1, 2, Infinity, -Infinity, 1])],
        (a) => run(a, { axes: 1 }),
        reference({ axes: 1 }),
      ),
    ],
    bad: [
      bad(DTypeError, new RegExp(`^${op === 'mean' ? 'sum' : op}: x must be f32 or f64 or bf16, got i32`), (t) =>
        run(t([3], 'i32')),
      ),
      bad(ShapeError, new RegExp(`^${op}: axis must be a whole number in \\[-2, 1\\], got 2`), (t) =>
        run(t([3, 4]), { axes: 2 }),
      ),
    ],
  }
}

const smallest = (values: readonly number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity)
const length = (values: readonly number[]): number => Math.sqrt(total(values.map((v) => v * v)))

function extremumRow(op: string, run: typeof max, f: (v: number[]) => number): Row {
  const samples: [readonly number[], { axis?: number; keepDims?: boolean }][] = [
    [[], {}],
    [[1], {}],
    [[31], {}],
    [[3, 5], {}],
    [[3, 5], { axis: 0 }],
    [[3, 5], { axis: -1, keepDims: true }],
    [[2, 3, 4], { axis: 1 }],
    [[0, 3], { axis: 1 }],
    [[3, 4], { keepDims: true }],
  ]
  const reference = (options: { axis?: number; keepDims?: boolean }) => (a: Host) =>
    reduce(a, axesOf(a.shape, options.axis), options.keepDims ?? false, f)
  return {
    op,
    cases: [
      ...samples.map(([shape, options]) => one([distinct(shape)], (a) => run(a, options), reference(options))),
      one([distinct(largeShape)], (a) => run(a), reference({}), { gradient: 'compare', dtypes: masters }),
      one([distinct([71, 401])], (a) => run(a, { axis: 0 }), reference({ axis: 0 }), {
        gradient: 'compare',
        dtypes: masters,
      }),
      one(
        [given([4, 3], [1, Number.NaN, 2, Infinity, 1, 2, -Infinity, -Infinity, 1, Number.NaN, 0, Infinity])],
        (a) => run(a, { axis: 1 }),
        reference({ axis: 1 }),
      ),
    ],
    bad: [
      bad(DTypeError, /(max|affine): x must be f32 or f64 or bf16, got u8/, (t) => run(t([3], 'u8'))),
      bad(ShapeError, /max: axis must be a whole number in \[-2, 1\], got -3/, (t) => run(t([3, 4]), { axis: -3 })),
      bad(ShapeError, /max: there is no element to choose in x \[3, 0\]/, (t) => run(t([3, 0]), { axis: 1 })),
      bad(ShapeError, /max: there is no element to choose in x \[0\]/, (t) => run(t([0]))),
    ],
  }
}

const firstLargest = (values: readonly number[]): number => {
  const nan = values.findIndex(Number.isNaN)
  return nan >= 0 ? nan : values.indexOf(largest(values))
}

export const reductionRows: readonly Row[] = [
  reductionRow('sum', sum, total),
  reductionRow('mean', mean, (v) => total(v) / v.length),
  reductionRow('l2Norm', l2Norm, length),
  {
    op: 'sum',
    cases: [
      one(
        [x([0])],
        (a) => sum(a),
        () => host([], [0]),
      ),
      one(
        [x([2, 0])],
        (a) => sum(a, { axes: 1 }),
        () => host([2], [0, 0]),
      ),
    ],
    bad: [],
  },
  extremumRow('max', max, largest),
  extremumRow('min', min, smallest),
  {
    op: 'argmax',
    cases: [
      one(
        [distinct([31])],
        (a) => argmax(a),
        (a) => reduce(a, [0], false, firstLargest),
        { gradient: 'none' },
      ),
      one(
        [distinct([3, 5])],
        (a) => argmax(a, 0),
        (a) => reduce(a, [0], false, firstLargest),
        { gradient: 'none' },
      ),
      one(
        [distinct([2, 3, 4])],
        (a) => argmax(a),
        (a) => reduce(a, [2], false, firstLargest),
        { gradient: 'none' },
      ),
      one(
        [given([3, 3], [2, 2, 1, 1, Number.NaN, Number.NaN, -Infinity, -Infinity, -Infinity])],
        (a) => argmax(a),
        () => host([3], [0, 1, 0]),
      ),
    ],
    bad: [
      bad(ShapeError, /argmax: axis must be a whole number/, (t) => argmax(t([3]), 1)),
      bad(ShapeError, /argmax: there is no element to choose in x \[3, 0\]/, (t) => argmax(t([3, 0]))),
      bad(DTypeError, /argmax: x must be f32 or f64 or bf16, got i32/, (t) => argmax(t([3], 'i32'))),
    ],
  },
  {
    op: 'sumTo',
    cases: (
      [
        [[3, 4], [4]],
        [
          [3, 4],
          [3, 1],
        ],
        [[2, 3], []],
        [
          [2, 3],
          [2, 3],
        ],
        [
          [2, 3, 4],
          [1, 3, 1],
        ],
      ] as const
    ).map(([from, to]: readonly [readonly number[], readonly number[]]) =>
      // where the shapes are equal the result is x itself, which has no history of its own
      one(
        [x(from)],
        (a) => sumTo(a, to),
        (a) => {
          const skip = from.length - to.length
          const axes = from.flatMap((e, i) => (i < skip || (to[i - skip] === 1 && e !== 1) ? [i] : []))
          return { ...reduce(a, axes, true, total), shape: to }
        },
        { tolerance: twice, gradient: 'none' },
      ),
    ),
    bad: [],
  },
]
