import { record, wantsGrad } from '../autograd/graph.ts'
import { ShapeError } from '../errors.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectAlike, expectDType, expectShape, shapeText } from './check.ts'
import { currentPrecision, multiplying, type Precision, rounded } from './precision.ts'
import { sum } from './reduce.ts'

interface Factor {
  x: Tensor
  transpose?: boolean
}

/** op(a)·op(b) + bias without history; op is the matrix or its transpose. */
function product(precision: Precision, a: Factor, b: Factor, bias?: Tensor): Tensor {
  const [m, k] = a.transpose ? [a.x.shape[1], a.x.shape[0]] : a.x.shape
  const n = b.transpose ? b.x.shape[0] : b.x.shape[1]
  const y = empty([m, n], a.x.dtype, a.x.device)
  multiplying(a.x, precision).matmul(
    a.x.handle,
    b.x.handle,
    bias?.handle ?? 0,
    y.handle,
    m,
    n,
    k,
    a.transpose ? 1 : 0,
    b.transpose ? 1 : 0,
  )
  return y
}

/** a [m, k] · b [k, n] → [m, n]; f32, f64, bf16 (accumulated in f32). Throws ShapeError, DTypeError. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  return rounded([a, b], (a_, b_) => matmulAlike(a_!, b_!))
}

function matmulAlike(a: Tensor, b: Tensor): Tensor {
  const precision = currentPrecision()
  expectDType('matmul', 'a', a)
  expectAlike('matmul', { a, b })
  expectShape('matmul', 'a', a, ['m', 'k'])
  if (b.rank !== 2 || b.shape[0] !== a.shape[1]) {
    throw new ShapeError(
      `matmul: b must be [${a.shape[1]}, n] (a has ${a.shape[1]} columns), got ${shapeText(b.shape)}`,
    )
  }
  const save = [wantsGrad(b) ? a : undefined, wantsGrad(a) ? b : undefined] as const
  return record('matmul', product(precision, { x: a }, { x: b }), [a, b], save, (dy, [a_, b_], needs) => [
    needs[0] ? product(precision, { x: dy }, { x: b_!, transpose: true }) : undefined, // dy·bᵀ
    needs[1] ? product(precision, { x: a_!, transpose: true }, { x: dy }) : undefined, // aᵀ·dy
  ])
}

/** x [batch, in] · weight [in, out] + bias [out] → [batch, out]. Throws ShapeError, DTypeError. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  return rounded([x, weight, bias], (x_, weight_, bias_) => linearAlike(x_!, weight_!, bias_))
}

function linearAlike(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const precision = currentPrecision()
  expectDType('linear', 'x', x)
  expectAlike('linear', { x, weight, bias })
  const [, inputs] = expectShape('linear', 'x', x, ['batch', 'in'])
  const [, outputs] = expectShape('linear', 'weight', weight, [inputs, 'out'], `x has ${inputs} features`)
  if (bias) expectShape('linear', 'bias', bias, [outputs])
  const save = [wantsGrad(weight) ? x : undefined, wantsGrad(x) ? weight : undefined] as const
  return record(
    'linear',
    product(precision, { x }, { x: weight }, bias),
    [x, weight, bias],
    save,
    (dy, [x_, w_], needs) => [
      needs[0] ? product(precision, { x: dy }, { x: w_!, transpose: true }) : undefined,
      needs[1] ? product(precision, { x: x_!, transpose: true }, { x: dy }) : undefined,
      needs[2] ? sum(dy, { axes: 0 }) : undefined,
    ],
  )
}
