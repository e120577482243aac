import { sumOfSquares } from '../ops/training.ts'
import { zeros } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Updates parameters from the gradients that backward() left in `grad`. */
export interface Optimizer {
  /** One update of every parameter that has a gradient. `gradientScale` (f64 [1]) multiplies the gradients first. */
  step(lr: number, gradientScale?: Tensor): void
  /** Moments and counters, for checkpoints: the tensors are the optimizer's own. */
  state(): { tensors: Map<string, Tensor>; step: number }
  /** Continues from a saved step; the tensors of `state()` must have been loaded. */
  restore(step: number): void
  dispose(): void
}

/** A zero tensor for each parameter, kept until disposed. */
export function zerosLike(parameters: readonly (readonly [string, Tensor])[]): Tensor[] {
  return parameters.map(([, p]) => keep(zeros(p.shape, { dtype: p.dtype, device: p.device })))
}

/** Σ of the squares of all gradients: f64 [1]. */
export function gradientSumOfSquares(parameters: readonly Tensor[]): Tensor {
  return sumOfSquares(parameters.flatMap((p) => (p.grad ? [p.grad] : [])))
}

/** The parameters that have gradients, with `others` at the same places. */
export function withGradients(
  parameters: readonly (readonly [string, Tensor])[],
  ...others: (readonly Tensor[])[]
): { parameters: Tensor[]; gradients: Tensor[]; others: Tensor[][] } {
  const places = parameters.flatMap(([, p], i) => (p.grad ? [i] : []))
  return {
    parameters: places.map((i) => parameters[i][1]),
    gradients: places.map((i) => parameters[i][1].grad!),
    others: others.map((list) => places.map((i) => list[i])),
  }
}
