import { add, mul } from '../ops/arithmetic.ts'
import { assign, cast, clone } from '../ops/cast.ts'
import { sumOfSquares } from '../ops/training.ts'
import { abs, affine, reciprocal, sqrt, square } from '../ops/unary.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface SamOptions {
  /** Radius of the neighbourhood in which the worst weights are sought, in units of the weights (adaptive: relative). */
  rho: number
  /** ASAM: each weight's neighbourhood scales with the weight itself. */
  adaptive?: boolean
}

/** Keeps ‖g‖ from dividing by 0 (released `sam.py`). */
const eps = 1e-12

/**
 * Sharpness-aware minimisation, for any optimizer: moves the weights w to where the loss is about highest nearby, runs
 * `fn`, and puts them back, to the bit and also where `fn` throws. Of the gradients g that backward() has left,
 *   w + ρ·g/‖g‖                     (SAM, Foret et al. 2021, eq. 2)
 *   w + ρ·w²·g/‖|w|·g‖, adaptive    (ASAM, Kwon et al. 2021, eq. 8; released `sam.py` of SADA-JEM)
 * with the norm over all parameters. `fn` is to drop those gradients and compute new ones; the optimizer's step then takes
 * them at w:
 *
 *   backward(loss()); withPerturbedWeights(parameters, { rho }, () => { model.zeroGrad(); backward(loss()) }); optimizer.step(lr)
 *
 * Parameters without a gradient stay. Keeps a copy of the weights meanwhile. f32 or f64.
 */
export function withPerturbedWeights(
  parameters: readonly Tensor[],
  { rho, adaptive = false }: SamOptions,
  fn: () => void,
): void {
  scope(() => {
    const moved = parameters.filter((w) => w.grad !== undefined)
    const before = moved.map((w) => clone(w.detach()))
    try {
      scope(() => {
        const gradients = moved.map((w) => (adaptive ? mul(abs(w.detach()), w.grad!) : w.grad!))
        // A GPU keeps f64, and computes in the parameters' dtype.
        const norm = sqrt(cast(sumOfSquares(gradients), moved[0]?.dtype ?? 'f32'))
        const scale = affine(reciprocal(affine(norm, 1, eps)), rho, 0)
        for (const w of moved) {
          const direction = adaptive ? mul(square(w.detach()), w.grad!) : w.grad!
          assign(w, add(w.detach(), mul(direction, scale)))
        }
      })
      fn()
    } finally {
      for (const [i, w] of moved.entries()) assign(w, before[i])
    }
  })
}
