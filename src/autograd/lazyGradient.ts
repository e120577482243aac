import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** LeakyReLU's derivative, as the forward pass kept it: one bit per element. */
export interface LeakyDerivative {
  signs: Tensor
  slope: number
}

/** value · (bit ? 1 : slope) + add in one pass over memory; either may be absent. */
export type Fused = (
  saved: readonly Tensor[],
  derivative: LeakyDerivative | undefined,
  add: Tensor | undefined,
) => Tensor

/**
 * A gradient that is not computed yet. A rule hands it on where its kernel can also apply LeakyReLU's derivative and add
 * another gradient in the same pass: whether there are such is known only where the gradient arrives. It holds what it
 * needs, outside all scopes, until it is taken or disposed.
 */
export class LazyGradient {
  private readonly compute: Fused
  private saved: readonly Tensor[]

  constructor(saved: readonly Tensor[], compute: Fused) {
    this.saved = saved.map((tensor) => keep(tensor.detach()))
    this.compute = compute
  }

  /** Computes the gradient, once. */
  take(derivative?: LeakyDerivative, add?: Tensor): Tensor {
    try {
      return this.compute(this.saved, derivative, add)
    } finally {
      this.dispose()
    }
  }

  dispose(): void {
    for (const tensor of this.saved) tensor.dispose()
    this.saved = []
  }
}

export type Gradient = Tensor | LazyGradient

export function isLazy(gradient: Gradient | undefined): gradient is LazyGradient {
  return gradient instanceof LazyGradient
}

/** The gradient itself, computed now where it is lazy. */
export function computed(gradient: Gradient): Tensor {
  return isLazy(gradient) ? gradient.take() : gradient
}
