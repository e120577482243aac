/** Element-wise functions of one tensor: same shape, f32, f64 or bf16 (computed in f32). All throw DTypeError. The
 *  derivative of each is in the backend, beside the function (native/cpu/kernels/elementwise.cc). */
import { record, recordActivation, wantsGrad } from '../autograd/graph.ts'
import { isLazy } from '../autograd/lazyGradient.ts'
import { unaryKinds } from '../native/contract.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectDType, expectShape } from './check.ts'

function apply(op: (typeof unaryKinds)[number], x: Tensor, a = 0, b = 0): Tensor {
  expectDType(op, 'x', x)
  const kind = unaryKinds.indexOf(op)
  const y = empty(x.shape, x.dtype, x.device)
  x.native.unary(kind, x.handle, y.handle, x.size, a, b)
  return record(op, y, [x], [x], (dy, [saved]) => {
    const dx = empty(saved.shape, saved.dtype, saved.device)
    saved.native.unaryBackward(kind, saved.handle, dy.handle, dx.handle, saved.size, a, b)
    return [dx]
  })
}

export const neg = (x: Tensor): Tensor => affine(x, -1, 0)
export const exp = (x: Tensor): Tensor => apply('exp', x)
export const log = (x: Tensor): Tensor => apply('log', x)
export const sqrt = (x: Tensor): Tensor => apply('sqrt', x)
/** |x|; derivative 0 at 0. */
export const abs = (x: Tensor): Tensor => apply('abs', x)
/** −1, 0 or 1; derivative 0. */
export const sign = (x: Tensor): Tensor => apply('sign', x)
export const square = (x: Tensor): Tensor => apply('square', x)
export const reciprocal = (x: Tensor): Tensor => apply('reciprocal', x)
/** max(x, 0); derivative 0 at 0. */
export const relu = (x: Tensor): Tensor => apply('relu', x)
/** x > 0 ? x : alpha·(eˣ − 1) */
export const elu = (x: Tensor, alpha = 1): Tensor => apply('elu', x, alpha)
export const sigmoid = (x: Tensor): Tensor => apply('sigmoid', x)
export const tanh = (x: Tensor): Tensor => apply('tanh', x)
/** x·sigmoid(x), also called Swish. */
export const silu = (x: Tensor): Tensor => apply('silu', x)
/** log(1 + eˣ) */
export const softplus = (x: Tensor): Tensor => apply('softplus', x)
/** x·Φ(x), by the error function. */
export const gelu = (x: Tensor): Tensor => apply('gelu', x)
/** Limits x to [low, high]; the gradient passes where low ≤ x ≤ high. NaN stays. */
export const clamp = (x: Tensor, low: number, high: number): Tensor => apply('clamp', x, low, high)
/** x^exponent */
export const power = (x: Tensor, exponent: number): Tensor => apply('power', x, exponent)

/** scale·x + shift */
export function affine(x: Tensor, scale: number, shift: number): Tensor {
  expectDType('affine', 'x', x)
  const y = empty(x.shape, x.dtype, x.device)
  x.native.unary(unaryKinds.indexOf('affine'), x.handle, y.handle, x.size, scale, shift)
  return record('affine', y, [x], [], (dy) => [affine(dy, scale, 0)]) // ∂y/∂x = scale
}

/** x > 0 ? x : slope·x; derivative `slope` at 0. Its graph keeps one bit per element. */
export function leakyRelu(x: Tensor, slope = 0.2): Tensor {
  expectDType('leakyRelu', 'x', x)
  const y = empty(x.shape, x.dtype, x.device)
  if (!wantsGrad(x)) {
    x.native.leakyRelu(x.handle, y.handle, 0, x.size, slope)
    return y
  }
  using signs = signBits(x)
  x.native.leakyRelu(x.handle, y.handle, signs.handle, x.size, slope)
  recordActivation('leakyRelu', [y], [x], [signs], (dy, _, [bits]) => [
    isLazy(dy) ? dy.take({ signs: bits, slope }) : leakyReluBackward(dy!, bits, slope),
  ])
  return y
}

/** dy · (bit ? 1 : slope) */
export function leakyReluBackward(dy: Tensor, signs: Tensor, slope: number): Tensor {
  expectDType('leakyReluBackward', 'dy', dy)
  expectDType('leakyReluBackward', 'signs', signs, ['u8'])
  expectShape('leakyReluBackward', 'signs', signs, [Math.ceil(dy.size / 8)], 'one bit for each element of dy')
  const dx = empty(dy.shape, dy.dtype, dy.device)
  dy.native.leakyReluBackward(dy.handle, signs.handle, 0, dx.handle, dy.size, slope)
  return dx
}

/** Memory for one bit per element of x. */
export function signBits(x: { size: number; device: Tensor['device'] }): Tensor {
  return empty([Math.ceil(x.size / 8)], 'u8', x.device)
}
