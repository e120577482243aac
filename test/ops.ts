/** The op table: one row per op of src/ops. Everything that must hold of every op is checked by driving this table
 *  (test/ops/*.test.ts): forward against a naive float64 reference, gradients against central differences and against
 *  float64, the same bits for any number of threads, bad arguments, leaks. A new op without a row fails a test. */
import { ConfigError, DeviceError, DTypeError, type LangevinError, ShapeError } from '../src/errors.ts'
import type { DType } from '../src/native/contract.ts'
import { accumulate } from '../src/ops/accumulate.ts'
import * as arithmetic from '../src/ops/arithmetic.ts'
import { assign, cast, clone } from '../src/ops/cast.ts'
import { conv2d, conv2dBoth } from '../src/ops/conv2d.ts'
import { linear, matmul } from '../src/ops/matmul.ts'
import { batchNorm, channelAffine, groupNorm, instanceNorm, type NormOptions } from '../src/ops/norm.ts'
import { avgPool2d, globalAvgPool } from '../src/ops/pool.ts'
import { dropout, normal, randomInt, uniform } from '../src/ops/random.ts'
import { argmax, l2Norm, max, mean, min, type ReduceOptions, sum, sumTo } from '../src/ops/reduce.ts'
import { gatherRows, pick, scatterRows } from '../src/ops/rows.ts'
import * as shapes from '../src/ops/shape.ts'
import { crossEntropy, logSoftmax, logsumexp, softmax } from '../src/ops/softmax.ts'
import {
  adamUpdate,
  clipScale,
  imageBatch,
  movingAverage,
  type SgldOptions,
  sgdUpdate,
  sgldUpdate,
  sumOfSquares,
} from '../src/ops/training.ts'
import * as unary from '../src/ops/unary.ts'
import { Generator } from '../src/random/generator.ts'
import type { Tensor } from '../src/tensor/tensor.ts'
import { at, build, convolve, erf, type Host, host, map, reduce, total, zip } from './ops/host.ts'
import { boxMuller, uniformsOf, wordsOf } from './ops/philox.ts'
import { distinct, edgeShapes, fixed, given, type Input, integers, largeShape, x } from './ops/samples.ts'

export interface Tolerance {
  rtol: number
  /** Times the largest magnitude of the expected array. */
  atol: number
}

/** One call of an op. */
export interface Case {
  label: string
  inputs: readonly Input[]
  /** The outputs; of an op that works in place, the tensors it changed. */
  run(...inputs: Tensor[]): Tensor | readonly Tensor[]
  reference(...inputs: Host[]): Host | readonly Host[]
  dtypes: readonly DType[]
  /** check: against central differences, and each dtype against f64; compare: only each dtype against f64. */
  gradient: 'check' | 'compare' | 'none'
  /** By the output's dtype, where rounding adds up beyond `tolerances`. */
  tolerance?: Partial<Record<DType, Tolerance>>
}

/** A wrong call; `t` makes zeros of a shape. */
export interface Bad {
  call(t: (shape: readonly number[], dtype?: DType) => Tensor): unknown
  error: new (message: string) => LangevinError
  message: RegExp
}

export interface Row {
  op: string
  cases: readonly Case[]
  bad: readonly Bad[]
}

/** Rounding of one operation: half a unit in the last place, and some for a chain of a few. */
export const tolerances: Record<DType, Tolerance> = {
  f64: { rtol: 1e-12, atol: 1e-14 },
  f32: { rtol: 1.3e-6, atol: 1e-7 },
  bf16: { rtol: 2 ** -8, atol: 2 ** -16 },
  i32: { rtol: 0, atol: 0 },
  u8: { rtol: 0, atol: 0 },
}

const floats: readonly DType[] = ['f64', 'f32', 'bf16']
const masters: readonly DType[] = ['f64', 'f32']

function one(inputs: readonly Input[], run: Case['run'], reference: Case['reference'], rest: Partial<Case> = {}): Case {
  const label = inputs.map((input) => `[${input.shape.join(', ')}]`).join(' ')
  const differentiable = inputs.some((input) => input.wantsGrad && input.dtype === 'float')
  return { label, inputs, run, reference, dtypes: floats, gradient: differentiable ? 'check' : 'none', ...rest }
}

const bad = (error: Bad['error'], message: RegExp, call: Bad['call']): Bad => ({ call, error, message })

/** Two roundings to the dtype instead of one. */
const twice: Case['tolerance'] = { bf16: { rtol: 2 ** -7, atol: 2 ** -8 } }

// ---- element-wise, one tensor ----

const specials = [Number.NaN, Infinity, -Infinity, 0, -0, 1, -1, 0.5, -0.5, 1e-3, 20, -20, 3, -3, 2, -2, 7]

function unaryRow(
  op: string,
  run: (x: Tensor) => Tensor,
  reference: (v: number) => number,
  domain: Parameters<typeof x>[1] = {},
  tolerance?: Case['tolerance'],
): Row {
  const call = (label: string, input: Input, gradient: Case['gradient']): Case => ({
    ...one([input], run, (a) => map(a, reference), { gradient, tolerance }),
    label,
  })
  return {
    op,
    cases: [
      ...edgeShapes.map((shape) => call(`[${shape.join(', ')}]`, x(shape, domain), 'check')),
      call('three blocks', x(largeShape, domain), 'compare'),
      call('NaN, infinities, zeros', given([specials.length], specials), 'none'),
    ],
    bad: [
      bad(DTypeError, new RegExp(`${op === 'neg' ? 'affine' : op}: x must be f32 or f64 or bf16, got i32`), (t) =>
        run(t([3], 'i32')),
      ),
      bad(DeviceError, /^\w+: x \[2, 3\] is used after it was disposed/, (t) => {
        return run(disposed(t([2, 3])))
      }),
    ],
  }
}

function disposed(gone: Tensor): Tensor {
  gone.dispose()
  return gone
}

const sigmoidOf = (v: number): number => 1 / (1 + Math.exp(-v))

const unaryRows: Row[] = [
  unaryRow('neg', unary.neg, (v) => -v),
  unaryRow('exp', unary.exp, Math.exp),
  unaryRow('log', unary.log, Math.log, { low: 0.1, high: 5 }),
  unaryRow('sqrt', unary.sqrt, Math.sqrt, { low: 0.1, high: 5 }),
  unaryRow('abs', unary.abs, Math.abs, { corners: [0] }),
  unaryRow('sign', unary.sign, Math.sign, { corners: [0] }),
  unaryRow('square', unary.square, (v) => v * v),
  unaryRow('reciprocal', unary.reciprocal, (v) => 1 / v, { low: 0.3, high: 3 }),
  unaryRow('relu', unary.relu, (v) => Math.max(v, 0), { corners: [0] }),
  unaryRow(
    'elu',
    (v) => unary.elu(v, 0.7),
    (v) => (v > 0 ? v : 0.7 * Math.expm1(v)),
    { corners: [0] },
  ),
  unaryRow('sigmoid', unary.sigmoid, sigmoidOf),
  unaryRow('tanh', unary.tanh, Math.tanh),
  unaryRow('silu', unary.silu, (v) => v * sigmoidOf(v)),
  unaryRow('softplus', unary.softplus, (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)))),
  unaryRow('gelu', unary.gelu, (v) => v * 0.5 * (1 + erf(v / Math.SQRT2))),
  unaryRow(
    'clamp',
    (v) => unary.clamp(v, -0.5, 1),
    (v) => Math.min(Math.max(v, -0.5), 1),
    { corners: [-0.5, 1] },
  ),
  unaryRow(
    'power',
    (v) => unary.power(v, 2.5),
    (v) => v ** 2.5,
    { low: 0.2, high: 3 },
  ),
  unaryRow(
    'power',
    (v) => unary.power(v, -0.5),
    (v) => v ** -0.5,
    { low: 0.2, high: 3 },
  ),
  unaryRow(
    'power',
    (v) => unary.power(v, 3),
    (v) => v ** 3,
  ),
  unaryRow(
    'power',
    (v) => unary.power(v, 0),
    () => 1,
  ),
  unaryRow(
    'affine',
    (v) => unary.affine(v, 3, -0.25),
    (v) => 3 * v - 0.25,
    {},
    { f32: { rtol: 1.3e-6, atol: 2e-7 } },
  ),
  unaryRow(
    'leakyRelu',
    (v) => unary.leakyRelu(v, 0.1),
    (v) => (v > 0 ? v : 0.1 * v),
    { corners: [0] },
  ),
  {
    op: 'leakyReluBackward',
    cases: [
      one(
        [fixed([19]), integers([3], [0b10110001, 0b01011010, 0b101], 'u8')],
        (dy, bits) => unary.leakyReluBackward(dy, bits, 0.2),
        (dy, bits) => map(dy, (v, i) => ((bits.data[i >> 3] >> (i & 7)) & 1 ? v : 0.2 * v)),
      ),
    ],
    bad: [
      bad(ShapeError, /leakyReluBackward: signs must be \[2\] \(one bit for each element of dy\), got \[3\]/, (t) =>
        unary.leakyReluBackward(t([9]), t([3], 'u8'), 0.2),
      ),
      bad(DTypeError, /leakyReluBackward: signs must be u8, got i32/, (t) =>
        unary.leakyReluBackward(t([9]), t([2], 'i32'), 0.2),
      ),
      bad(DTypeError, /leakyReluBackward: dy must be f32 or f64 or bf16, got u8/, (t) =>
        unary.leakyReluBackward(t([9], 'u8'), t([2], 'u8'), 0.2),
      ),
    ],
  },
]

// ---- element-wise, broadcast ----

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

const arithmeticRows: Row[] = [
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

// ---- conversion ----

const saturate = (low: number, high: number) => (v: number) =>
  Number.isNaN(v) ? 0 : Math.min(high, Math.max(low, Math.trunc(v)))
const awkward = [
  0,
  -0.5,
  0.99,
  -1.99,
  255.7,
  256,
  -1,
  3e9,
  -3e9,
  2147483647,
  Number.NaN,
  Infinity,
  -Infinity,
  1.5,
  65504,
]

const castRows: Row[] = [
  {
    op: 'cast',
    cases: [
      ...floats.map((to) =>
        one(
          [x([31])],
          (a) => cast(a, to),
          (a) => a,
          { tolerance: { f32: { rtol: 2 ** -24, atol: 0 }, bf16: { rtol: 2 ** -8, atol: 0 } } },
        ),
      ),
      one(
        [given([awkward.length], awkward)],
        (a) => cast(a, 'i32'),
        (a) => map(a, saturate(-2147483648, 2147483647)),
      ),
      one(
        [given([awkward.length], awkward)],
        (a) => cast(a, 'u8'),
        (a) => map(a, saturate(0, 255)),
      ),
      one(
        [given([awkward.length], awkward)],
        (a) => cast(a, 'f32'),
        (a) => a,
      ),
      one(
        [integers([4], [-1, 0, 300, 65])],
        (a) => cast(a, 'u8'),
        (a) => map(a, saturate(0, 255)),
        { dtypes: ['f32'] },
      ),
      ...floats.map((to) =>
        one(
          [integers([3], [0, 128, 255], 'u8')],
          (a) => cast(a, to),
          (a) => a,
          { dtypes: ['f32'] },
        ),
      ),
      one(
        [x(largeShape)],
        (a) => cast(a, 'f64'),
        (a) => a,
        { gradient: 'compare' },
      ),
      one(
        [x([0])],
        (a) => cast(a, 'f64'),
        (a) => a,
      ),
    ],
    bad: [
      bad(DTypeError, /dtype must be f32 or f64 or bf16 or i32 or u8, got f16/, (t) => cast(t([2]), 'f16' as DType)),
    ],
  },
  {
    op: 'clone',
    cases: [
      ...edgeShapes.map((shape) => one([x(shape)], clone, (a) => a)),
      one([integers([3], [1, -2, 3])], clone, (a) => a, { dtypes: ['f32'] }),
    ],
    bad: [],
  },
  {
    op: 'assign',
    cases: [
      one(
        [fixed([3, 5]), fixed([3, 5])],
        (target, source) => {
          assign(target, source)
          return target
        },
        (_, source) => source,
      ),
      one(
        [integers([4], [1, 2, 3, 4]), given([4], [1.9, -1.9, 7, Number.NaN])],
        (target, source) => {
          assign(target, source)
          return target
        },
        (_, source) => map(source, saturate(-2147483648, 2147483647)),
      ),
    ],
    bad: [
      bad(ShapeError, /assign: source must be \[3\] \(the target's shape\), got \[2\]/, (t) => assign(t([3]), t([2]))),
    ],
  },
]

// ---- shape ----

const permuted = (a: Host, axes: readonly number[]): Host =>
  build(
    axes.map((axis) => a.shape[axis]),
    (index) => {
      const from = new Array<number>(axes.length)
      for (const [i, axis] of axes.entries()) from[axis] = index[i]
      return at(a, from)
    },
  )
const boxOf = (a: Host, start: readonly number[], size: readonly number[]): Host =>
  build(size, (index) =>
    at(
      a,
      index.map((i, axis) => i + start[axis]),
    ),
  )
const padded = (a: Host, amounts: readonly (readonly [number, number])[]): Host =>
  build(
    a.shape.map((extent, i) => extent + amounts[i][0] + amounts[i][1]),
    (index) => {
      const from = index.map((i, axis) => i - amounts[axis][0])
      return from.every((i, axis) => i >= 0 && i < a.shape[axis]) ? at(a, from) : 0
    },
  )
const mirror = (i: number, n: number): number => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i)
const bytes = (shape: readonly number[]): Input =>
  integers(
    shape,
    Array.from({ length: shape.reduce((n, e) => n * e, 1) }, (_, i) => (i * 37) % 256),
    'u8',
  )

const shapeRows: Row[] = [
  {
    op: 'reshape',
    cases: [
      one(
        [x([2, 6])],
        (a) => shapes.reshape(a, [3, -1]),
        (a) => ({ ...a, shape: [3, 4] }),
      ),
      one(
        [x([])],
        (a) => shapes.reshape(a, [1, 1]),
        (a) => ({ ...a, shape: [1, 1] }),
      ),
      one(
        [x([0, 3])],
        (a) => shapes.reshape(a, [0]),
        (a) => ({ ...a, shape: [0] }),
      ),
      one(
        [bytes([4, 2])],
        (a) => shapes.reshape(a, [8]),
        (a) => ({ ...a, shape: [8] }),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(ShapeError, /reshape: \[2, 3\] \(6 elements\) cannot become \[4, -1\]/, (t) =>
        shapes.reshape(t([2, 3]), [4, -1]),
      ),
      bad(ShapeError, /a tensor has at most 6 axes, got \[1, 1, 1, 1, 1, 1, 1\]/, (t) =>
        shapes.reshape(t([]), [1, 1, 1, 1, 1, 1, 1]),
      ),
      bad(ShapeError, /broadcastTo: tensors of at most 6 axes are supported, got 7/, (t) =>
        shapes.broadcastTo(t([2]), [1, 1, 1, 1, 1, 1, 2]),
      ),
      bad(ShapeError, /a tensor has at most 6 axes, got \[1, 1, 1, 1, 1, 1, 1\]/, (t) => t([1, 1, 1, 1, 1, 1, 1])),
      bad(ShapeError, /reshape: \[2, 3\] \(6 elements\) cannot become \[7\]/, (t) => shapes.reshape(t([2, 3]), [7])),
      bad(ShapeError, /cannot become \[-1, -1\]/, (t) => shapes.reshape(t([4]), [-1, -1])),
    ],
  },
  {
    op: 'transpose',
    cases: [
      ...(
        [
          [[], []],
          [[5], [0]],
          [
            [3, 4],
            [1, 0],
          ],
          [
            [2, 3, 5],
            [2, 0, 1],
          ],
          [
            [2, 3, 4, 5],
            [0, 3, 1, 2],
          ],
          [
            [2, 3, 4, 5],
            [0, 2, 3, 1],
          ],
          [
            [2, 1, 3, 2, 1, 3],
            [5, 3, 1, 0, 2, 4],
          ],
          [
            [0, 3],
            [1, 0],
          ],
        ] as const
      ).map(([shape, order]) =>
        one(
          [x(shape)],
          (a) => shapes.transpose(a, order),
          (a) => permuted(a, order),
        ),
      ),
      one(
        [x([3, 4])],
        (a) => shapes.transpose(a),
        (a) => permuted(a, [1, 0]),
      ),
      one(
        [x([3, 4, 2])],
        (a) => shapes.transpose(a, [-1, 0, 1]),
        (a) => permuted(a, [2, 0, 1]),
      ),
      one(
        [x([257, 131])],
        (a) => shapes.transpose(a),
        (a) => permuted(a, [1, 0]),
        { gradient: 'compare' },
      ),
      one(
        [x([5, 33, 3, 67])],
        (a) => shapes.transpose(a, [0, 3, 1, 2]),
        (a) => permuted(a, [0, 3, 1, 2]),
        {
          gradient: 'compare',
        },
      ),
      one(
        [bytes([17, 9])],
        (a) => shapes.transpose(a),
        (a) => permuted(a, [1, 0]),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(ShapeError, /transpose: order must name each of the 2 axes once, got \[0, 0\]/, (t) =>
        shapes.transpose(t([2, 3]), [0, 0]),
      ),
      bad(ShapeError, /transpose: axis must be a whole number in \[-2, 1\], got 2/, (t) =>
        shapes.transpose(t([2, 3]), [0, 2]),
      ),
    ],
  },
  {
    op: 'broadcastTo',
    cases: (
      [
        [[], [3]],
        [[1], [0]],
        [
          [3, 1],
          [2, 3, 4],
        ],
        [[7], [5, 7]],
        [
          [2, 1, 3, 1, 2, 1],
          [2, 2, 3, 2, 2, 2],
        ],
      ] as const
    ).map(([from, to]) =>
      one(
        [x(from)],
        (a) => shapes.broadcastTo(a, to),
        (a) =>
          zip(
            (v) => v,
            a,
            build(to, () => 0),
          ),
      ),
    ),
    bad: [
      bad(ShapeError, /broadcastTo: shapes \[2\] and \[3\] do not broadcast/, (t) => shapes.broadcastTo(t([2]), [3])),
      bad(ShapeError, /broadcastTo: \[2, 3\] does not stretch to \[3\]/, (t) => shapes.broadcastTo(t([2, 3]), [3])),
    ],
  },
  {
    op: 'slice',
    cases: (
      [
        [[], [], []],
        [[9], [2], [5]],
        [
          [4, 5],
          [1, 0],
          [2, 5],
        ],
        [
          [3, 4, 5],
          [0, 3, 2],
          [3, 1, 3],
        ],
        [
          [2, 3],
          [1, 1],
          [0, 2],
        ],
        [
          [2, 3, 2, 2, 3, 2],
          [1, 0, 1, 0, 1, 0],
          [1, 2, 1, 2, 2, 1],
        ],
      ] as const
    ).map(([shape, start, size]) =>
      one(
        [x(shape)],
        (a) => shapes.slice(a, start, size),
        (a) => boxOf(a, start, size),
      ),
    ),
    bad: [
      bad(ShapeError, /slice: start \[1, 0\] and size \[2, 3\] must lie within \[2, 3\]/, (t) =>
        shapes.slice(t([2, 3]), [1, 0], [2, 3]),
      ),
      bad(ShapeError, /slice: start \[-1\] and size \[1\] must lie within \[3\]/, (t) =>
        shapes.slice(t([3]), [-1], [1]),
      ),
      bad(ShapeError, /slice: start \[0\] and size \[1.5\]/, (t) => shapes.slice(t([3]), [0], [1.5])),
      bad(ShapeError, /slice: start \[0\] and size \[1\] must lie within \[3, 3\]/, (t) =>
        shapes.slice(t([3, 3]), [0], [1]),
      ),
    ],
  },
  {
    op: 'pad',
    cases: (
      [
        [[], []],
        [[3], [[2, 1]]],
        [
          [2, 3],
          [
            [0, 0],
            [1, 2],
          ],
        ],
        [
          [0, 2],
          [
            [1, 1],
            [0, 1],
          ],
        ],
        [
          [2, 3, 4, 1],
          [
            [0, 0],
            [1, 1],
            [2, 0],
            [0, 0],
          ],
        ],
      ] as const
    ).map(([shape, amounts]) =>
      one(
        [x(shape)],
        (a) => shapes.pad(a, amounts),
        (a) => padded(a, amounts),
      ),
    ),
    bad: [
      bad(ShapeError, /pad: 2 pairs of whole amounts >= 0 are needed for x \[2, 3\], got \[\[1,1\]\]/, (t) =>
        shapes.pad(t([2, 3]), [[1, 1]]),
      ),
      bad(ShapeError, /pad: 1 pairs .* got \[\[-1,0\]\]/, (t) => shapes.pad(t([3]), [[-1, 0]])),
      bad(ShapeError, /pad: 1 pairs .* got \[\[0.5,0\]\]/, (t) => shapes.pad(t([3]), [[0.5, 0]])),
    ],
  },
  {
    op: 'padReflect',
    cases: [0, 1, 3].map((amount) =>
      one(
        [x([2, 5, 4, 3])],
        (a) => shapes.padReflect(a, amount),
        (a) =>
          build([2, 5 + 2 * amount, 4 + 2 * amount, 3], ([n, i, j, c]) =>
            at(a, [n, mirror(i - amount, 5), mirror(j - amount, 4), c]),
          ),
      ),
    ),
    bad: [
      bad(ShapeError, /padReflect: x must be \[batch, height > 4, width > 4, channels\], got \[2, 5, 4, 3\]/, (t) =>
        shapes.padReflect(t([2, 5, 4, 3]), 4),
      ),
      bad(ShapeError, /padReflect: x must be .* got \[5, 4\]/, (t) => shapes.padReflect(t([5, 4]), 1)),
      bad(ShapeError, /padReflect/, (t) => shapes.padReflect(t([1, 5, 4, 1]), -1)),
    ],
  },
  {
    op: 'crop',
    cases: [
      one(
        [x([2, 5, 4, 3])],
        (a) => shapes.crop(a, 1, 2, 3, 2),
        (a) => boxOf(a, [0, 1, 2, 0], [2, 3, 2, 3]),
      ),
      one(
        [bytes([1, 3, 3, 2])],
        (a) => shapes.crop(a, 0, 0, 3, 3),
        (a) => a,
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(ShapeError, /crop: x must be \[batch, height, width, channels\], got \[5, 4\]/, (t) =>
        shapes.crop(t([5, 4]), 0, 0, 1, 1),
      ),
      bad(ShapeError, /slice: .* must lie within \[1, 5, 4, 1\]/, (t) => shapes.crop(t([1, 5, 4, 1]), 3, 0, 3, 1)),
    ],
  },
  {
    op: 'flip',
    cases: (
      [
        [[7], 0],
        [[2, 3, 4], 1],
        [[2, 33], -1],
        [[0, 2], 0],
        [[2, 2, 1, 3, 2, 2], 3],
      ] as const
    ).map(([shape, axis]) =>
      one(
        [x(shape)],
        (a) => shapes.flip(a, axis),
        (a) => {
          const along = axis < 0 ? axis + a.shape.length : axis
          return build(a.shape, (index) =>
            at(
              a,
              index.map((i, k) => (k === along ? a.shape[k] - 1 - i : i)),
            ),
          )
        },
      ),
    ),
    bad: [bad(ShapeError, /flip: axis must be a whole number in \[-1, 0\], got 1/, (t) => shapes.flip(t([3]), 1))],
  },
  {
    op: 'concat',
    cases: (
      [
        [[[3]], 0],
        [[[2], [0], [5]], 0],
        [
          [
            [2, 3],
            [4, 3],
          ],
          0,
        ],
        [
          [
            [2, 3],
            [2, 1],
            [2, 7],
          ],
          -1,
        ],
        [
          [
            [2, 1, 3],
            [2, 4, 3],
          ],
          1,
        ],
      ] as const
    ).map(([parts, axis]) =>
      one(
        parts.map((shape) => x(shape)),
        (...tensors) => shapes.concat(tensors, axis),
        (...hosts) => {
          const along = axis < 0 ? axis + hosts[0].shape.length : axis
          const shape = hosts[0].shape.map((e, i) => (i === along ? total(hosts.map((h) => h.shape[along])) : e))
          return build(shape, (index) => {
            let i = index[along]
            for (const h of hosts) {
              if (i < h.shape[along])
                return at(
                  h,
                  index.map((v, k) => (k === along ? i : v)),
                )
              i -= h.shape[along]
            }
            throw new Error('unreachable')
          })
        },
      ),
    ),
    bad: [
      bad(ShapeError, /concat: at least one tensor is needed/, () => shapes.concat([])),
      bad(ShapeError, /concat: tensors must agree but for axis 0: \[2, 3\] and \[2, 4\]/, (t) =>
        shapes.concat([t([2, 3]), t([2, 4])]),
      ),
      bad(DTypeError, /concat: tensors\[1\] must be f32 like tensors\[0\], got i32/, (t) =>
        shapes.concat([t([2]), t([2], 'i32')]),
      ),
    ],
  },
]

// ---- reductions ----

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

const largest = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity)
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

const reductionRows: Row[] = [
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

// ---- rows ----

const rowsOf = (a: Host, index: Host): Host =>
  build([index.data.length, ...a.shape.slice(1)], ([i, ...rest]) => at(a, [index.data[i], ...rest]))

const rowRows: Row[] = [
  {
    op: 'gatherRows',
    cases: [
      one([x([5, 3]), integers([4], [4, 0, 4, 2])], gatherRows, rowsOf),
      one([x([5]), integers([2], [3, 3])], gatherRows, rowsOf),
      one([x([3, 2, 3]), integers([0], [])], gatherRows, rowsOf),
      one([x([2, 0]), integers([2], [1, 0])], gatherRows, rowsOf),
      one([bytes([4, 5]), integers([2], [1, 3])], gatherRows, rowsOf, { dtypes: ['f32'] }),
      one(
        [
          x([50, 701]),
          integers(
            [60],
            Array.from({ length: 60 }, (_, i) => (i * 7) % 50),
          ),
        ],
        gatherRows,
        rowsOf,
        {
          gradient: 'compare',
        },
      ),
    ],
    bad: [
      bad(DTypeError, /gatherRows: index must be i32, got f32/, (t) => gatherRows(t([3, 2]), t([2]))),
      bad(ShapeError, /gatherRows: index must be \[count\], got \[1, 2\]/, (t) =>
        gatherRows(t([3, 2]), t([1, 2], 'i32')),
      ),
      bad(ShapeError, /gatherRows: x must be \[rows\], got \[\]/, (t) => gatherRows(t([]), t([2], 'i32'))),
    ],
  },
  {
    op: 'scatterRows',
    cases: [
      one(
        [fixed([5, 3]), integers([4], [4, 0, 4, 2]), fixed([4, 3])],
        (a, index, v) => {
          scatterRows(a, index, v)
          return a
        },
        (a, index, v) => {
          const out = { ...a, data: a.data.slice() }
          for (const [i, row] of index.data.entries()) out.data.set(v.data.subarray(i * 3, i * 3 + 3), row * 3) // the last wins
          return out
        },
      ),
      one(
        [bytes([3, 2]), integers([1], [1]), bytes([1, 2])],
        (a, index, v) => {
          scatterRows(a, index, v)
          return a
        },
        (a, _, v) => host([3, 2], [a.data[0], a.data[1], v.data[0], v.data[1], a.data[4], a.data[5]]),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(DTypeError, /scatterRows: index must be i32, got u8/, (t) => scatterRows(t([3, 2]), t([1], 'u8'), t([1, 2]))),
      bad(ShapeError, /scatterRows: values must be \[2, 2\], got \[3, 2\]/, (t) =>
        scatterRows(t([3, 2]), t([2], 'i32'), t([3, 2])),
      ),
      bad(DTypeError, /scatterRows: values must be f32 like x, got f64/, (t) =>
        scatterRows(t([3, 2]), t([1], 'i32'), t([1, 2], 'f64')),
      ),
    ],
  },
  {
    op: 'pick',
    cases: [
      one([x([4, 3]), integers([4], [2, 0, 1, 2])], pick, (a, index) => build([4], ([i]) => at(a, [i, index.data[i]]))),
      one([x([0, 3]), integers([0], [])], pick, () => host([0], [])),
      one([x([1, 1]), integers([1], [0])], pick, (a) => host([1], a.data)),
    ],
    bad: [
      bad(ShapeError, /pick: x must be \[rows, columns\], got \[3\]/, (t) => pick(t([3]), t([3], 'i32'))),
      bad(ShapeError, /pick: index must be \[3\], got \[2\]/, (t) => pick(t([3, 2]), t([2], 'i32'))),
      bad(DTypeError, /pick: index must be i32, got f32/, (t) => pick(t([3, 2]), t([3]))),
      bad(DTypeError, /pick: x must be f32 or f64 or bf16, got i32/, (t) => pick(t([3, 2], 'i32'), t([3], 'i32'))),
    ],
  },
]

// ---- linear algebra ----

const product = (a: Host, b: Host, bias?: Host): Host => {
  const [m, k] = a.shape
  const n = b.shape[1]
  const y = new Float64Array(m * n)
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let s = bias?.data[j] ?? 0
      for (let l = 0; l < k; l++) s += a.data[i * k + l] * b.data[l * n + j]
      y[i * n + j] = s
    }
  return { shape: [m, n], data: y }
}
const products = [
  [1, 1, 1],
  [3, 5, 2],
  [7, 8, 9],
  [17, 1, 16],
  [1, 33, 5],
  [4, 0, 3],
  [0, 3, 2],
  [3, 4, 0],
] as const
const largeProducts = [
  [64, 640, 10],
  [33, 127, 65],
  [131, 16, 130],
] as const
const sums: Case['tolerance'] = { f32: { rtol: 4e-6, atol: 2e-6 }, bf16: { rtol: 2 ** -8, atol: 2 ** -12 } }

const linearRows: Row[] = [
  {
    op: 'matmul',
    cases: [
      ...products.map(([m, k, n]) => one([x([m, k]), x([k, n])], matmul, (a, b) => product(a, b), { tolerance: sums })),
      ...largeProducts.map(([m, k, n]) =>
        one([x([m, k]), x([k, n])], matmul, (a, b) => product(a, b), { tolerance: sums, gradient: 'compare' }),
      ),
      one([given([2, 2], [Number.NaN, 1, 0, 2]), given([2, 2], [1, Infinity, 1, 1])], matmul, (a, b) => product(a, b)),
    ],
    bad: [
      bad(ShapeError, /matmul: b must be \[3, n\] \(a has 3 columns\), got \[2, 3\]/, (t) =>
        matmul(t([2, 3]), t([2, 3])),
      ),
      bad(ShapeError, /matmul: a must be \[m, k\], got \[3\]/, (t) => matmul(t([3]), t([3, 2]))),
      bad(DTypeError, /matmul: b must be f32 like a, got f64/, (t) => matmul(t([2, 3]), t([3, 2], 'f64'))),
      bad(DTypeError, /matmul: a must be f32 or f64 or bf16, got i32/, (t) =>
        matmul(t([1, 1], 'i32'), t([1, 1], 'i32')),
      ),
    ],
  },
  {
    op: 'linear',
    cases: [
      ...products.map(([m, k, n]) =>
        one([x([m, k]), x([k, n]), x([n])], linear, (a, b, bias) => product(a, b, bias), { tolerance: sums }),
      ),
      one(
        [x([3, 4]), x([4, 2])],
        (a, b) => linear(a, b),
        (a, b) => product(a, b),
        { tolerance: sums },
      ),
      ...largeProducts.map(([m, k, n]) =>
        one([x([m, k]), x([k, n]), x([n])], linear, (a, b, bias) => product(a, b, bias), {
          tolerance: sums,
          gradient: 'compare',
        }),
      ),
    ],
    bad: [
      bad(ShapeError, /linear: weight must be \[3, out\] \(x has 3 features\), got \[4, 2\]/, (t) =>
        linear(t([2, 3]), t([4, 2])),
      ),
      bad(ShapeError, /linear: bias must be \[2\], got \[3\]/, (t) => linear(t([2, 3]), t([3, 2]), t([3]))),
      bad(ShapeError, /linear: x must be \[batch, in\], got \[2\]/, (t) => linear(t([2]), t([3, 2]))),
      bad(DTypeError, /linear: bias must be f32 like x, got bf16/, (t) => linear(t([2, 3]), t([3, 2]), t([2], 'bf16'))),
    ],
  },
]

// ---- convolution; test/ops/conv2d.test.ts has the ladder of sizes ----

const leaky = (slope: number) => (v: number) => (v > 0 ? v : slope * v)

const convolutionRows: Row[] = [
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
        { tolerance: sums, gradient: 'compare' },
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
        { tolerance: sums, gradient: 'compare' },
      ),
    ],
    bad: [
      bad(ShapeError, /conv2d: weight must be/, (t) =>
        conv2dBoth(t([1, 8, 8, 3]), t([3, 3, 4, 4]), { leakySlope: 0.2 }),
      ),
    ],
  },
]

// ---- pooling ----

const pooled = (a: Host, window: number, stride: number): Host => {
  const [batch, height, width, channels] = a.shape
  const out = (extent: number): number => Math.floor((extent - window) / stride) + 1
  return build([batch, out(height), out(width), channels], ([n, i, j, c]) => {
    let s = 0
    for (let u = 0; u < window; u++) for (let v = 0; v < window; v++) s += at(a, [n, i * stride + u, j * stride + v, c])
    return s / window ** 2
  })
}

const poolRows: Row[] = [
  {
    op: 'avgPool2d',
    cases: [
      ...(
        [
          [[1, 4, 4, 1], 2, 2],
          [[2, 5, 7, 3], 2, 2],
          [[2, 6, 5, 17], 3, 2],
          [[1, 4, 4, 2], 2, 1],
          [[1, 5, 5, 2], 1, 3],
          [[0, 4, 4, 2], 2, 2],
          [[1, 7, 7, 5], 7, 7],
        ] as const
      ).map(([shape, window, stride]) =>
        one(
          [x(shape)],
          (a) => avgPool2d(a, window, stride),
          (a) => pooled(a, window, stride),
          { tolerance: sums },
        ),
      ),
      one(
        [x([9, 28, 28, 13])],
        (a) => avgPool2d(a, 2),
        (a) => pooled(a, 2, 2),
        { tolerance: sums, gradient: 'compare' },
      ),
    ],
    bad: [
      bad(ShapeError, /avgPool2d: x must be \[batch, height, width, channels\], got \[4, 4\]/, (t) =>
        avgPool2d(t([4, 4]), 2),
      ),
      bad(ShapeError, /avgPool2d: window 5 with stride 5 does not fit x \[1, 4, 4, 2\]/, (t) =>
        avgPool2d(t([1, 4, 4, 2]), 5),
      ),
      bad(ShapeError, /avgPool2d: window 2 with stride 0/, (t) => avgPool2d(t([1, 4, 4, 2]), 2, 0)),
      bad(ShapeError, /avgPool2d: window 1.5 with stride 1.5/, (t) => avgPool2d(t([1, 4, 4, 2]), 1.5)),
      bad(DTypeError, /avgPool2d: x must be f32 or f64 or bf16, got u8/, (t) => avgPool2d(t([1, 4, 4, 2], 'u8'), 2)),
    ],
  },
  {
    op: 'globalAvgPool',
    cases: [
      one([x([2, 3, 5, 4])], globalAvgPool, (a) => reduce(a, [1, 2], false, (v) => total(v) / v.length), {
        tolerance: { ...sums, ...twice },
      }),
      one([x([16, 7, 7, 65])], globalAvgPool, (a) => reduce(a, [1, 2], false, (v) => total(v) / v.length), {
        tolerance: { ...sums, ...twice },
        gradient: 'compare',
      }),
    ],
    bad: [
      bad(ShapeError, /globalAvgPool: x must be \[batch, height, width, channels\], got \[4, 4\]/, (t) =>
        globalAvgPool(t([4, 4])),
      ),
    ],
  },
]

// ---- norms ----

/** Statistics over the indices that share `group(n, channel)`. */
function normalised(
  a: Host,
  groups: number,
  group: (n: number, c: number) => number,
  { gamma, beta, eps = 1e-5 }: { gamma?: Host; beta?: Host; eps?: number },
): Host[] {
  const members: number[][] = Array.from({ length: groups }, () => [])
  const channels = a.shape[3]
  const perImage = a.shape[1] * a.shape[2] * channels
  const groupOf = (flat: number): number => group(Math.floor(flat / perImage), flat % channels)
  a.data.forEach((v, i) => {
    members[groupOf(i)].push(v)
  })
  const means = members.map((v) => total(v) / v.length)
  const rstds = members.map((v, g) => 1 / Math.sqrt(total(v.map((u) => (u - means[g]) ** 2)) / v.length + eps))
  const y = map(a, (v, i) => {
    const g = groupOf(i)
    return (v - means[g]) * rstds[g] * (gamma?.data[i % channels] ?? 1) + (beta?.data[i % channels] ?? 0)
  })
  return [y, host([groups], means), host([groups], rstds)]
}

function normRow(
  op: string,
  run: (x: Tensor, options: NormOptions) => { y: Tensor; mean: Tensor; rstd: Tensor },
  groupsOf: (shape: readonly number[]) => number,
  group: (n: number, c: number, channels: number) => number,
): Row {
  const all = (n: { y: Tensor; mean: Tensor; rstd: Tensor }): Tensor[] => [n.y, n.mean, n.rstd]
  const tolerance: Case['tolerance'] = { f32: { rtol: 1e-5, atol: 2e-6 }, bf16: { rtol: 2 ** -7, atol: 2 ** -9 } }
  const reference =
    (eps?: number) =>
    (a: Host, gamma?: Host, beta?: Host): Host[] =>
      normalised(a, groupsOf(a.shape), (n, c) => group(n, c, a.shape[3]), { gamma, beta, eps })
  return {
    op,
    cases: [
      ...(
        [
          [2, 2, 3, 2],
          [3, 2, 2, 6],
          [1, 1, 5, 4],
        ] as const
      ).map((shape) =>
        one([x(shape), x([shape[3]]), x([shape[3]])], (a, gamma, beta) => all(run(a, { gamma, beta })), reference(), {
          tolerance,
        }),
      ),
      one([x([2, 3, 2, 4])], (a) => all(run(a, { eps: 0.1 })), reference(0.1), { tolerance }),
      one([x([2, 3, 2, 4]), x([4])], (a, gamma) => all(run(a, { gamma })), reference(), { tolerance }),
      // a mean far from 0: variance by E[x²] − mean² would lose it
      one([x([3, 4, 5, 2], { low: 99, high: 101 })], (a) => all(run(a, {})), reference(), {
        // the inputs themselves are 100 times coarser than their spread
        tolerance: { f64: { rtol: 1e-12, atol: 1e-13 }, f32: { rtol: 1e-4, atol: 1e-5 } },
        dtypes: masters,
      }),
      one([x([6, 13, 17, 34]), x([34]), x([34])], (a, gamma, beta) => all(run(a, { gamma, beta })), reference(), {
        tolerance,
        gradient: 'compare',
      }),
    ],
    bad: [
      bad(ShapeError, new RegExp(`^${op}: x must be \\[batch, height, width, channels\\], got \\[4, 4\\]`), (t) =>
        run(t([4, 4]), {}),
      ),
      bad(ShapeError, new RegExp(`^${op}: gamma must be \\[4\\] \\(x has 4 channels\\), got \\[3\\]`), (t) =>
        run(t([1, 2, 2, 4]), { gamma: t([3]) }),
      ),
      bad(ShapeError, new RegExp(`^${op}: beta must be \\[4\\] \\(x has 4 channels\\), got \\[2, 2\\]`), (t) =>
        run(t([1, 2, 2, 4]), { beta: t([2, 2]) }),
      ),
      bad(DTypeError, new RegExp(`^${op}: gamma must be f32 like x, got f64`), (t) =>
        run(t([1, 2, 2, 4]), { gamma: t([4], 'f64') }),
      ),
      bad(DTypeError, new RegExp(`^${op}: x must be f32 or f64 or bf16, got i32`), (t) =>
        run(t([1, 2, 2, 4], 'i32'), {}),
      ),
    ],
  }
}

const normRows: Row[] = [
  normRow(
    'batchNorm',
    batchNorm,
    (s) => s[3],
    (_, c) => c,
  ),
  normRow(
    'instanceNorm',
    instanceNorm,
    (s) => s[0] * s[3],
    (n, c, channels) => n * channels + c,
  ),
  normRow(
    'groupNorm',
    (a, options) => groupNorm(a, 1, options),
    (s) => s[0],
    (n) => n,
  ),
  normRow(
    'groupNorm',
    (a, options) => groupNorm(a, 2, options),
    (s) => s[0] * 2,
    (n, c, channels) => n * 2 + Math.floor(c / (channels / 2)),
  ),
  {
    op: 'groupNorm',
    cases: [],
    bad: [
      bad(ShapeError, /groupNorm: groups must divide the 6 channels of x, got 4/, (t) => groupNorm(t([1, 2, 2, 6]), 4)),
      bad(ShapeError, /groupNorm: groups must divide the 6 channels of x, got 0/, (t) => groupNorm(t([1, 2, 2, 6]), 0)),
    ],
  },
  {
    op: 'channelAffine',
    cases: [
      ...([[7], [3, 5], [2, 2, 3, 17], [0, 4], [2, 1]] as const).map((shape) => {
        const channels = shape[shape.length - 1]
        return one(
          [x(shape), x([channels]), x([channels])],
          channelAffine,
          (a, scale, shift) => zip((v, s, b) => v * s + b, a, scale, shift),
          { tolerance: twice },
        )
      }),
      one(
        [x([311, 67]), x([67]), x([67])],
        channelAffine,
        (a, scale, shift) => zip((v, s, b) => v * s + b, a, scale, shift),
        {
          tolerance: twice,
          gradient: 'compare',
        },
      ),
    ],
    bad: [
      bad(ShapeError, /channelAffine: scale must be \[3\] \(x has 3 channels\), got \[2\]/, (t) =>
        channelAffine(t([2, 3]), t([2]), t([3])),
      ),
      bad(ShapeError, /channelAffine: shift must be \[3\] \(x has 3 channels\), got \[1\]/, (t) =>
        channelAffine(t([2, 3]), t([3]), t([1])),
      ),
      bad(DTypeError, /channelAffine: scale must be f32 like x, got f64/, (t) =>
        channelAffine(t([2, 3]), t([3], 'f64'), t([3])),
      ),
    ],
  },
]

// ---- heads ----

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

const headRows: Row[] = [
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

// ---- random ----

const seeds = [7, 2 ** 52 + 12345]
const randomShapes = [[], [0], [1], [63], [64], [67], [3, 5, 2], largeShape] as const
const normals: Case['tolerance'] = { f64: { rtol: 2e-6, atol: 2e-7 }, f32: { rtol: 2e-6, atol: 2e-7 } }

/** A source whose second draw is used: one that ignores the step would show. */
function source(seed: number, purpose: ConstructorParameters<typeof Generator>[1] = 'user', stream = 0): Generator {
  const generator = new Generator(seed, purpose, stream)
  generator.next()
  return generator
}

const randomRows: Row[] = [
  {
    op: 'uniform',
    cases: seeds.flatMap((seed) =>
      randomShapes.flatMap((shape) =>
        floats.map((dtype) =>
          one(
            [],
            () => uniform(shape, source(seed, 'noise', 3), { low: -1, high: 3, dtype }),
            () =>
              map(
                build(shape, () => 0),
                (_, i) => -1 + 4 * uniformsOf(source(seed, 'noise', 3), i),
              ),
            { dtypes: ['f32'] },
          ),
        ),
      ),
    ),
    bad: [
      bad(DTypeError, /uniform: dtype must be f32 or f64 or bf16, got i32/, () =>
        uniform([2], new Generator(0), { dtype: 'i32' }),
      ),
      bad(ShapeError, /extents must be whole numbers >= 0, got \[-1\]/, () => uniform([-1], new Generator(0))),
    ],
  },
  {
    op: 'normal',
    cases: seeds.flatMap((seed) =>
      randomShapes.flatMap((shape) =>
        floats.map((dtype) =>
          one(
            [],
            () => normal(shape, source(seed, 'sgld', 2), { mean: 0.5, std: 2, dtype }),
            () =>
              map(
                build(shape, () => 0),
                (_, i) => 0.5 + 2 * boxMuller(source(seed, 'sgld', 2), i),
              ),
            { dtypes: ['f32'], tolerance: normals },
          ),
        ),
      ),
    ),
    bad: [
      bad(DTypeError, /normal: dtype must be f32 or f64 or bf16, got u8/, () =>
        normal([2], new Generator(0), { dtype: 'u8' }),
      ),
    ],
  },
  {
    op: 'randomInt',
    cases: (
      [
        [0, 10],
        [-2147483648, 2147483648],
        [5, 6],
        [-3, 4],
      ] as const
    ).flatMap(([low, high]) =>
      randomShapes.map((shape) =>
        one(
          [],
          () => randomInt(shape, source(11, 'buffer'), { low, high }),
          () =>
            map(
              build(shape, () => 0),
              (_, i) => low + Number((BigInt(wordsOf(source(11, 'buffer'), i)) * BigInt(high - low)) >> 32n),
            ),
          { dtypes: ['f32'] },
        ),
      ),
    ),
    bad: [
      bad(ConfigError, /randomInt: low < high must be whole numbers of 32 bits, got \[3, 3\)/, () =>
        randomInt([2], new Generator(0), { low: 3, high: 3 }),
      ),
      bad(ConfigError, /randomInt: .* got \[0, 4294967296\)/, () =>
        randomInt([2], new Generator(0), { high: 2 ** 32 }),
      ),
      bad(ConfigError, /randomInt: .* got \[0, 1.5\)/, () => randomInt([2], new Generator(0), { high: 1.5 })),
    ],
  },
  {
    op: 'dropout',
    cases: [0, 0.25, 0.5, 0.9].flatMap((p) =>
      [[17], [3, 5], [0], largeShape].map((shape) =>
        one(
          [x(shape)],
          (a) => dropout(a, p, source(5, 'dropout')),
          (a) => map(a, (v, i) => (uniformsOf(source(5, 'dropout'), i) >= p ? v / (1 - p) : 0)),
          { gradient: shape === largeShape ? 'compare' : 'check' },
        ),
      ),
    ),
    bad: [
      bad(ConfigError, /dropout: p must be in \[0, 1\), got 1/, (t) => dropout(t([2]), 1, new Generator(0))),
      bad(ConfigError, /dropout: p must be in \[0, 1\), got -0.5/, (t) => dropout(t([2]), -0.5, new Generator(0))),
      bad(DTypeError, /dropout: x must be f32 or f64 or bf16, got i32/, (t) =>
        dropout(t([2], 'i32'), 0.5, new Generator(0)),
      ),
    ],
  },
]

// ---- training ----

function sgldCase(shape: readonly number[], options: SgldOptions): Case {
  const { stepSize, noiseStd, gradientClip, clamp } = options
  return one(
    [fixed(shape), fixed(shape)],
    (state, g) => {
      sgldUpdate(state, g, source(9, 'sgld'), options)
      return state
    },
    (state, g) =>
      map(state, (v, i) => {
        const clipped = gradientClip ? Math.max(-gradientClip, Math.min(gradientClip, g.data[i])) : g.data[i]
        const next = v + stepSize * clipped + (noiseStd === 0 ? 0 : noiseStd * boxMuller(source(9, 'sgld'), i))
        return clamp ? Math.max(clamp[0], Math.min(clamp[1], next)) : next
      }),
    { tolerance: { ...normals, bf16: { rtol: 2 ** -8, atol: 2 ** -8 } } },
  )
}

const clipped = (scale: Host | undefined): number => scale?.data[0] ?? 1

interface AdamOptions {
  lr: number
  beta1: number
  beta2: number
  eps: number
  weightDecay: number
  step: number
}
function adamOf(p: Host, g: Host, m: Host, v: Host, o: AdamOptions, scale?: Host): [Host, Host, Host] {
  const gradient = g.data.map((value, i) => value * clipped(scale) + o.weightDecay * p.data[i])
  const first = map(m, (value, i) => o.beta1 * value + (1 - o.beta1) * gradient[i])
  const second = map(v, (value, i) => o.beta2 * value + (1 - o.beta2) * gradient[i] ** 2)
  const next = map(
    p,
    (value, i) =>
      value -
      (o.lr * (first.data[i] / (1 - o.beta1 ** o.step))) /
        (Math.sqrt(second.data[i] / (1 - o.beta2 ** o.step)) + o.eps),
  )
  return [next, first, second]
}

const scaleInput: Input = { ...given([1], [0.37]), dtype: 'f64' }
const positive = { low: 0.01, high: 2 }
const updates: Case['tolerance'] = { f32: { rtol: 4e-6, atol: 1e-6 } }

const trainingRows: Row[] = [
  {
    op: 'sgldUpdate',
    cases: [
      sgldCase([67], { stepSize: 1, noiseStd: 0.01 }),
      sgldCase([], { stepSize: 1, noiseStd: 0.01 }),
      sgldCase([0], { stepSize: 1, noiseStd: 0.01 }),
      sgldCase([3, 7, 5], { stepSize: 0.5, noiseStd: 0 }),
      sgldCase([129], { stepSize: 2, noiseStd: 0.1, gradientClip: 0.3 }),
      sgldCase([129], { stepSize: 2, noiseStd: 0.1, gradientClip: 0.3, clamp: [-1, 1] }),
      sgldCase(largeShape, { stepSize: 1, noiseStd: 0.5, clamp: [-1, 1] }),
    ],
    bad: [
      bad(ShapeError, /sgldUpdate: g must be \[3\], got \[2\]/, (t) =>
        sgldUpdate(t([3]), t([2]), new Generator(0), { stepSize: 1, noiseStd: 0 }),
      ),
      bad(DTypeError, /sgldUpdate: g must be f32 like x, got f64/, (t) =>
        sgldUpdate(t([3]), t([3], 'f64'), new Generator(0), { stepSize: 1, noiseStd: 0 }),
      ),
      bad(DTypeError, /sgldUpdate: x must be f32 or f64 or bf16, got u8/, (t) =>
        sgldUpdate(t([3], 'u8'), t([3], 'u8'), new Generator(0), { stepSize: 1, noiseStd: 0 }),
      ),
    ],
  },
  {
    op: 'adamUpdate',
    cases: [
      { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, step: 1 },
      { lr: 0.1, beta1: 0.5, beta2: 0.9, eps: 1e-3, weightDecay: 0.1, step: 37 },
    ].flatMap((options) => [
      one(
        [[17], [3, 5]].flatMap((s) => [fixed(s), fixed(s), fixed(s), fixed(s, positive)]),
        (p, g, m, v, p2, g2, m2, v2) => {
          adamUpdate([p, p2], [g, g2], [m, m2], [v, v2], options)
          return [p, m, v, p2, m2, v2]
        },
        (p, g, m, v, p2, g2, m2, v2) => [...adamOf(p, g, m, v, options), ...adamOf(p2, g2, m2, v2, options)],
        { dtypes: masters, tolerance: updates },
      ),
      one(
        [fixed(largeShape), fixed(largeShape), fixed(largeShape), fixed(largeShape, positive), scaleInput],
        (p, g, m, v, scale) => {
          adamUpdate([p], [g], [m], [v], options, scale)
          return [p, m, v]
        },
        (p, g, m, v, scale) => adamOf(p, g, m, v, options, scale),
        { dtypes: masters, tolerance: updates },
      ),
    ]),
    bad: (() => {
      const options = { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, step: 1 }
      return [
        bad(ShapeError, /adamUpdate: gradients must have 2 tensors like parameters, got 1/, (t) =>
          adamUpdate([t([2]), t([3])], [t([2])], [], [], options),
        ),
        bad(ShapeError, /adamUpdate: secondMoments\[0\] must be \[2\] \(as parameters\[0\]\), got \[3\]/, (t) =>
          adamUpdate([t([2])], [t([2])], [t([2])], [t([3])], options),
        ),
        bad(DTypeError, /adamUpdate: gradients\[0\] must be f32 like parameters\[0\], got bf16/, (t) =>
          adamUpdate([t([2])], [t([2], 'bf16')], [t([2])], [t([2])], options),
        ),
        bad(DTypeError, /adamUpdate: parameters must be f32 or f64, got bf16/, (t) =>
          adamUpdate([t([2], 'bf16')], [t([2], 'bf16')], [t([2], 'bf16')], [t([2], 'bf16')], options),
        ),
        bad(DTypeError, /adamUpdate: gradientScale must be f64, got f32/, (t) =>
          adamUpdate([t([2])], [t([2])], [t([2])], [t([2])], options, t([1])),
        ),
      ]
    })(),
  },
  {
    op: 'sgdUpdate',
    cases: [
      { lr: 0.1, momentum: 0, weightDecay: 0 },
      { lr: 0.05, momentum: 0.9, weightDecay: 0.01 },
    ].flatMap((options) =>
      [[19], largeShape].map((shape) =>
        one(
          [fixed(shape), fixed(shape), fixed(shape), scaleInput],
          (p, g, v, scale) => {
            sgdUpdate([p], [g], [v], options, scale)
            return [p, v]
          },
          (p, g, v, scale) => {
            const velocity = map(
              v,
              (u, i) => options.momentum * u + g.data[i] * clipped(scale) + options.weightDecay * p.data[i],
            )
            return [map(p, (u, i) => u - options.lr * velocity.data[i]), velocity]
          },
          { dtypes: masters, tolerance: updates },
        ),
      ),
    ),
    bad: [
      bad(ShapeError, /sgdUpdate: velocities\[0\] must be \[2\]/, (t) =>
        sgdUpdate([t([2])], [t([2])], [t([1, 2])], { lr: 1, momentum: 0, weightDecay: 0 }),
      ),
    ],
  },
  {
    op: 'movingAverage',
    cases: [[], [17], largeShape].map((shape) =>
      one(
        [fixed(shape), fixed(shape)],
        (a, v) => {
          movingAverage([a], [v], 0.9)
          return a
        },
        (a, v) => zip((u, w) => 0.9 * u + 0.1 * w, a, v),
        { dtypes: masters, tolerance: updates },
      ),
    ),
    bad: [
      bad(ShapeError, /movingAverage: values must have 1 tensors like averages, got 0/, (t) =>
        movingAverage([t([2])], [], 0.9),
      ),
      bad(ShapeError, /movingAverage: values\[0\] must be \[2\] \(as averages\[0\]\), got \[3\]/, (t) =>
        movingAverage([t([2])], [t([3])], 0.9),
      ),
    ],
  },
  {
    op: 'sumOfSquares',
    cases: [
      one(
        [fixed([17]), fixed([0]), fixed([3, 5])],
        (...list) => sumOfSquares(list),
        (...list) => host([1], [total(list.flatMap((a) => [...a.data].map((v) => v * v)))]),
        { tolerance: { f64: { rtol: 1e-12, atol: 0 } } },
      ),
      one(
        [fixed(largeShape), fixed([1])],
        (...list) => sumOfSquares(list),
        (...list) => host([1], [total(list.flatMap((a) => [...a.data].map((v) => v * v)))]),
        { tolerance: { f64: { rtol: 1e-12, atol: 0 } } },
      ),
      one(
        [],
        () => sumOfSquares([]),
        () => host([1], [0]),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(DTypeError, /sumOfSquares: tensors\[1\] must be f32 or f64 or bf16, got i32/, (t) =>
        sumOfSquares([t([2]), t([2], 'i32')]),
      ),
    ],
  },
  {
    op: 'clipScale',
    cases: [0, 0.25, 16].map((squares) =>
      one(
        [{ ...given([1], [squares]), dtype: 'f64' }],
        (s) => clipScale(s, 1.5),
        (s) => map(s, (v) => Math.min(1, 1.5 / (Math.sqrt(v) + 1e-6))),
        { dtypes: ['f64'] },
      ),
    ),
    bad: [
      bad(DTypeError, /clipScale: sumOfSquares must be f64, got f32/, (t) => clipScale(t([1]), 1)),
      bad(ShapeError, /clipScale: sumOfSquares must be \[1\], got \[2\]/, (t) => clipScale(t([2], 'f64'), 1)),
    ],
  },
  {
    op: 'imageBatch',
    cases: [
      { padding: 0, flip: false, noiseStd: 0 },
      { padding: 2, flip: true, noiseStd: 0 },
      { padding: 1, flip: true, noiseStd: 0.3 },
    ].flatMap((options) =>
      (
        [
          [4, 5, 6, 3, 3],
          [3, 28, 28, 1, 40],
        ] as const
      ).map(([n, height, width, channels, count]) =>
        one(
          [
            bytes([n, height, width, channels]),
            integers(
              [count],
              Array.from({ length: count }, (_, i) => (i * 5 + 1) % n),
            ),
          ],
          (images, index) => imageBatch(images, index, source(3, 'augment', 1), options),
          (images, index) => {
            const { padding, flip, noiseStd } = options
            const noise = source(3, 'augment', 1)
            return map(
              build([count, height, width, channels], ([i, row, column, c]) => {
                const words = wordsOf(noise, 4 * i, 1, 3)
                const top = Number((BigInt(words[0]) * BigInt(2 * padding + 1)) >> 32n)
                const left = Number((BigInt(words[1]) * BigInt(2 * padding + 1)) >> 32n)
                const across = flip && words[2] >>> 31 ? width - 1 - column : column
                const from = [
                  index.data[i],
                  mirror(row + top - padding, height),
                  mirror(across + left - padding, width),
                  c,
                ]
                return at(images, from) / 127.5 - 1
              }),
              (v, e) => v + (noiseStd === 0 ? 0 : noiseStd * boxMuller(noise, e)),
            )
          },
          { dtypes: ['f32'], tolerance: { f32: { rtol: 2e-6, atol: 2e-7 } } },
        ),
      ),
    ),
    bad: [
      bad(DTypeError, /imageBatch: images must be u8, got f32/, (t) =>
        imageBatch(t([1, 4, 4, 1]), t([1], 'i32'), new Generator(0), { padding: 0, flip: false, noiseStd: 0 }),
      ),
      bad(DTypeError, /imageBatch: index must be i32, got f32/, (t) =>
        imageBatch(t([1, 4, 4, 1], 'u8'), t([1]), new Generator(0), { padding: 0, flip: false, noiseStd: 0 }),
      ),
      bad(ShapeError, /imageBatch: images must be \[n, height, width, channels\], got \[4, 4\]/, (t) =>
        imageBatch(t([4, 4], 'u8'), t([1], 'i32'), new Generator(0), { padding: 0, flip: false, noiseStd: 0 }),
      ),
      bad(
        ShapeError,
        /imageBatch: padding must be a whole number below height and width of images \[1, 4, 4, 1\], got 4/,
        (t) =>
          imageBatch(t([1, 4, 4, 1], 'u8'), t([1], 'i32'), new Generator(0), { padding: 4, flip: false, noiseStd: 0 }),
      ),
    ],
  },
]

/** What these allocate comes after all checks: a disposed argument must be told before. */
const disposedRows: Row[] = (
  [
    ['cast', (a) => cast(a, 'f64')],
    ['transpose', (a) => shapes.transpose(a)],
    ['broadcastTo', (a) => shapes.broadcastTo(a, [2, 2, 3])],
    ['slice', (a) => shapes.slice(a, [0, 0], [1, 1])],
    ['flip', (a) => shapes.flip(a, 0)],
    ['concat', (a) => shapes.concat([a])],
    ['sum', (a) => sum(a)],
    ['max', (a) => max(a)],
    ['matmul', (a) => matmul(a, a)],
    ['softmax', (a) => softmax(a)],
  ] as const satisfies readonly (readonly [string, (a: Tensor) => Tensor])[]
).map(([op, run]) => ({
  op,
  cases: [],
  bad: [bad(DeviceError, /\[2, 3\] is used after it was disposed/, (t) => run(disposed(t([2, 3]))))],
}))

export const rows: readonly Row[] = [
  ...disposedRows,
  ...unaryRows,
  ...arithmeticRows,
  ...castRows,
  ...shapeRows,
  ...reductionRows,
  ...rowRows,
  ...linearRows,
  ...convolutionRows,
  ...poolRows,
  ...normRows,
  ...headRows,
  ...randomRows,
  ...trainingRows,
]

/** Exports of src/ops that are no ops: argument checks, layouts, and buffers of no numbers. */
export const notOps: ReadonlySet<string> = new Set(['signBits'])
