import type { Classifier } from '../../../src/eval/attacks/classifier.ts'
import { linear } from '../../../src/ops/matmul.ts'
import { reshape } from '../../../src/ops/shape.ts'
import { Generator } from '../../../src/random/generator.ts'
import { tensor } from '../../../src/tensor/create.ts'
import { setThreads } from '../../../src/tensor/memory.ts'
import { scope } from '../../../src/tensor/scope.ts'

// Steps this small are over before a second thread has woken up.
setThreads(1)

/** logits = weights·x + bias, on `inputs` pixels: what can be said of its adversarial images in closed form. */
export interface LinearModel {
  /** [classes][inputs] */
  weights: number[][]
  bias: number[]
}

export function linearModel(classes: number, inputs: number, seed: number): LinearModel {
  const draws = Array.from(new Generator(seed).uniforms(classes * (inputs + 1)), (u) => 2 * u - 1)
  return {
    weights: Array.from({ length: classes }, (_, k) => draws.slice(k * inputs, (k + 1) * inputs)),
    bias: draws.slice(classes * inputs),
  }
}

export function classifierOf({ weights, bias }: LinearModel, dtype: 'f32' | 'f64' = 'f64'): Classifier {
  return {
    classes: bias.length,
    device: 'cpu',
    randomised: false,
    logits: (x) =>
      scope(() => {
        const transposed = weights[0].map((_, i) => weights.map((row) => row[i]))
        return linear(reshape(x, [x.shape[0], -1]), tensor(transposed, { dtype }), tensor(bias, { dtype }))
      }),
  }
}

export function logitsOf({ weights, bias }: LinearModel, x: ArrayLike<number>): number[] {
  return weights.map((row, k) => row.reduce((sum, w, i) => sum + w * x[i], bias[k]))
}

/** max_{k≠y} z_k − z_y */
export function marginOf(model: LinearModel, x: ArrayLike<number>, label: number): number {
  const z = logitsOf(model, x)
  return Math.max(...z.filter((_, k) => k !== label)) - z[label]
}
