/** Broadcast element-wise arithmetic and comparisons: [..], [..] → [..], by numpy's rule. Operands are tensors of one
 *  dtype (f32, f64, bf16, i32), or one of them a number. All throw ShapeError, DTypeError, DeviceError. */
import { record, wantsGrad } from '../autograd/graph.ts'
import { binaryKinds, compareKinds, type DType } from '../native/contract.ts'
import { full } from '../tensor/create.ts'
import { isFloat } from '../tensor/dtype.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectAlike, expectDType, expectSameDevice } from './check.ts'
import { broadcastShape, broadcastStrides, dims, strides } from './layout.ts'
import { sumTo } from './reduce.ts'
import { affine, neg, reciprocal, square } from './unary.ts'

export type Operand = Tensor | number

const numberDTypes: readonly DType[] = ['f32', 'f64', 'bf16', 'i32']

function asTensor(value: Operand, like: Operand): Tensor {
  if (typeof value !== 'number') return value
  const options = typeof like === 'number' ? {} : { dtype: like.dtype, device: like.device }
  return full([], value, options)
}

/** fn of both operands as tensors; one made of a number lives no longer than the call. */
function withTensors(x: Operand, y: Operand, fn: (a: Tensor, b: Tensor) => Tensor): Tensor {
  const a = asTensor(x, y)
  const b = asTensor(y, x)
  try {
    return fn(a, b)
  } finally {
    if (a !== x) a.dispose()
    if (b !== y) b.dispose()
  }
}

/** Whether x ∘ y is a·x + b for a number y: one pass, and nothing to broadcast. i32 has no such kernel. */
function isAffine(x: Operand, y: Operand): x is Tensor {
  return typeof y === 'number' && typeof x !== 'number' && isFloat(x.dtype)
}

function binary(op: (typeof binaryKinds)[number], a: Tensor, b: Tensor): Tensor {
  expectDType(op, 'a', a, numberDTypes)
  expectAlike(op, { a, b })
  const shape = broadcastShape(op, a.shape, b.shape)
  const y = empty(shape, a.dtype, a.device)
  a.native.binary(
    binaryKinds.indexOf(op),
    a.handle,
    b.handle,
    y.handle,
    ...dims(shape),
    ...strides(broadcastStrides(a.shape, shape)),
    ...strides(broadcastStrides(b.shape, shape)),
  )
  return y
}

export function add(x: Operand, y: Operand): Tensor {
  if (isAffine(x, y)) return affine(x, 1, y as number)
  return withTensors(x, y, (a, b) =>
    record('add', binary('add', a, b), [a, b], [], (dz, _, needs) => [
      needs[0] ? sumTo(dz, a.shape) : undefined,
      needs[1] ? sumTo(dz, b.shape) : undefined,
    ]),
  )
}

export function sub(x: Operand, y: Operand): Tensor {
  if (isAffine(x, y)) return affine(x, 1, -(y as number))
  return withTensors(x, y, (a, b) =>
    record('sub', binary('sub', a, b), [a, b], [], (dz, _, needs) => [
      needs[0] ? sumTo(dz, a.shape) : undefined,
      needs[1] ? neg(sumTo(dz, b.shape)) : undefined,
    ]),
  )
}

export function mul(x: Operand, y: Operand): Tensor {
  if (isAffine(x, y)) return affine(x, y as number, 0)
  return withTensors(x, y, (a, b) => {
    const save = [wantsGrad(b) ? a : undefined, wantsGrad(a) ? b : undefined] as const
    return record('mul', binary('mul', a, b), [a, b], save, (dz, [a_, b_], needs) => [
      needs[0] ? sumTo(mul(dz, b_!), a.shape) : undefined, // ∂z/∂a = b
      needs[1] ? sumTo(mul(dz, a_!), b.shape) : undefined, // ∂z/∂b = a
    ])
  })
}

export function div(x: Operand, y: Operand): Tensor {
  if (isAffine(x, y)) return affine(x, 1 / (y as number), 0)
  return withTensors(x, y, (a, b) => {
    const save = [wantsGrad(b) ? a : undefined, b] as const
    return record('div', binary('div', a, b), [a, b], save, (dz, [a_, b_], needs) => [
      needs[0] ? sumTo(div(dz, b_), a.shape) : undefined, // ∂z/∂a = 1/b
      needs[1] ? sumTo(neg(mul(dz, mul(a_!, reciprocal(square(b_))))), b.shape) : undefined, // ∂z/∂b = −a/b²
    ])
  })
}

/** The larger operand; NaN where either is. A tie sends its gradient half to each, as PyTorch does. */
export function maximum(x: Operand, y: Operand): Tensor {
  return extremum('maximum', x, y)
}

/** The smaller operand; NaN where either is. A tie sends its gradient half to each, as PyTorch does. */
export function minimum(x: Operand, y: Operand): Tensor {
  return extremum('minimum', x, y)
}

function extremum(op: 'maximum' | 'minimum', x: Operand, y: Operand): Tensor {
  return withTensors(x, y, (a, b) =>
    record(op, binary(op, a, b), [a, b], [a, b], (dz, [a_, b_], needs) => {
      const [aWins, bWins] = op === 'maximum' ? ([greater, less] as const) : ([less, greater] as const)
      const half = affine(dz, 0.5, 0)
      const tied = equal(a_, b_)
      const share = (wins: Tensor): Tensor => where(tied, half, where(wins, dz, 0))
      return [
        needs[0] ? sumTo(share(aWins(a_, b_)), a.shape) : undefined,
        needs[1] ? sumTo(share(bWins(a_, b_)), b.shape) : undefined,
      ]
    }),
  )
}

function comparison(op: (typeof compareKinds)[number]): (x: Operand, y: Operand) => Tensor {
  return (x, y) =>
    withTensors(x, y, (a, b) => {
      expectDType(op, 'a', a, numberDTypes)
      expectAlike(op, { a, b })
      const shape = broadcastShape(op, a.shape, b.shape)
      const z = empty(shape, 'u8', a.device)
      a.native.compare(
        compareKinds.indexOf(op),
        a.handle,
        b.handle,
        z.handle,
        ...dims(shape),
        ...strides(broadcastStrides(a.shape, shape)),
        ...strides(broadcastStrides(b.shape, shape)),
      )
      return z
    })
}

/** Comparisons give u8: 1 where true, else 0; false where an operand is NaN (notEqual: true). */
export const equal = comparison('equal')
export const notEqual = comparison('notEqual')
export const less = comparison('less')
export const lessEqual = comparison('lessEqual')
export const greater = comparison('greater')
export const greaterEqual = comparison('greaterEqual')

/** condition (u8) ≠ 0 ? a : b, all broadcast together. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  return withTensors(x, y, (a, b) => {
    expectDType('where', 'condition', condition, ['u8'])
    expectDType('where', 'a', a, numberDTypes)
    expectAlike('where', { a, b })
    expectSameDevice('where', 'a', a, 'condition', condition)
    const shape = broadcastShape('where', broadcastShape('where', condition.shape, a.shape), b.shape)
    const z = empty(shape, a.dtype, a.device)
    a.native.where(
      condition.handle,
      a.handle,
      b.handle,
      z.handle,
      ...dims(shape),
      ...strides(broadcastStrides(condition.shape, shape)),
      ...strides(broadcastStrides(a.shape, shape)),
      ...strides(broadcastStrides(b.shape, shape)),
    )
    return record('where', z, [a, b], [condition], (dz, [chosen], needs) => [
      needs[0] ? sumTo(where(chosen, dz, 0), a.shape) : undefined,
      needs[1] ? sumTo(where(chosen, 0, dz), b.shape) : undefined,
    ])
  })
}
