import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { decodePng } from '../../src/cli/decode-png.ts'
import { hasTestPart, type LoadOptions, loadDataset } from '../../src/data/catalog.ts'
import { DataError } from '../../src/errors.ts'
import { encodePng } from '../../src/io/png.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'

// test/fixtures/data/files.py made these with Pillow: 6 wide, 5 high.
const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/data/png/${name}.png`, import.meta.url))
const each = <T>(value: (x: number, y: number, i: number) => T) =>
  Array.from({ length: 30 }, (_, i) => value(i % 6, Math.floor(i / 6), i))
const rgb = each((x, y) => [0, 1, 2].map((c) => (40 * x + 7 * y + 60 * c) % 256)).flat()
const grey = each((x, y) => (40 * x + 7 * y) % 256)
const load = (folder: string, options: LoadOptions = {}) => loadDataset(folder, { decodePng, ...options })

describe('PNG files of any common kind become their pixels', () => {
  test.each<[string, 1 | 3, number[]]>([
    ['rgb', 3, rgb],
    ['opaque', 3, rgb],
    ['grey', 1, grey],
    ['one-bit', 1, grey.map((value) => 255 * (value & 1))],
    ...[1, 2, 4, 8].map(
      (bits) =>
        [`palette-${bits}`, 3, each((_x, _y, i) => i % 2 ** bits).flatMap((i) => [i, 255 - i, (3 * i) % 256])] as [
          string,
          3,
          number[],
        ],
    ),
  ])('%s', (name, channels, pixels) => {
    const image = decodePng(readFileSync(fixture(name)))
    expect(image).toMatchObject({ width: 6, height: 5, channels })
    expect([...image.pixels]).toEqual(pixels)
  })

  test.each([
    ['transparent', 'some of its pixels are transparent'],
    ['sixteen-bit', 'it has 16 bits a value'],
  ])('%s: refused, never silently changed', (name, message) => {
    expect(() => decodePng(readFileSync(fixture(name)))).toThrow(message)
  })
})

/** A folder with a grey 4×4 PNG file of one value at each path. */
function pictures(values: Record<string, number>, root = temporaryFolder()): string {
  for (const [path, value] of Object.entries(values)) {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), encodePng(new Uint8Array(16).fill(value), 4, 4, 1))
  }
  return root
}
const valuesOf = ({ images, count }: { images: Uint8Array; count: number }) =>
  Array.from({ length: count }, (_, n) => images[16 * n])

describe('a folder of PNG files is a data set', () => {
  test('folders are classes in the order of their names; one file of each in turn', () => {
    const root = pictures({ 'dog/b.png': 4, 'dog/a.png': 3, 'cat/1.png': 1, '10/x.PNG': 5, '9/x.png': 6 })
    writeFileSync(join(root, 'dog', 'notes.txt'), 'no picture')
    pictures({ '.hidden/a.png': 9, 'dog/._a.png': 9 }, root)
    const data = load(root)
    expect(data).toMatchObject({ count: 5, height: 4, width: 4, channels: 1, classes: 4, split: 'train' })
    expect(data.classNames).toEqual(['10', '9', 'cat', 'dog'])
    expect([...data.labels]).toEqual([0, 1, 2, 3, 3])
    expect(valuesOf(data)).toEqual([5, 6, 1, 3, 4])
    expect(valuesOf(load(root, { limit: 4 }))).toEqual([5, 6, 1, 3])
    expect(load(root, { split: 'test' }).count).toBe(5)
    expect(hasTestPart(root)).toBe(false)
  })

  test('train and test folders are the splits, with the same classes', () => {
    const root = pictures({ 'train/a/1.png': 1, 'train/c/1.png': 2, 'test/b/1.png': 3 })
    expect(load(root)).toMatchObject({ count: 2, classNames: ['a', 'b', 'c'] })
    expect([...load(root).labels]).toEqual([0, 2])
    expect([...load(root, { split: 'test' }).labels]).toEqual([1])
    expect(hasTestPart(root)).toBe(true)
    const half = pictures({ 'train/a/1.png': 1 })
    expect(hasTestPart(half)).toBe(false)
    expect(load(half).count).toBe(1)
    expect(() => load(half, { split: 'test' })).toThrow(/no PNG file found/)
  })

  test('progress is told', () => {
    const told: string[] = []
    load(pictures({ 'a/1.png': 1, 'b/1.png': 2 }), { onProgress: (done, total) => told.push(`${done}/${total}`) })
    expect(told).toEqual(['1/2', '2/2'])
  })
})

describe('pictures that are not alike', () => {
  test('are refused with the two files, and made alike if asked', () => {
    const root = pictures({ 'a/1.png': 1 })
    copyFileSync(fixture('rgb'), join(root, 'a', '2.png'))
    expect(() => load(root)).toThrow(`${join(root, 'a', '2.png')} is 5×6×3, ${join(root, 'a', '1.png')} is 4×4×1`)
    expect(load(root, { resize: 8, channels: 3 })).toMatchObject({ count: 2, height: 8, width: 8, channels: 3 })
  })
})

describe('what cannot be read is told', () => {
  test('a damaged file', () => {
    const root = pictures({ 'a/1.png': 1 })
    const path = join(root, 'a', '1.png')
    const bytes = readFileSync(path)
    for (const damaged of [
      bytes.subarray(0, 40),
      bytes.with(45, bytes[45] ^ 1),
      Buffer.from('GIF89a'),
      Buffer.alloc(0),
    ]) {
      writeFileSync(path, damaged)
      expect(() => load(root)).toThrow(DataError)
      expect(() => load(root)).toThrow(`${path}: cannot be read as PNG`)
    }
    const huge = Buffer.from(bytes)
    huge.writeUInt32BE(100_000, 16)
    huge.writeUInt32BE(100_000, 20)
    writeFileSync(path, huge)
    expect(() => load(root)).toThrow('100000×100000 pixels are more than')
  })

  test('no decoder, no file', () => {
    expect(() => loadDataset(pictures({ 'a/1.png': 1 }))).toThrow(/takes a decoder/)
    expect(() => load(temporaryFolder())).toThrow(/no data set found in this folder/)
  })
})
