/** Random tensors. Each draw takes one step of the generator; the numbers are the same on every device. */
import { record } from '../autograd/graph.ts'
import { ConfigError, DTypeError } from '../errors.ts'
import type { Device, DType } from '../native/contract.ts'
import type { Generator } from '../random/generator.ts'
import type { TensorOptions } from '../tensor/create.ts'
import { isFloat } from '../tensor/dtype.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectComputable, expectDType } from './check.ts'

/** U[low, high), 24 random bits; f32, f64 or bf16. */
export function uniform(
  shape: readonly number[],
  generator: Generator,
  { low = 0, high = 1, dtype, device }: TensorOptions & { low?: number; high?: number } = {},
): Tensor {
  expectFloat('uniform', dtype, device)
  const y = empty(shape, dtype, device)
  y.native.randomUniform(y.handle, y.size, low, high, ...generator.next())
  return y
}

/** N(mean, std²); f32, f64 or bf16, drawn in f32. */
export function normal(
  shape: readonly number[],
  generator: Generator,
  { mean = 0, std = 1, dtype, device }: TensorOptions & { mean?: number; std?: number } = {},
): Tensor {
  expectFloat('normal', dtype, device)
  const y = empty(shape, dtype, device)
  y.native.randomNormal(y.handle, y.size, mean, std, ...generator.next())
  return y
}

function expectFloat(op: string, dtype: DType = 'f32', device: Device = 'cpu'): void {
  if (!isFloat(dtype)) throw new DTypeError(`${op}: dtype must be f32 or f64 or bf16, got ${dtype}`)
  expectComputable(op, 'the result', dtype, device)
}

/** i32, uniform on [low, high). Throws ConfigError. */
export function randomInt(
  shape: readonly number[],
  generator: Generator,
  { low = 0, high, device }: { low?: number; high: number; device?: TensorOptions['device'] },
): Tensor {
  const whole = Number.isInteger(low) && Number.isInteger(high)
  if (!whole || low >= high || low < -(2 ** 31) || high > 2 ** 31) {
    throw new ConfigError(`randomInt: low < high must be whole numbers of 32 bits, got [${low}, ${high})`)
  }
  const y = empty(shape, 'i32', device)
  y.native.randomInt(y.handle, y.size, low, high, ...generator.next())
  return y
}

/** Zeroes each element with probability p and scales the others by 1/(1 − p). The mask is drawn again in the backward
 *  pass, from the same counter, and costs no memory. Throws ConfigError, DTypeError. */
export function dropout(x: Tensor, p: number, generator: Generator): Tensor {
  if (!(p >= 0 && p < 1)) throw new ConfigError(`dropout: p must be in [0, 1), got ${p}`)
  expectDType('dropout', 'x', x)
  const counter = generator.next()
  const y = empty(x.shape, x.dtype, x.device)
  x.native.dropout(x.handle, y.handle, x.size, p, ...counter)
  return record('dropout', y, [x], [], (dy) => {
    const dx = empty(dy.shape, dy.dtype, dy.device)
    dy.native.dropout(dy.handle, dx.handle, dy.size, p, ...counter)
    return [dx]
  })
}
