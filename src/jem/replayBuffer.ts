import { ConfigError } from '../errors.ts'
import type { Device } from '../native/contract.ts'
import { where } from '../ops/arithmetic.ts'
import { gatherRows, scatterRows } from '../ops/rows.ts'
import { Generator } from '../random/generator.ts'
import { tensor } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type ChainStart, uniformStart } from './chainStart.ts'

export interface ReplayBufferOptions {
  /** Number of samples kept. */
  size: number
  height: number
  width: number
  channels: number
  classes: number
  /** Probability that a chain starts afresh. */
  reinitProbability: number
  /** Where the first samples and fresh chains come from; default: U(-1, 1), as released. */
  start?: ChainStart
  /** Whether each class has a segment of its own, as draws by label need; default true. The released code leaves it out
   *  for the unconditional model. */
  segmented?: boolean
  seed: number
  device?: Device
}

/**
 * Samples of earlier iterations, from which chains go on (persistent contrastive divergence). As the released
 * `sample_p_0`: slots are drawn with replacement; a chain starts afresh with probability
 * `reinitProbability`; given labels, class k draws from the k-th of `classes` equal segments. Where a batch drew one
 * slot twice, the sample later in the batch stays. With size 0 every chain starts afresh and nothing is kept.
 */
export class ReplayBuffer {
  /** [size, height, width, channels] f32 */
  readonly samples: Tensor
  generator: Generator
  private readonly options: ReplayBufferOptions
  private readonly start: ChainStart

  /** Throws ConfigError where the classes do not divide the size. */
  constructor(options: ReplayBufferOptions) {
    const { size, height, width, channels, classes, segmented = true, seed, device } = options
    if (!(size >= 0) || (segmented && size % classes !== 0)) {
      throw new ConfigError(`bufferSize must be a multiple of the ${classes} classes, got ${size}`, {
        hint: `for example --buffer-size ${Math.max(1, Math.round(size / classes)) * classes}`,
      })
    }
    this.options = options
    this.generator = new Generator(seed, 'buffer')
    this.start = options.start ?? uniformStart({ height, width, channels }, device ?? 'cpu')
    const labelOf = segmented ? (slot: number) => Math.floor((slot * classes) / size) : undefined
    this.samples = keep(this.start.draw(size, this.generator, { labelOf }))
  }

  /** New random numbers from here on. */
  reseed(seed: number): void {
    this.generator = new Generator(seed, 'buffer')
  }

  /** Starting points for `count` chains, and the slots they belong to. */
  draw(count: number, labels?: ArrayLike<number>): { x: Tensor; slots: Tensor } {
    const { size, classes, reinitProbability } = this.options
    const device = this.samples.device
    const labelOf = labels && ((chain: number) => labels[chain])
    if (size === 0) {
      const x = this.start.draw(count, this.generator, { labelOf })
      return { x, slots: tensor(new Int32Array(0), { device }) }
    }
    const segment = labels ? size / classes : size
    const slots = this.generator.integers(count, segment)
    if (labels) for (let i = 0; i < count; i++) slots[i] += labels[i] * segment
    const afresh = Uint8Array.from(this.generator.uniforms(count), (u) => (u < reinitProbability ? 1 : 0))
    const x = scope(() => {
      const fresh = this.start.draw(count, this.generator, { labelOf, isWanted: (chain) => afresh[chain] === 1 })
      const kept = gatherRows(this.samples, tensor(slots, { device }))
      return where(tensor(afresh, { shape: [count, 1, 1, 1], device }), fresh, kept)
    })
    return { x, slots: tensor(slots, { device }) }
  }

  /** Copies of `count` samples chosen by another generator: for pictures, which leave the buffer and its stream alone. */
  peek(count: number, generator: Generator): Tensor {
    const { size } = this.options
    if (size === 0) return this.start.draw(count, generator)
    const chosen = generator.permutation(size).slice(0, count)
    return scope(() => gatherRows(this.samples, tensor(chosen, { device: this.samples.device })))
  }

  /** Puts finished chains back into their slots. */
  store(slots: Tensor, x: Tensor): void {
    if (this.options.size > 0) scatterRows(this.samples, slots, x)
  }

  dispose(): void {
    this.samples.dispose()
  }
}
