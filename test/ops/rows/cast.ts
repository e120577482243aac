/** Conversion and copies. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import type { DType } from '../../../src/native/contract.ts'
import { assign, cast, clone } from '../../../src/ops/cast.ts'
import { map } from '../host.ts'
import { edgeShapes, fixed, given, integers, largeShape, x } from '../samples.ts'

import { bad, floats, one, type Row } from '../table.ts'

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

export const castRows: readonly Row[] = [
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
