/** The set an attack may choose from: images within ε of the given one, in L∞ or L2, and in the image range.
 *
 *  Units: ε is in 1/255 of the range [0, 1], as the field states it (8 is "8/255"; 128 in L2 is about "0.5"). Images here
 *  lie in [-1, 1], so that a distance of ε/255 there is 2ε/255 here. */

import { ConfigError, DataError } from '../../errors.ts'
import { add, div, maximum, minimum, mul, sub } from '../../ops/arithmetic.ts'
import { normal, uniform } from '../../ops/random.ts'
import { l2Norm, max } from '../../ops/reduce.ts'
import { reshape } from '../../ops/shape.ts'
import { abs, clamp, sign } from '../../ops/unary.ts'
import type { Generator } from '../../random/generator.ts'
import { full, tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'

export const norms = ['linf', 'l2'] as const
export type Norm = (typeof norms)[number]

/** The image range's width over 255: one unit of ε in the values of images. */
export const epsilonUnit = 2 / 255

/** Throws ConfigError unless ε is a number >= 0. */
export function expectEpsilon(epsilon: number): void {
  if (epsilon >= 0) return
  throw new ConfigError(`epsilon must be a number >= 0, got ${epsilon}`, {
    hint: 'epsilon is in 1/255 of the range [0, 1]: 8 means 8/255',
  })
}

/** Axes of one image in [batch, height, width, channels]. */
const imageAxes = [1, 2, 3]

/**
 * The ε-ball around each image of a batch, cut with the image range [-1, 1]. What `project` and `randomPoint` give lies
 * inside it exactly, not to a rounding error: the radius is smaller by what f32 may round (2⁻²² in L∞, of a range of 2).
 */
export class Ball {
  readonly norm: Norm
  /** [batch, height, width, channels], f32 or f64. */
  readonly center: Tensor
  /** [batch, 1, 1, 1], in the units of images. */
  readonly radius: Tensor
  private readonly low: Tensor
  private readonly high: Tensor

  /** `center`: images in [-1, 1], which must outlive the ball. `epsilon`: one for all, or one an image. Throws ConfigError
   *  where an ε is negative or their number is not the images'. */
  constructor(norm: Norm, center: Tensor, epsilon: number | ArrayLike<number>) {
    const [batch, height, width, channels] = center.shape
    const each = typeof epsilon === 'number' ? new Array<number>(batch).fill(epsilon) : Array.from(epsilon)
    if (each.length !== batch) throw new ConfigError(`expected ${batch} values of epsilon, got ${each.length}`)
    each.forEach(expectEpsilon)
    const size = height * width * channels
    const options = { shape: [batch, 1, 1, 1], dtype: center.dtype, device: center.device }
    // An infinite radius times 0 would be NaN; twice the range's diagonal is as good.
    const radii = each.map((e) => within(norm, Math.min(e * epsilonUnit, 4 * Math.sqrt(size)), size, center.dtype))
    this.norm = norm
    this.center = center
    this.radius = keep(tensor(radii, options))
    const [low, high] = scope(() => {
      const reach = norm === 'linf' ? this.radius : full([1], 4, { dtype: center.dtype, device: center.device })
      return [clamp(sub(center, reach), -1, 1), clamp(add(center, reach), -1, 1)]
    })
    this.low = keep(low)
    this.high = keep(high)
  }

  /** The nearest point of the ball in L∞; in L2 the nearest of the sphere, then of the range, which is inside both. */
  project(x: Tensor): Tensor {
    return scope(() => {
      const inside = this.norm === 'linf' ? x : add(this.center, this.shortened(sub(x, this.center)))
      return minimum(maximum(inside, this.low), this.high)
    })
  }

  /** The direction in which a step of length 1 raises a linear function most: the sign in L∞, g/‖g‖₂ in L2. */
  steepest(gradient: Tensor): Tensor {
    if (this.norm === 'linf') return sign(gradient)
    const [batch, ...size] = gradient.shape
    return scope(() => {
      // A confident softmax's gradient is so small that its squares vanish in f32.
      const flat = reshape(gradient, [batch, -1])
      const largest = max(abs(flat), { axis: 1, keepDims: true })
      const scaled = reshape(div(flat, maximum(largest, 1e-38)), [batch, ...size])
      return div(scaled, lengths(scaled))
    })
  }

  /** Uniform in the ball, then brought into the range. */
  randomPoint(generator: Generator): Tensor {
    const { center, radius } = this
    const { shape, dtype, device } = center
    return scope(() => {
      if (this.norm === 'linf') {
        return this.project(add(center, mul(uniform(shape, generator, { low: -1, high: 1, dtype, device }), radius)))
      }
      const direction = this.steepest(normal(shape, generator, { dtype, device }))
      // The volume within r of the centre grows as r^d.
      const d = center.size / shape[0]
      const share = Float64Array.from(generator.uniforms(shape[0]), (u) => u ** (1 / d))
      const length = mul(radius, tensor(Array.from(share), { shape: radius.shape, dtype, device }))
      return this.project(add(center, mul(direction, length)))
    })
  }

  /** The lowest and highest image of the L∞ ball, on the host. */
  async corners(): Promise<{ low: Values; high: Values }> {
    return { low: (await this.low.data()) as Values, high: (await this.high.data()) as Values }
  }

  dispose(): void {
    this.radius.dispose()
    this.low.dispose()
    this.high.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  private shortened(difference: Tensor): Tensor {
    const factor = clamp(div(this.radius, lengths(difference)), 0, 1)
    return mul(difference, factor)
  }
}

/** Pixels on the host, in the dtype of the tensor they came from. */
export type Values = Float32Array | Float64Array

/** ‖x‖₂ of each image, [batch, 1, 1, 1], and a tiny number where that is 0. */
function lengths(x: Tensor): Tensor {
  return maximum(l2Norm(x, { axes: imageAxes, keepDims: true }), 1e-30)
}

/** The radius less what rounding may add: to the radius itself and to each pixel a unit in the last place of numbers up
 *  to 2, and in L2 to the norm, which sums pairwise. */
function within(norm: Norm, radius: number, size: number, dtype: Tensor['dtype']): number {
  const ulp = dtype === 'f64' ? 2 ** -51 : 2 ** -22
  return Math.max(0, norm === 'linf' ? radius - ulp : radius * (1 - 16 * ulp) - ulp * Math.sqrt(size))
}

/** How far each image of `x` is from that of `from`, in units of ε; on the host in float64. */
export function distances(norm: Norm, x: Values, from: Values, batch: number): Float64Array {
  const size = x.length / batch
  return Float64Array.from({ length: batch }, (_, i) => {
    let largest = 0
    let squares = 0
    for (let at = i * size; at < (i + 1) * size; at++) {
      const difference = Math.abs(x[at] - from[at])
      largest = Math.max(largest, difference)
      squares += difference ** 2
    }
    return (norm === 'linf' ? largest : Math.sqrt(squares)) / epsilonUnit
  })
}

/** Throws DataError where a value is outside [-1, 1] or NaN. */
export async function expectImages(x: Tensor): Promise<void> {
  const values = (await x.data()) as Values
  let outside = 0
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i]) <= 1)) outside++
  if (outside === 0) return
  throw new DataError(`an attack needs images in [-1, 1]; ${outside} of ${values.length} values are not`, {
    hint: 'attack the images as they are, without noise',
  })
}
