import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/errors.ts'
import { dropout, normal, randomInt, uniform } from '../../src/ops/random.ts'
import { Generator, purposes } from '../../src/random/generator.ts'
import { philox4x32 } from '../../src/random/philox.ts'
import { ones } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { empty } from '../../src/tensor/tensor.ts'
import { devices, forEachVariant } from '../ops/drive.ts'

/** Random123, kat_vectors: philox4x32 with 10 rounds. */
const published = [
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  {
    counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
] as const

describe('Philox4x32-10', () => {
  test('gives the published words on the host', () => {
    for (const { counter, key, words } of published) expect(philox4x32(counter, key)).toEqual(words)
  })

  /** A device's words of one counter: randomInt over all of i32 is the word, less 2³¹. */
  function wordsOnDevice(
    device: (typeof devices)[number],
    seed: number,
    rest: [number, number, number],
    count: number,
  ) {
    return scope(() => {
      const y = empty([count], 'i32', device)
      y.native.randomInt(y.handle, count, -(2 ** 31), 2 ** 31, seed, ...rest)
      return [...y.dataSync()].map((v) => v + 2 ** 31)
    })
  }

  test.each(devices)('gives the published words on %s', (device) => {
    forEachVariant(device, () => {
      const [zeros] = published
      expect(wordsOnDevice(device, 0, [0, 0, 0], 4)).toEqual(zeros.words)
    })
  })

  test.each(devices)('gives the host’s words on %s, for any seed, step, stream and purpose', (device) => {
    const word = fc.integer({ min: 0, max: 0xffffffff })
    forEachVariant(device, () => {
      fc.assert(
        fc.property(fc.maxSafeNat(), word, word, word, fc.integer({ min: 1, max: 300 }), (seed, ...rest) => {
          const [step, stream, purpose, count] = rest
          const expected = Array.from({ length: count }, (_, e) => {
            const key = [seed >>> 0, Math.floor(seed / 2 ** 32)] as const
            return philox4x32([Math.floor(e / 4), step, stream, purpose], key)[e % 4]
          })
          expect(wordsOnDevice(device, seed, [step, stream, purpose], count)).toEqual(expected)
        }),
        { numRuns: 50, seed: 2 },
      )
    })
  })

  test.each(devices)('uniforms and integers are the same on %s as on the host', (device) => {
    scope(() => {
      for (const purpose of Object.keys(purposes) as (keyof typeof purposes)[]) {
        const host = new Generator(123456789012345, purpose, 7)
        const there = new Generator(123456789012345, purpose, 7)
        expect(uniform([1001], there, { device }).dataSync()).toEqual(Float32Array.from(host.uniforms(1001)))
        expect(randomInt([1001], there, { high: 977, device }).dataSync()).toEqual(host.integers(1001, 977))
        expect(there.state()).toEqual(host.state())
      }
    })
  })
})

describe('a generator', () => {
  test('continues from its saved state as if it had never stopped', () => {
    const draw = (g: Generator): number[] => [...g.words(5), ...g.integers(3, 10), ...g.permutation(6)]
    const g = new Generator(3, 'noise', 4)
    draw(g)
    const state = JSON.parse(JSON.stringify(g.state()))
    const expected = draw(g)
    const resumed = new Generator(3, 'noise', 4)
    resumed.restore(state)
    expect(draw(resumed)).toEqual(expected)
  })

  test('takes no state of another', () => {
    const state = new Generator(3, 'noise', 4).state()
    for (const other of [new Generator(2, 'noise', 4), new Generator(3, 'sgld', 4), new Generator(3, 'noise', 5)]) {
      expect(() => other.restore(state)).toThrow(ConfigError)
    }
  })

  test('of another seed, purpose, stream or step gives other numbers', () => {
    const first = (g: Generator): string => g.words(8).join()
    const later = new Generator(0)
    later.next()
    const all = [
      ...[0, 1, 2 ** 32, 2 ** 52].map((seed) => new Generator(seed)),
      ...(Object.keys(purposes) as (keyof typeof purposes)[]).slice(1).map((purpose) => new Generator(0, purpose)),
      ...[1, 2, 2 ** 31 - 1].map((stream) => new Generator(0, 'user', stream)),
      later,
    ]
    expect(new Set(all.map(first)).size).toBe(all.length)
  })

  test('refuses seeds and streams that it could not tell apart', () => {
    for (const seed of [-1, 1.5, 2 ** 53, Number.NaN]) expect(() => new Generator(seed)).toThrow(ConfigError)
    for (const stream of [-1, 0.5, 2 ** 31]) expect(() => new Generator(0, 'user', stream)).toThrow(ConfigError)
  })

  test('permutes every element once, each place equally likely', () => {
    const g = new Generator(5)
    const counts = Array.from({ length: 4 }, () => new Array<number>(4).fill(0))
    const runs = 4000
    for (let i = 0; i < runs; i++) {
      const order = g.permutation(4)
      expect([...order].sort()).toEqual([0, 1, 2, 3])
      for (const [place, value] of order.entries()) counts[place][value]++
    }
    // χ² with 9 degrees of freedom: 1e-6 of right generators exceed 47
    const chi2 = counts.flat().reduce((s, n) => s + (n - runs / 4) ** 2 / (runs / 4), 0)
    expect(chi2).toBeLessThan(47)
  })
})

describe('each draw', () => {
  test('takes one step, whatever its size', () => {
    scope(() => {
      const g = new Generator(1)
      uniform([3], g)
      normal([1000], g)
      randomInt([0], g, { high: 2 })
      dropout(ones([5]), 0.5, g)
      expect(g.state().step).toBe(4)
    })
  })

  test('of more numbers begins with the same ones', () => {
    scope(() => {
      const short = normal([100], new Generator(1)).dataSync()
      expect(normal([70_000], new Generator(1)).dataSync().subarray(0, 100)).toEqual(short)
    })
  })
})
