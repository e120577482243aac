/** What a row of the op table is, and what rows are written with. */
import type { LangevinError } from '../../src/errors.ts'
import type { Device, DType } from '../../src/native/contract.ts'
import { Generator } from '../../src/random/generator.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import type { Host } from './host.ts'
import type { Input } from './samples.ts'

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
  /** Of bf16, where convolutions may round more than what is stored (`roundsTiles`). */
  roundedTiles?: Tolerance
}

/** A wrong call; `t` makes zeros of a shape. */
export interface Bad {
  call(t: (shape: readonly number[], dtype?: DType) => Tensor): unknown
  error: new (message: string) => LangevinError
  message: RegExp
}

/** Where the running case computes: for cases that have no input to take it from. */
export const running: { device: Device } = { device: 'cpu' }

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

export const floats: readonly DType[] = ['f64', 'f32', 'bf16']
export const masters: readonly DType[] = ['f64', 'f32']

export function one(
  inputs: readonly Input[],
  run: Case['run'],
  reference: Case['reference'],
  rest: Partial<Case> = {},
): Case {
  const label = inputs.map((input) => `[${input.shape.join(', ')}]`).join(' ')
  const differentiable = inputs.some((input) => input.wantsGrad && input.dtype === 'float')
  return { label, inputs, run, reference, dtypes: floats, gradient: differentiable ? 'check' : 'none', ...rest }
}

export const bad = (error: Bad['error'], message: RegExp, call: Bad['call']): Bad => ({ call, error, message })

/** Two roundings to the dtype instead of one. */
export const twice: Case['tolerance'] = { bf16: { rtol: 2 ** -7, atol: 2 ** -8 } }

/** Rounding of sums of products. */
export const sums: Case['tolerance'] = { f32: { rtol: 4e-6, atol: 2e-6 }, bf16: { rtol: 2 ** -8, atol: 2 ** -12 } }

/** Of normals: the polynomials of Box–Muller. */
export const normals: Case['tolerance'] = { f64: { rtol: 2e-6, atol: 2e-7 }, f32: { rtol: 2e-6, atol: 2e-7 } }

export const specials = [Number.NaN, Infinity, -Infinity, 0, -0, 1, -1, 0.5, -0.5, 1e-3, 20, -20, 3, -3, 2, -2, 7]

/** A source whose second draw is used: one that ignores the step would show. */
export function source(
  seed: number,
  purpose: ConstructorParameters<typeof Generator>[1] = 'user',
  stream = 0,
): Generator {
  const generator = new Generator(seed, purpose, stream)
  generator.next()
  return generator
}

export function disposed(gone: Tensor): Tensor {
  gone.dispose()
  return gone
}
