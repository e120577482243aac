import { describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/data/dataset.ts'
import { DERIVED_NAMES, type DerivedName, derivedDataset } from '../../src/data/derived.ts'
import { loadOod } from '../../src/data/ood.ts'
import { ConfigError, DataError } from '../../src/errors.ts'
import { Generator } from '../../src/random/generator.ts'
import { imagesOf } from './make-files.ts'

const random = (shape: [number, number, number, number], seed = 7) => {
  const generator = new Generator(seed)
  return imagesOf(shape, generator.integers(shape[0] * shape[1] * shape[2] * shape[3], 256))
}
const derive = (name: DerivedName, data: Dataset, seed = 1) => derivedDataset(name, data, new Generator(seed))
const image = ({ images, count }: Dataset, n: number) => {
  const size = images.length / count
  return images.subarray(n * size, (n + 1) * size)
}
const sorted = (values: Iterable<number>) => [...values].sort((a, b) => a - b)

/** Mean and standard deviation of x = byte / 127.5 − 1. */
function moments(bytes: Uint8Array): { mean: number; std: number } {
  let [sum, squares] = [0, 0]
  for (const byte of bytes) {
    const x = byte / 127.5 - 1
    sum += x
    squares += x * x
  }
  const mean = sum / bytes.length
  return { mean, std: Math.sqrt(squares / bytes.length - mean * mean) }
}

describe.each(DERIVED_NAMES)('%s', (name) => {
  test.each([
    [5, 24, 24, 1],
    [4, 32, 32, 3],
    [3, 7, 11, 3],
  ] as [number, number, number, number][])('fits the data it is compared with: %i×%i×%i×%i', (...shape) => {
    const data = random(shape)
    const before = data.images.slice()
    const made = derive(name, data)
    const [count, height, width, channels] = shape
    expect(made).toMatchObject({ name, split: 'test', count, height, width, channels, classes: 1, classNames: [name] })
    expect(made.images.length).toBe(data.images.length)
    expect(made.labels).toEqual(new Uint8Array(count))
    expect(data.images).toEqual(before)
  })

  test('is the same for the same seed, and another for another', () => {
    const data = random([6, 8, 8, 3])
    expect(derive(name, data)).toEqual(derive(name, data))
    expect(derive(name, data, 2).images).not.toEqual(derive(name, data).images)
  })
})

describe('each set is what its name says', () => {
  test('interpolation: means of two different images, each image in two pairs', () => {
    // Image n has the one value 2ⁿ⁺¹: half of a sum tells the pair.
    const count = 7
    const values = Array.from({ length: count }, (_, n) => new Array(4).fill(2 ** (n + 1)))
    const data = imagesOf([count, 2, 2, 1], values.flat())
    const uses = new Array(count).fill(0)
    const made = derive('interpolation', data)
    for (let n = 0; n < count; n++) {
      const [value] = image(made, n)
      expect([...image(made, n)]).toEqual(new Array(4).fill(value))
      const pair = [...uses.keys()].filter((member) => (2 * value) & (2 ** (member + 1)))
      expect(pair).toHaveLength(2)
      for (const member of pair) uses[member]++
    }
    expect(uses).toEqual(new Array(count).fill(2))
  })

  test('interpolation: halves go to the even byte, so that the mean is not shifted', () => {
    const made = (a: number, b: number) => derive('interpolation', imagesOf([2, 1, 1, 1], [a, b])).images[0]
    expect([made(0, 1), made(1, 2), made(2, 3), made(254, 255), made(255, 255), made(10, 20)]).toEqual([
      0, 2, 2, 254, 255, 15,
    ])
  })

  test('uniform: every level as often as the others', () => {
    const { images } = derive('uniform', imagesOf([64, 32, 32, 3], new Uint8Array(64 * 32 * 32 * 3)))
    const counts = new Float64Array(256)
    for (const byte of images) counts[byte]++
    const expected = images.length / 256
    const chi2 = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
    expect(chi2).toBeGreaterThan(160) // 255 ± 22.6: four standard deviations and more on either side
    expect(chi2).toBeLessThan(350)
  })

  test('gaussian: N(0, 0.5²) on [-1, 1], clipped', () => {
    const { images } = derive('gaussian', imagesOf([40, 32, 32, 3], new Uint8Array(40 * 32 * 32 * 3)))
    const { mean, std } = moments(images)
    expect(Math.abs(mean)).toBeLessThan(0.005)
    // Clipped at two standard deviations, of density φ and tail Q: 0.25·(1 − 2Q(2) − 4φ(2) + 8Q(2)) = 0.25·0.920538.
    expect(std).toBeCloseTo(0.4797, 2)
    const beyond = images.filter((byte) => byte === 0 || byte === 255).length / images.length
    expect(beyond).toBeCloseTo(0.0462, 2) // 2·Q(2) = 0.0455, and half a level on either side
    const pairs = images.filter((_, i) => i % 2 === 0).map((byte, i) => Number(byte > 127 === images[2 * i + 1] > 127))
    expect(pairs.reduce((sum, same) => sum + same, 0) / pairs.length).toBeCloseTo(0.5, 2)
  })

  test('constant: one colour an image, other colours for other images', () => {
    const made = derive('constant', random([200, 4, 4, 3]))
    const colours = new Set<string>()
    for (let n = 0; n < 200; n++) {
      const pixels = image(made, n)
      for (let i = 0; i < pixels.length; i++) expect(pixels[i]).toBe(pixels[i % 3])
      colours.add(pixels.subarray(0, 3).join())
    }
    expect(colours.size).toBeGreaterThan(195)
    expect(Math.abs(moments(made.images).mean)).toBeLessThan(0.15)
  })

  test('shuffled: the same pixels in another order, another for each image', () => {
    const data = random([2, 8, 8, 3])
    data.images.copyWithin(192, 0, 192) // twice the same image
    const made = derive('shuffled', data)
    const pixels = (n: number, from: Dataset) =>
      Array.from({ length: 64 }, (_, p) => image(from, n).subarray(3 * p, 3 * p + 3)).map(
        ([r, g, b]) => r + 256 * (g + 256 * b),
      )
    for (const n of [0, 1]) {
      expect(sorted(pixels(n, made))).toEqual(sorted(pixels(n, data)))
      expect(pixels(n, made)).not.toEqual(pixels(n, data))
    }
    expect(pixels(0, made)).not.toEqual(pixels(1, made))
  })
})

describe('an out-of-distribution set is found by name', () => {
  test('derived sets are made from the data, and a limit takes the first', () => {
    const inside = random([6, 8, 8, 1])
    const whole = loadOod('shuffled', inside, { seed: 3 })
    expect(whole).toMatchObject({ name: 'shuffled', count: 6, height: 8, channels: 1 })
    expect(loadOod('shuffled', inside, { seed: 4 }).images).not.toEqual(whole.images)
    const limited = loadOod('shuffled', inside, { seed: 3, limit: 2 })
    expect(limited.count).toBe(2)
    expect(limited.images).toEqual(whole.images.slice(0, 128))
  })

  test('derived sets do not share their random numbers', () => {
    const inside = random([4, 8, 8, 1])
    expect(loadOod('uniform', inside).images.map((byte) => byte >> 7)).not.toEqual(
      loadOod('constant', inside).images.map((byte) => byte >> 7),
    )
  })

  test('others are read from the test split', () => {
    const inside = random([2, 28, 28, 1])
    expect(loadOod('fashion-mnist', inside, { limit: 5 })).toMatchObject({
      name: 'fashion-mnist',
      split: 'test',
      count: 5,
    })
  })

  test('another size or number of channels is an error that offers the conversion; asked for, it is made', () => {
    const inside = random([2, 32, 32, 3])
    const options = { limit: 2 }
    expect(() => loadOod('mnist', inside, options)).toThrow(
      expect.objectContaining({
        code: 'DATA',
        message: 'mnist: images must be 32×32×3, as those of made, got 28×28×1',
        hint: expect.stringContaining('--resize 32 --channels 3;'),
      }),
    )
    expect(() => loadOod('mnist', inside, { ...options, resize: 32 })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('with --channels 3;') }),
    )
    expect(loadOod('mnist', inside, { ...options, resize: 32, channels: 3 })).toMatchObject({ height: 32, channels: 3 })
    expect(() => loadOod('mnist', random([2, 20, 30, 1]), options)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('not square') }),
    )
  })
})

test.each([
  ['gausian', "unknown out-of-distribution set 'gausian': did you mean 'gaussian'?"],
  ['mnsit', "unknown data set 'mnsit': did you mean 'mnist'?"],
  ['imagenet', "unknown data set 'imagenet'; known are mnist"],
])('a slip in the name of an out-of-distribution set: %s', (name, message) => {
  expect(() => loadOod(name, random([2, 4, 4, 1]))).toThrow(message)
})

test('a slip in the name is told, and one image cannot be interpolated', () => {
  expect(() => derive('gausian' as DerivedName, random([2, 4, 4, 1]))).toThrow(ConfigError)
  expect(() => derive('gausian' as DerivedName, random([2, 4, 4, 1]))).toThrow("did you mean 'gaussian'?")
  expect(() => derive('interpolation', random([1, 4, 4, 1]))).toThrow(DataError)
})
