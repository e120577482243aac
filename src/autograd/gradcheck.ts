import { LangevinError } from '../errors.ts'
import { mul } from '../ops/arithmetic.ts'
import { normal } from '../ops/random.ts'
import { sum } from '../ops/reduce.ts'
import { Generator } from '../random/generator.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { grad } from './backward.ts'
import { noGrad } from './graph.ts'

export interface GradcheckOptions {
  /** Half-width of the central difference. */
  eps?: number
  atol?: number
  rtol?: number
  /** Seed of the random cotangent. */
  seed?: number
  /** Names of the inputs, for messages. */
  names?: readonly string[]
}

/** An analytic gradient that the numeric one contradicts. */
export class GradcheckError extends LangevinError {
  constructor(message: string) {
    super('GRADCHECK', message)
  }
}

/**
 * Compares the gradients of `fn` with central differences, on the same kernels in float64. `fn` maps tensors to one
 * tensor of any shape; its Jacobian is contracted with a random cotangent v (never all-ones, which would hide permuted
 * gradients), and every element of every input is checked: |analytic − numeric| ≤ atol + rtol·|numeric|.
 * Inputs must be f64 leaves with requiresGrad; other inputs are held fixed. Throws GradcheckError naming the input, the
 * index, and both values. Defaults as PyTorch's gradcheck: eps 1e-6, atol 1e-5, rtol 1e-3.
 */
export function gradcheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  { eps = 1e-6, atol = 1e-5, rtol = 1e-3, seed = 0, names }: GradcheckOptions = {},
): void {
  const nameOf = (i: number): string => names?.[i] ?? `input ${i}`
  const checked = inputs.flatMap((x, i) => (x.requiresGrad ? [i] : []))
  if (checked.length === 0) throw new GradcheckError('gradcheck: no input has requiresGrad')
  for (const i of checked) {
    if (inputs[i].dtype !== 'f64')
      throw new GradcheckError(`gradcheck: ${nameOf(i)} must be f64, got ${inputs[i].dtype}`)
  }
  scope(() => {
    const y = fn(...inputs)
    if (!y.requiresGrad)
      throw new GradcheckError('gradcheck: the result does not depend on any input with requiresGrad')
    const v = normal(y.shape, new Generator(seed), { dtype: y.dtype, device: y.device })
    const analytic = grad(
      sum(mul(y, v)),
      checked.map((i) => inputs[i]),
    ).map((g) => g.dataSync())
    const contracted = (replaced: Tensor[]): number =>
      scope(() => noGrad(() => sum(mul(fn(...replaced), v)).itemSync()))

    checked.forEach((i, slot) => {
      const values = inputs[i].dataSync() as Float64Array
      for (let k = 0; k < values.length; k++) {
        const at = (value: number): number =>
          scope(() => {
            const shifted = values.slice()
            shifted[k] = value
            const replaced = [...inputs]
            replaced[i] = tensor(shifted, { shape: inputs[i].shape, device: inputs[i].device })
            return contracted(replaced)
          })
        const numeric = (at(values[k] + eps) - at(values[k] - eps)) / (2 * eps)
        const got = analytic[slot][k]
        if (!(Math.abs(got - numeric) <= atol + rtol * Math.abs(numeric))) {
          throw new GradcheckError(
            `gradcheck: ∂/∂${nameOf(i)}[${indexOf(k, inputs[i].shape).join(', ')}] is ${got} by the gradient rule, ` +
              `but ${numeric} by central difference (eps ${eps}, allowed ${atol} + ${rtol}·|numeric|)`,
          )
        }
      }
    })
  })
}

function indexOf(flat: number, shape: readonly number[]): number[] {
  const index: number[] = []
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(flat % shape[axis])
    flat = Math.floor(flat / shape[axis])
  }
  return index
}
