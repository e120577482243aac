/** Element-wise functions of one tensor. */
import { DeviceError, DTypeError, ShapeError } from '../../../src/errors.ts'
import * as unary from '../../../src/ops/unary.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'
import { erf, map } from '../host.ts'
import { edgeShapes, fixed, given, type Input, integers, largeShape, x } from '../samples.ts'

import { bad, type Case, disposed, one, type Row, specials } from '../table.ts'

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

const sigmoidOf = (v: number): number => 1 / (1 + Math.exp(-v))

export const unaryRows: readonly Row[] = [
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
