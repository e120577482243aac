import { ConfigError } from '../errors.ts'
import type { Philox } from '../native/contract.ts'
import { philox4x32 } from './philox.ts'

/** What a stream of random numbers is for; streams of different purposes never meet. The numbers are part of every
 *  saved run: append, never renumber. */
export const purposes = {
  user: 0,
  init: 1,
  shuffle: 2,
  augment: 3,
  noise: 4,
  buffer: 5,
  sgld: 6,
  dropout: 7,
  picture: 8,
  evaluation: 9,
  attack: 10,
} as const
export type Purpose = keyof typeof purposes

/** While ops are captured (tensor/capture.ts): only this generator may draw, and only on the device. @internal */
export const capturing: { on: boolean; generator?: Generator } = { on: false }

/** A generator's whole state: plain numbers, as checkpoints save them. */
export interface GeneratorState {
  seed: number
  purpose: number
  stream: number
  step: number
}

/**
 * A counter-based stream of random numbers: seed, purpose and stream say which, and every draw (of any size) advances
 * `step` by one. The same state gives the same numbers on every device and for any number of threads. There is no
 * global generator.
 */
export class Generator {
  readonly seed: number
  readonly purpose: number
  readonly stream: number
  private step: number

  /** `seed`: a whole number in [0, 2⁵³); `stream`: in [0, 2³¹). Throws ConfigError. */
  constructor(seed: number, purpose: Purpose = 'user', stream = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new ConfigError(`seed must be a whole number in [0, 2^53), got ${seed}`)
    if (!Number.isInteger(stream) || stream < 0 || stream >= 2 ** 31)
      throw new ConfigError(`stream must be a whole number in [0, 2^31), got ${stream}`)
    this.seed = seed
    this.purpose = purposes[purpose]
    this.stream = stream * 2 // imageBatch takes its crops from the odd stream beside its noise
    this.step = 0
  }

  /** The counter of the next draw, which it uses up. @internal */
  next(): Philox {
    if (capturing.on && capturing.generator !== this) {
      throw new ConfigError('capture: random numbers are drawn from a generator that was not given to capture()', {
        hint: 'give it as capture(fn, { generator }); a capture has one',
      })
    }
    return [this.seed, this.step++, this.stream, this.purpose]
  }

  /** Moves on as `draws` draws would. */
  skip(draws: number): void {
    this.step += draws
  }

  state(): GeneratorState {
    return { seed: this.seed, purpose: this.purpose, stream: this.stream, step: this.step }
  }

  /** Continues from a saved state. Throws ConfigError where it is that of another stream. */
  restore(state: GeneratorState): void {
    if (state.seed !== this.seed || state.purpose !== this.purpose || state.stream !== this.stream) {
      throw new ConfigError(`this state is of another generator: ${JSON.stringify(state)}`)
    }
    this.step = state.step
  }

  /** `count` 32-bit words on the host: one draw. */
  words(count: number): Uint32Array {
    if (capturing.on) throw new ConfigError('capture: random numbers of the host cannot be captured')
    const [seed, step, stream, purpose] = this.next()
    const words = new Uint32Array(count)
    const key: [number, number] = [seed >>> 0, Math.floor(seed / 2 ** 32)]
    for (let block = 0; block * 4 < count; block++) {
      const four = philox4x32([block, step, stream, purpose], key)
      for (let i = 0; i < 4 && block * 4 + i < count; i++) words[block * 4 + i] = four[i]
    }
    return words
  }

  /** `count` numbers uniform on [0, 1), 24 bits each, on the host: one draw. */
  uniforms(count: number): Float64Array {
    return Float64Array.from(this.words(count), (word) => (word >>> 8) / 2 ** 24)
  }

  /** `count` whole numbers uniform on [0, limit), on the host: one draw. */
  integers(count: number, limit: number): Int32Array {
    return Int32Array.from(this.words(count), (word) => Math.floor((word * limit) / 2 ** 32))
  }

  /** A permutation of 0 … count − 1 (Fisher–Yates), on the host: one draw. */
  permutation(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, i) => i)
    const words = this.words(count)
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor((words[i] * (i + 1)) / 2 ** 32)
      const swap = order[i]
      order[i] = order[j]
      order[j] = swap
    }
    return order
  }
}
