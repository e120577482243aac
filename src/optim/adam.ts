import { adamUpdate } from '../ops/training.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Optimizer, withGradients, zerosLike } from './optimizer.ts'

export interface AdamOptions {
  beta1?: number
  beta2?: number
  eps?: number
  /** L2 penalty, added to the gradient as weightDecay·parameter (PyTorch's Adam, not AdamW). */
  weightDecay?: number
}

/** Adam (Kingma & Ba 2015, algorithm 1). Defaults: β₁ 0.9, β₂ 0.999, ε 1e-8, as PyTorch and the released code. */
export class Adam implements Optimizer {
  private readonly parameters: readonly [string, Tensor][]
  private readonly options: Required<AdamOptions>
  private readonly first: Tensor[]
  private readonly second: Tensor[]
  private steps = 0

  constructor(parameters: readonly [string, Tensor][], options: AdamOptions = {}) {
    this.parameters = parameters
    this.options = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, ...options }
    this.first = zerosLike(parameters)
    this.second = zerosLike(parameters)
  }

  step(lr: number, gradientScale?: Tensor): void {
    this.steps++
    const { parameters, gradients, others } = withGradients(this.parameters, this.first, this.second)
    adamUpdate(parameters, gradients, others[0], others[1], { ...this.options, lr, step: this.steps }, gradientScale)
  }

  state(): { tensors: Map<string, Tensor>; step: number } {
    const tensors = new Map<string, Tensor>()
    this.parameters.forEach(([name], i) => {
      tensors.set(`first/${name}`, this.first[i])
      tensors.set(`second/${name}`, this.second[i])
    })
    return { tensors, step: this.steps }
  }

  restore(step: number): void {
    this.steps = step
  }

  dispose(): void {
    for (const moment of [...this.first, ...this.second]) moment.dispose()
  }
}
