/** Element-wise arithmetic and comparisons, with broadcasting. */
import { DeviceError, DTypeError, ShapeError } from '../../../src/errors.ts'
import { accumulate } from '../../../src/ops/accumulate.ts'
import * as arithmetic from '../../../src/ops/arithmetic.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'
import { type Host, host, map, zip } from '../host.ts'
import { fixed, given, type Input, integers, largeShape, x } from '../samples.ts'

import { type Bad, bad, disposed, masters, one, type Row, specials } from '../table.ts'

const broadcasts: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[], []],
  [[], [5]],
  [[5], []],
  [[1], [0]],
  [
    [0, 3],
    [1, 3],
  ],
  [[17], [17]],
  [[33], [1]],
  [
    [3, 1],
    [1, 4],
  ],
  [[3, 7], [7]],
  [[9], [4, 9]],
  [
    [5, 8],
    [5, 1],
  ],
  [
    [2, 3, 4],
    [3, 1],
  ],
  [
    [2, 1, 3, 1, 2, 1],
    [1, 4, 1, 3, 1, 2],
  ],
]

const specialPairs = specials.flatMap((a) => specials.map((b) => [a, b]))
const lefts = given(
  [specialPairs.length],
  specialPairs.map(([a]) => a),
)
const rights = given(
  [specialPairs.length],
  specialPairs.map(([, b]) => b),
)

/** Operands whose values differ by at least 0.01 everywhere, so that no difference crosses a tie. */
function pairOf(a: readonly number[], b: readonly number[], domain: Parameters<typeof x>[1]): [Input, Input] {
  const onGrid = (input: Input, offset: number): Input => ({
    ...input,
    values: input.values.map((v) => Math.round(v * 50) / 50 + offset),
  })
  return [onGrid(x(a, domain), 0), onGrid(x(b, domain), 0.01)]
}

function binaryBad(op: string, run: (a: Tensor, b: Tensor) => Tensor, first = 'a'): Bad[] {
  return [
    bad(DeviceError, new RegExp(`^${op}: b \\[3\\] is used after it was disposed`), (t) =>
      run(t([3]), disposed(t([3]))),
    ),
    bad(ShapeError, new RegExp(`^${op}: shapes \\[2, 3\\] and \\[2\\] do not broadcast`), (t) =>
      run(t([2, 3]), t([2])),
    ),
    bad(DTypeError, new RegExp(`^${op}: b must be f32 like a, got f64; convert it with cast`), (t) =>
      run(t([2]), t([2], 'f64')),
    ),
    bad(DTypeError, new RegExp(`^${op}: ${first} must be f32 or f64 or bf16 or i32, got u8`), (t) =>
      run(t([2], 'u8'), t([2], 'u8')),
    ),
  ]
}

function arithmeticRow(
  op: string,
  run: (a: arithmetic.Operand, b: arithmetic.Operand) => Tensor,
  f: (a: number, b: number) => number,
  whole: (a: number, b: number) => number = f,
  domain: Parameters<typeof x>[1] = {},
): Row {
  const reference = (a: Host, b: Host): Host => zip(f, a, b)
  const extremum = op === 'maximum' || op === 'minimum'
  return {
    op,
    cases: [
      ...broadcasts.map(([a, b]) => one(pairOf(a, b, domain), run, reference)),
      one(pairOf([331, 1], [1, 151], domain), run, reference, { gradient: 'compare' }),
      one(pairOf(largeShape, largeShape, domain), run, reference, { gradient: 'compare' }),
      one([lefts, rights], run, reference),
      // a number on either side; those with one on the right are one pass, which may round a·(1/b) for a/b
      one(
        [x([9], domain)],
        (a) => run(a, 1.505),
        (a) => map(a, (v) => f(v, 1.505)),
        {
          tolerance: { f32: { rtol: 1.3e-6, atol: 2e-7 } },
        },
      ),
      one(
        [x([9], domain)],
        (a) => run(1.505, a),
        (a) => map(a, (v) => f(1.505, v)),
        {
          dtypes: extremum ? masters : ['f64'],
          tolerance: { f32: { rtol: 1.3e-6, atol: 2e-7 } },
        },
      ),
      one(
        [integers([2, 4], [7, -7, 2147483647, -2147483648, 0, 5, -1, 6]), integers([4], [2, -1, 3, 0])],
        run,
        (a, b) => zip((u, v) => whole(u, v) | 0, a, b),
        { dtypes: ['f32'] },
      ),
      one(
        [integers([3], [7, -8, 9])],
        (a) => run(a, 2),
        (a) => map(a, (v) => whole(v, 2)),
        { dtypes: ['f32'] },
      ),
      one(
        [integers([3], [7, -8, 9])],
        (a) => run(20, a),
        (a) => map(a, (v) => whole(20, v)),
        { dtypes: ['f32'] },
      ),
    ],
    bad: binaryBad(op, run),
  }
}

function comparisonRow(
  op: string,
  run: (a: arithmetic.Operand, b: arithmetic.Operand) => Tensor,
  f: (a: number, b: number) => boolean,
): Row {
  const reference = (a: Host, b: Host): Host => zip((u, v) => (f(u, v) ? 1 : 0), a, b)
  const whole = { low: -2, high: 2, integer: true }
  return {
    op,
    cases: [
      ...broadcasts.map(([a, b]) => one([fixed(a, whole), fixed(b, whole)], run, reference)),
      one([fixed(largeShape, whole), fixed([1], whole)], run, reference),
      one([lefts, rights], run, reference),
      one(
        [fixed([9], whole)],
        (a) => run(a, 1),
        (a) => map(a, (v) => (f(v, 1) ? 1 : 0)),
      ),
      one(
        [fixed([9], whole)],
        (a) => run(1, a),
        (a) => map(a, (v) => (f(1, v) ? 1 : 0)),
      ),
      one([integers([4], [-5, 0, 3, 7]), integers([4], [-5, 1, 2, 7])], run, reference, { dtypes: ['f32'] }),
    ],
    bad: binaryBad(op, run),
  }
}

const select = (c: number, a: number, b: number): number => (c !== 0 ? a : b)

export const arithmeticRows: readonly Row[] = [
  arithmeticRow('add', arithmetic.add, (a, b) => a + b),
  arithmeticRow('sub', arithmetic.sub, (a, b) => a - b),
  arithmeticRow('mul', arithmetic.mul, (a, b) => a * b, Math.imul),
  // i32: towards zero, n / 0 = 0 as numpy's
  arithmeticRow(
    'div',
    arithmetic.div,
    (a, b) => a / b,
    (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
    { low: 0.5, high: 3 },
  ),
  arithmeticRow('maximum', arithmetic.maximum, Math.max),
  arithmeticRow('minimum', arithmetic.minimum, Math.min),
  comparisonRow('equal', arithmetic.equal, (a, b) => a === b),
  comparisonRow('notEqual', arithmetic.notEqual, (a, b) => a !== b),
  comparisonRow('less', arithmetic.less, (a, b) => a < b),
  comparisonRow('lessEqual', arithmetic.lessEqual, (a, b) => a <= b),
  comparisonRow('greater', arithmetic.greater, (a, b) => a > b),
  comparisonRow('greaterEqual', arithmetic.greaterEqual, (a, b) => a >= b),
  {
    op: 'where',
    cases: [
      one([integers([5], [1, 0, 0, 255, 1], 'u8'), x([5]), x([5])], arithmetic.where, (c, a, b) =>
        zip(select, c, a, b),
      ),
      one([integers([3, 1], [1, 0, 2], 'u8'), x([4]), x([2, 1, 1])], arithmetic.where, (c, a, b) =>
        zip(select, c, a, b),
      ),
      one([integers([0], [], 'u8'), x([0]), x([1])], arithmetic.where, (c, a, b) => zip(select, c, a, b)),
      one(
        [integers([2], [1, 0], 'u8'), x([2])],
        (c, a) => arithmetic.where(c, a, -3),
        (c, a) => zip(select, c, a, host([], [-3])),
      ),
      one(
        [integers([2], [1, 0], 'u8'), x([2])],
        (c, b) => arithmetic.where(c, -3, b),
        (c, b) => zip(select, c, host([], [-3]), b),
      ),
      one(
        [integers([3], [1, 0, 1], 'u8'), integers([3], [1, 2, 3]), integers([3], [4, 5, 6])],
        arithmetic.where,
        (c, a, b) => zip(select, c, a, b),
        { dtypes: ['f32'] },
      ),
      one(
        [
          integers(
            [1, 90],
            new Array(90).fill(0).map((_, i) => i % 3),
            'u8',
          ),
          x([400, 1]),
          x([90]),
        ],
        arithmetic.where,
        (c, a, b) => zip(select, c, a, b),
        { gradient: 'compare' },
      ),
    ],
    bad: [
      bad(DTypeError, /where: condition must be u8, got f32/, (t) => arithmetic.where(t([2]), t([2]), t([2]))),
      bad(DTypeError, /where: b must be f32 like a, got f64/, (t) =>
        arithmetic.where(t([2], 'u8'), t([2]), t([2], 'f64')),
      ),
      bad(DTypeError, /where: a must be .* got u8/, (t) => arithmetic.where(t([2], 'u8'), t([2], 'u8'), t([2], 'u8'))),
      bad(ShapeError, /where: shapes \[3\] and \[2\] do not broadcast/, (t) =>
        arithmetic.where(t([3], 'u8'), t([2]), t([1])),
      ),
      bad(ShapeError, /where: shapes \[2\] and \[3\] do not broadcast/, (t) =>
        arithmetic.where(t([2], 'u8'), 1, t([3])),
      ),
    ],
  },
  {
    op: 'accumulate',
    cases: [[], [0], [17], [4, 9], largeShape].map((shape) =>
      one(
        [fixed(shape), fixed(shape)],
        (y, a) => {
          accumulate(y, a)
          return y
        },
        (y, a) => zip((u, v) => u + v, y, a),
      ),
    ),
    bad: [
      bad(ShapeError, /accumulate: x must be \[3\], got \[1\]/, (t) => accumulate(t([3]), t([1]))),
      bad(DTypeError, /accumulate: x must be f32 like y, got bf16/, (t) => accumulate(t([3]), t([3], 'bf16'))),
      bad(DTypeError, /accumulate: y must be f32 or f64 or bf16, got u8/, (t) =>
        accumulate(t([3], 'u8'), t([3], 'u8')),
      ),
    ],
  },
]
