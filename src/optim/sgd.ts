import { sgdUpdate } from '../ops/training.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Optimizer, withGradients, zerosLike } from './optimizer.ts'

export interface SgdOptions {
  momentum?: number
  /** L2 penalty, added to the gradient as weightDecay·parameter. */
  weightDecay?: number
}

/** SGD with momentum as PyTorch has it: velocity ← momentum·velocity + g; p ← p − lr·velocity. */
export class Sgd implements Optimizer {
  private readonly parameters: readonly [string, Tensor][]
  private readonly options: Required<SgdOptions>
  private readonly velocities: Tensor[]
  private steps = 0

  constructor(parameters: readonly [string, Tensor][], options: SgdOptions = {}) {
    this.parameters = parameters
    this.options = { momentum: 0, weightDecay: 0, ...options }
    this.velocities = zerosLike(parameters)
  }

  step(lr: number, gradientScale?: Tensor): void {
    this.steps++
    const { parameters, gradients, others } = withGradients(this.parameters, this.velocities)
    sgdUpdate(parameters, gradients, others[0], { ...this.options, lr }, gradientScale)
  }

  state(): { tensors: Map<string, Tensor>; step: number } {
    return {
      tensors: new Map(this.parameters.map(([name], i) => [`velocity/${name}`, this.velocities[i]])),
      step: this.steps,
    }
  }

  restore(step: number): void {
    this.steps = step
  }

  dispose(): void {
    for (const velocity of this.velocities) velocity.dispose()
  }
}
