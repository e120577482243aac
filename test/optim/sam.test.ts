import { describe, expect, it } from 'vitest'
import { backward } from '../../src/autograd/backward.ts'
import { mul } from '../../src/ops/arithmetic.ts'
import { sum } from '../../src/ops/reduce.ts'
import { affine, square } from '../../src/ops/unary.ts'
import { withPerturbedWeights } from '../../src/optim/sam.ts'
import { Sgd } from '../../src/optim/sgd.ts'
import { tensor } from '../../src/tensor/create.ts'
import { keep, scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

// The loss ½ Σ aᵢ·wᵢ², whose gradient at w is a·w: so SAM's gradient is a·(w + e) in closed form.
const curvature = [[1, 4, 0.5], [9]]
const start = [[0.6, -1.5, 2], [-0.25]]

function weights(dtype: 'f32' | 'f64'): Tensor[] {
  return start.map((values) => {
    const w = keep(tensor(values, { dtype }))
    w.requiresGrad = true
    return w
  })
}

function descend(w: Tensor[]): void {
  scope(() => {
    for (const [i, part] of w.entries()) {
      part.grad?.dispose()
      part.grad = undefined
      backward(affine(sum(mul(square(part), tensor(curvature[i], { dtype: part.dtype }))), 0.5, 0))
    }
  })
}

function free(w: Tensor[]): void {
  for (const part of w) {
    part.grad?.dispose()
    part.dispose()
  }
}

// In f64 the error is that of the 1e-12 added to ‖g‖.

/** ρ·g/‖g‖, or adaptively ρ·w²·g/‖|w|·g‖, over all parameters at once. */
function perturbation(rho: number, adaptive: boolean): number[][] {
  const g = start.map((values, i) => values.map((w, j) => curvature[i][j] * w))
  const weighed = g.map((values, i) => values.map((v, j) => (adaptive ? Math.abs(start[i][j]) * v : v)))
  const norm = Math.sqrt(weighed.flat().reduce((total, v) => total + v * v, 0))
  return g.map((values, i) => values.map((v, j) => (rho * (adaptive ? start[i][j] ** 2 : 1) * v) / norm))
}

describe('sharpness-aware minimisation', () => {
  it.each([
    ['f64', false, 1e-12],
    ['f64', true, 1e-12],
    ['f32', false, 1e-6],
    ['f32', true, 1e-6],
  ] as const)('steps along the gradient at the worst weights nearby (%s, adaptive %s)', (dtype, adaptive, rtol) => {
    const w = weights(dtype)
    const optimizer = new Sgd(
      w.map((part, i) => [`w${i}`, part]),
      { momentum: 0.9 },
    )
    const [rho, lr] = [0.3, 0.05]
    descend(w)
    withPerturbedWeights(w, { rho, adaptive }, () => descend(w))
    optimizer.step(lr)
    const e = perturbation(rho, adaptive)
    for (const [i, part] of w.entries()) {
      const expected = start[i].map((v, j) => v - lr * curvature[i][j] * (v + e[i][j]))
      expect(part.dataSync()).toBeAllclose(expected, { rtol, atol: 0 })
    }
    optimizer.dispose()
    free(w)
  })

  it('gives the weights back to the bit, also where computing the second gradient fails', () => {
    const w = weights('f32')
    const before = w.map((part) => part.dataSync())
    descend(w)
    withPerturbedWeights(w, { rho: 2 }, () => {
      expect(w[0].dataSync()).not.toEqual(before[0])
    })
    expect(w.map((part) => part.dataSync())).toEqual(before)
    const failing = () =>
      withPerturbedWeights(w, { rho: 2 }, () => {
        throw new Error('out of memory')
      })
    expect(failing).toThrow('out of memory')
    expect(w.map((part) => part.dataSync())).toEqual(before)
    free(w)
  })

  it('stays where it is where every gradient is 0, and leaves a parameter without a gradient alone', () => {
    const w = weights('f32')
    const before = w.map((part) => part.dataSync())
    w[0].grad = keep(tensor([0, 0, 0]))
    withPerturbedWeights(w, { rho: 2 }, () => {
      expect(w.map((part) => part.dataSync())).toEqual(before)
    })
    free(w)
  })
})
