import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { convertImages } from '../../src/data/convert.ts'
import { ConfigError } from '../../src/errors.ts'
import { imagesOf } from './make-files.ts'

interface Golden {
  resize: { from: [number, number, number]; to: number; bytes: string }[]
  grey: { from: [number, number, number]; bytes: string }
}

// pil.py, beside it, made it.
const golden: Golden = JSON.parse(readFileSync(new URL('../fixtures/data/pil.json', import.meta.url), 'utf8'))
const decoded = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

/** The images of pil.py, one after another. */
function formula([height, width, channels]: [number, number, number], count = 1) {
  const one = Array.from({ length: height * width * channels }, (_, i) => {
    const [c, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)]
    return (37 * x + 101 * y + 59 * c + 7 * x * y + 90 * ((Math.floor(x / 5) + Math.floor(y / 3)) % 2)) % 256
  })
  return imagesOf([count, height, width, channels], Array.from({ length: count }, () => one).flat())
}

describe('converted images are what other tools make of them', () => {
  test.each(golden.resize)('resized $from to $to: the bytes of PIL', ({ from, to, bytes }) => {
    const result = convertImages(formula(from, 2), { resize: to })
    const [, , channels] = from
    expect(result).toMatchObject({ count: 2, height: to, width: to, channels })
    const size = to * to * channels
    expect(result.images.subarray(0, size)).toEqual(decoded(bytes))
    expect(result.images.subarray(size)).toEqual(decoded(bytes))
  })

  test('also where there are many, with progress', () => {
    const told: string[] = []
    const many = formula([9, 16, 1], 501)
    const { images } = convertImages(many, { resize: 16, onProgress: (done, total) => told.push(`${done}/${total}`) })
    const one = decoded(golden.resize.find(({ from }) => from[0] === 9)!.bytes)
    for (const n of [0, 499, 500]) expect(images.subarray(n * 256, (n + 1) * 256)).toEqual(one)
    expect(told).toEqual(['500/501', '501/501'])
  })

  test('RGB to grey: the bytes of PIL', () => {
    const result = convertImages(formula(golden.grey.from), { channels: 1 })
    expect(result.channels).toBe(1)
    expect(result.images).toEqual(decoded(golden.grey.bytes))
  })

  test('grey to RGB and back is the same; labels stay', () => {
    const grey = formula([8, 8, 1], 2)
    const rgb = convertImages(grey, { channels: 3 })
    expect(rgb.images.length).toBe(3 * grey.images.length)
    expect([...rgb.images.subarray(0, 6)]).toEqual([0, 0, 0, 37, 37, 37])
    expect(convertImages(rgb, { channels: 1 })).toEqual(grey)
  })
})

test('what fits is left alone, so that nothing is changed unasked', () => {
  const data = formula([8, 8, 1])
  expect(convertImages(data, {})).toBe(data)
  expect(convertImages(data, { resize: 8, channels: 1 })).toBe(data)
})

test.each([0, -1, 2.5, Number.NaN, 5000])('a size of %s is refused', (resize) => {
  expect(() => convertImages(formula([8, 8, 1]), { resize })).toThrow(ConfigError)
})

test('2 channels are refused', () => {
  expect(() => convertImages(formula([8, 8, 1]), { channels: 2 as never })).toThrow('channels must be 1 (grey) or 3')
})
