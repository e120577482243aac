import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { decode } from 'fast-png'
import { describe, expect, test } from 'vitest'
import { ConfigError, ShapeError } from '../../src/errors.ts'
import { imageGrid, writeImageGrid } from '../../src/io/grid.ts'
import { encodePng } from '../../src/io/png.ts'
import { temporaryFolder } from './temporary-folder.ts'

describe('a PNG shows the pixels that went in', () => {
  const images = fc
    .record({ width: fc.integer({ min: 1, max: 20 }), height: fc.integer({ min: 1, max: 20 }), rgb: fc.boolean() })
    .chain(({ width, height, rgb }) => {
      const channels = rgb ? (3 as const) : (1 as const)
      const n = width * height * channels
      return fc.uint8Array({ minLength: n, maxLength: n }).map((pixels) => ({ pixels, width, height, channels }))
    })

  test('any pixels, grey and RGB, decoded by another library', () => {
    fc.assert(
      fc.property(images, ({ pixels, width, height, channels }) => {
        const png = decode(encodePng(pixels, width, height, channels), { checkCrc: true })
        expect(png).toMatchObject({ width, height, channels, depth: 8 })
        expect(new Uint8Array(png.data)).toEqual(pixels)
      }),
      { numRuns: 100 },
    )
  })

  test('pixels that do not fit the size are refused', () => {
    expect(() => encodePng(new Uint8Array(5), 2, 3, 1)).toThrow('2 x 3 pixels of 1 channels must be 6 bytes')
    expect(() => encodePng(new Uint8Array(0), 0, 3, 1)).toThrow(ShapeError)
    expect(() => encodePng(new Uint8Array(8), 2, 2, 2 as never)).toThrow(ShapeError)
  })
})

describe('a grid shows every image in its place', () => {
  test('values, scaling, gaps and the empty cell, by hand', () => {
    // Three images of 1×2 pixels, two in a row: a = [-1, 1], b = [0, 0.5], c = [beyond both ends].
    const images = Float32Array.of(-1, 1, 0, 0.5, -7, 7)
    const grid = imageGrid(images, { count: 3, height: 1, width: 2, channels: 1, columns: 2, scale: 2, gap: 1 })
    const g = 128 // background
    const [black, mid, light, white] = [0, 128, 191, 255] // (0.5 + 1) · 127.5 = 191.25
    const ab = [g, black, black, white, white, g, mid, mid, light, light, g]
    const c = [g, black, black, white, white, g, g, g, g, g, g]
    const line = new Array(11).fill(g)
    expect(grid).toEqual({
      pixels: Uint8Array.from([...line, ...ab, ...ab, ...line, ...c, ...c, ...line]),
      width: 11,
      height: 7,
      channels: 1,
    })
  })

  test('each byte of a data set comes back as itself', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    const images = Float32Array.from(bytes, (byte) => byte / 127.5 - 1)
    const { pixels } = imageGrid(images, { count: 1, height: 16, width: 16, channels: 1, scale: 1, gap: 0 })
    expect(pixels).toEqual(bytes)
  })

  test('NaN is drawn, black, not thrown', () => {
    const one = { count: 1, height: 1, width: 1, channels: 1 as const, scale: 1, gap: 0 }
    expect(imageGrid(Float32Array.of(NaN), one).pixels).toEqual(Uint8Array.of(0))
  })

  test('colours keep their order, through the file', () => {
    const path = join(temporaryFolder(), 'grid.png')
    writeImageGrid(path, Float32Array.of(1, 0, -1), { count: 1, height: 1, width: 1, channels: 3, scale: 1, gap: 0 })
    expect([...decode(readFileSync(path)).data]).toEqual([255, 128, 0])
  })

  test('without options, 64 CIFAR images make a square of 64-pixel cells', () => {
    const size = { count: 64, height: 32, width: 32, channels: 3 as const }
    const { width, height } = imageGrid(new Float32Array(64 * 32 * 32 * 3), size)
    expect([width, height]).toEqual([8 * 66 + 2, 8 * 66 + 2])
  })

  test('options that make no grid are refused by name', () => {
    const size = { count: 2, height: 2, width: 2, channels: 1 as const }
    const images = new Float32Array(8)
    expect(() => imageGrid(new Float32Array(7), size)).toThrow(
      'images must be [2, 2, 2, 1] and not empty, got 7 values',
    )
    expect(() => imageGrid(new Float32Array(0), { ...size, count: 0 })).toThrow(ShapeError)
    expect(() => imageGrid(images, { ...size, columns: 0 })).toThrow(ConfigError)
    expect(() => imageGrid(images, { ...size, scale: 1.5 })).toThrow(ConfigError)
    expect(() => imageGrid(images, { ...size, gap: -1 })).toThrow(ConfigError)
  })
})
