import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/errors.ts'
import { ReplayBuffer, type ReplayBufferOptions } from '../../src/jem/replayBuffer.ts'
import { assign } from '../../src/ops/cast.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'

const pixels = 4

/** A buffer of 2×2 images, and what `use` makes of it. */
function withBuffer<R>(settings: Partial<ReplayBufferOptions>, use: (buffer: ReplayBuffer) => R): R {
  const options = { size: 20, height: 2, width: 2, channels: 1, classes: 4, reinitProbability: 0, seed: 3, ...settings }
  const buffer = new ReplayBuffer(options)
  try {
    return scope(() => use(buffer))
  } finally {
    buffer.dispose()
  }
}

/** Every pixel of slot i gets the value i + 10: no number of U(-1, 1). */
function number(buffer: ReplayBuffer, size = 20): void {
  const values = Float32Array.from({ length: size * pixels }, (_, at) => Math.floor(at / pixels) + 10)
  assign(buffer.samples, tensor(values, { shape: [size, 2, 2, 1] }))
}

const firstPixels = (values: ArrayLike<number>) =>
  Array.from({ length: values.length / pixels }, (_, i) => values[i * pixels])

describe('the replay buffer', () => {
  it('starts as U(-1, 1)', () => {
    const values = withBuffer({ size: 20_000 }, (buffer) => buffer.samples.dataSync() as Float32Array)
    const mean = values.reduce((total, v) => total + v, 0) / values.length
    const square = values.reduce((total, v) => total + v * v, 0) / values.length
    // Variance 1/3; x² has variance 4/45. Six standard errors.
    expect(Math.abs(mean)).toBeLessThan(6 * Math.sqrt(1 / 3 / values.length))
    expect(Math.abs(square - 1 / 3)).toBeLessThan(6 * Math.sqrt(4 / 45 / values.length))
    expect(values.every((v: number) => v >= -1 && v < 1)).toBe(true)
  })

  it('starts chains at the slots it names, drawn uniformly with replacement', () => {
    withBuffer({}, (buffer) => {
      number(buffer)
      const { x, slots } = buffer.draw(20_000)
      const drawn = Array.from(slots.dataSync())
      expect(firstPixels(x.dataSync())).toEqual(drawn.map((slot) => slot + 10))
      const counts = new Array<number>(20).fill(0)
      for (const slot of drawn) counts[slot]++
      for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(6 * Math.sqrt(20_000 * 0.05 * 0.95))
    })
  })

  it('gives class k the k-th of equal segments', () => {
    withBuffer({}, (buffer) => {
      const labels = Array.from({ length: 400 }, (_, i) => (i * 7) % 4)
      const slots = Array.from(buffer.draw(400, labels).slots.dataSync())
      expect(slots.map((slot) => Math.floor(slot / 5))).toEqual(labels)
      expect(new Set(slots).size).toBe(20)
    })
  })

  it('starts the share of chains afresh that it was told, from U(-1, 1)', () => {
    withBuffer({ reinitProbability: 0.05 }, (buffer) => {
      number(buffer)
      const values = firstPixels(buffer.draw(20_000).x.dataSync())
      const fresh = values.filter((v) => v < 10)
      expect(Math.abs(fresh.length - 1000)).toBeLessThan(6 * Math.sqrt(20_000 * 0.05 * 0.95))
      expect(fresh.every((v) => v >= -1 && v < 1)).toBe(true)
      expect(Math.abs(fresh.reduce((a, b) => a + b, 0) / fresh.length)).toBeLessThan(
        6 * Math.sqrt(1 / 3 / fresh.length),
      )
    })
  })

  it('keeps, of a slot drawn twice, the sample that is later in the batch', () => {
    withBuffer({}, (buffer) => {
      number(buffer)
      const slots = tensor(Int32Array.from([7, 2, 7, 19, 2]))
      buffer.store(
        slots,
        tensor(
          Float32Array.from({ length: 20 }, (_, at) => Math.floor(at / pixels)),
          { shape: [5, 2, 2, 1] },
        ),
      )
      const kept = firstPixels(buffer.samples.dataSync())
      expect([kept[7], kept[2], kept[19], kept[0]]).toEqual([2, 4, 3, 10])
    })
  })

  it('of size 0 starts every chain afresh and keeps nothing', () => {
    withBuffer({ size: 0 }, (buffer) => {
      const { x, slots } = buffer.draw(8)
      buffer.store(slots, x)
      expect(x.dataSync().every((v: number) => v >= -1 && v < 1)).toBe(true)
      expect(buffer.samples.size).toBe(0)
    })
  })

  it('is not disturbed by a look at it', () => {
    const drawn = (look: boolean) =>
      withBuffer({}, (buffer) => {
        if (look) buffer.peek(5, new Generator(9, 'picture'))
        return Array.from(buffer.draw(50).slots.dataSync())
      })
    expect(drawn(true)).toEqual(drawn(false))
  })

  it('refuses a size that the classes do not divide, unless it has no segments', () => {
    expect(() => withBuffer({ size: 18 }, () => 0)).toThrow(ConfigError)
    expect(() => withBuffer({ size: 18 }, () => 0)).toThrow('bufferSize must be a multiple of the 4 classes, got 18')
    expect(withBuffer({ size: 18, segmented: false }, (buffer) => buffer.samples.shape[0])).toBe(18)
  })
})
