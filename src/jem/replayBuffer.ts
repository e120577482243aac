import { ConfigError } from '../errors.ts'
import type { Device } from '../native/contract.ts'
import { where } from '../ops/arithmetic.ts'
import { uniform } from '../ops/random.ts'
import { gatherRows, scatterRows } from '../ops/rows.ts'
import { Generator } from '../random/generator.ts'
import { tensor } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface ReplayBufferOptions {
  /** Number of samples kept. */
  size: number
  height: number
  width: number
  channels: number
  classes: number
  /** Probability that a chain starts afresh from U(-1, 1). */
  reinitProbability: number
  seed: number
  device?: Device
}

/**
 * Samples of earlier iterations, from which chains go on (persistent contrastive divergence). As the released
 * `sample_p_0`: starts as U(-1, 1); slots are drawn with replacement; a chain starts afresh with probability
 * `reinitProbability`; given labels, class k draws from the k-th of `classes` equal segments. Where a batch drew one
 * slot twice, the sample later in the batch stays.
 */
export class ReplayBuffer {
  /** [size, height, width, channels] f32 */
  readonly samples: Tensor
  readonly generator: Generator
  private readonly options: ReplayBufferOptions

  /** Throws ConfigError where the classes do not divide the size. */
  constructor(options: ReplayBufferOptions) {
    const { size, height, width, channels, classes, seed, device } = options
    if (size < 1 || size % classes !== 0) {
      throw new ConfigError(`bufferSize must be a multiple of the ${classes} classes, got ${size}`, {
        hint: `for example --buffer-size ${Math.max(1, Math.round(size / classes)) * classes}`,
      })
    }
    this.options = options
    this.generator = new Generator(seed, 'buffer')
    this.samples = keep(uniform([size, height, width, channels], this.generator, { low: -1, high: 1, device }))
  }

  /** Starting points for `count` chains, and the slots they belong to. */
  draw(count: number, labels?: ArrayLike<number>): { x: Tensor; slots: Tensor } {
    const { size, height, width, channels, classes, reinitProbability } = this.options
    const segment = labels ? size / classes : size
    const slots = this.generator.integers(count, segment)
    if (labels) for (let i = 0; i < count; i++) slots[i] += labels[i] * segment
    const afresh = Uint8Array.from(this.generator.uniforms(count), (u) => (u < reinitProbability ? 1 : 0))
    const device = this.samples.device
    const x = scope(() => {
      const noise = uniform([count, height, width, channels], this.generator, { low: -1, high: 1, device })
      const kept = gatherRows(this.samples, tensor(slots, { device }))
      return where(tensor(afresh, { shape: [count, 1, 1, 1], device }), noise, kept)
    })
    return { x, slots: tensor(slots, { device }) }
  }

  /** Puts finished chains back into their slots. */
  store(slots: Tensor, x: Tensor): void {
    scatterRows(this.samples, slots, x)
  }

  dispose(): void {
    this.samples.dispose()
  }
}
