import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadDataset } from '../../src/data/catalog.ts'
import { readMat } from '../../src/data/mat.ts'
import { readSvhn } from '../../src/data/svhn.ts'
import { DataError } from '../../src/errors.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'

// files.py, beside them, made these with scipy.
const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/data/${name}`, import.meta.url))
const bytesOf = (name: string) => new Uint8Array(readFileSync(fixture(name)))
const options = { name: 'svhn', split: 'test' as const }

function written(bytes: Uint8Array): string {
  const path = join(temporaryFolder(), 'some.mat')
  writeFileSync(path, bytes)
  return path
}

test('the arrays of a MATLAB file are what scipy wrote; those that are no real numbers are passed over', () => {
  const arrays = readMat(bytesOf('kinds.mat'))
  const got = Object.fromEntries([...arrays].map(([name, { shape, data }]) => [name, { shape, data: [...data] }]))
  expect(got).toEqual({
    i8: { shape: [1, 3], data: [-128, 127, 0] },
    i16: { shape: [2, 1], data: [-32768, 32767] },
    u16: { shape: [2, 2], data: [65535, 2, 1, 3] }, // columns first
    i32: { shape: [1, 1], data: [-5] },
    u32: { shape: [1, 1], data: [4294967295] },
    f32: { shape: [1, 2], data: [0.5, -0.25] },
    f64: { shape: [1, 1], data: [0.1] },
    a_name_of_more_than_eight_bytes: {
      shape: [2, 3, 4],
      data: [0, 12, 4, 16, 8, 20, 1, 13, 5, 17, 9, 21, 2, 14, 6, 18, 10, 22, 3, 15, 7, 19, 11, 23],
    },
    empty: { shape: [0, 3], data: [] },
  })
})

describe("SVHN's digits keep their pixels and their labels", () => {
  test.each([
    ['svhn-packed.mat', [0, 1, 9, 0, 5]],
    ['svhn-plain-double.mat', [0, 1]],
  ])('%s', (file, labels) => {
    const data = readSvhn(fixture(file), options)
    const count = labels.length
    expect(data).toMatchObject({ name: 'svhn', split: 'test', count, height: 32, width: 32, channels: 3, classes: 10 })
    expect([...data.labels]).toEqual(labels)
    for (let n = 0; n < count; n++)
      for (let row = 0; row < 32; row++)
        for (let column = 0; column < 32; column++)
          for (let c = 0; c < 3; c++)
            if (
              data.images[((n * 32 + row) * 32 + column) * 3 + c] !==
              (3 * row + 5 * column + 70 * c + 11 * n + row * column) % 256
            )
              expect.fail(`image ${n}, row ${row}, column ${column}, channel ${c}`)
  })

  test('a limit takes the first; a path is read by its ending, or after the name', () => {
    expect([...readSvhn(fixture('svhn-packed.mat'), { ...options, limit: 3 }).labels]).toEqual([0, 1, 9])
    expect(loadDataset(fixture('svhn-packed.mat'))).toMatchObject({ name: 'svhn-packed', split: 'train', count: 5 })
    expect(loadDataset(`svhn:${fixture('svhn-packed.mat')}`, { limit: 2 })).toMatchObject({ name: 'svhn', count: 2 })
  })
})

describe('a bad MATLAB file is refused with the reason', () => {
  const whole = bytesOf('svhn-packed.mat')
  const changed = (at: number, value: number) => {
    const bytes = whole.slice()
    bytes[at] = value
    return bytes
  }
  test.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(0), /expected a header of 128 bytes/],
    ['of text', new Uint8Array(Buffer.from('a,b\n'.repeat(100))), /expected a header of 128 bytes/],
    ['of version 7.3', new Uint8Array(Buffer.from(`MATLAB 7.3 MAT-file${' '.repeat(200)}`)), /version 7\.3 \(HDF5\)/],
    ['from a big-endian machine', changed(126, 0x4d).with(127, 0x49), /big-endian/],
    ['of another version', changed(125, 3), /expected version 1\.0, got 3\.0/],
    ['cut in a tag', whole.subarray(0, 132), /ends within an element/],
    ['cut in the data', whole.subarray(0, -1), /ends within an element/],
    ['whose packed data are corrupt', changed(3000, whole[3000] ^ 0xff), /zlib/],
    ['without X', bytesOf('kinds.mat'), /expected the arrays X and y, got i8, i16/],
  ])('%s', (_, bytes, message) => {
    const path = written(bytes)
    expect(() => readSvhn(path, options)).toThrow(DataError)
    expect(() => readSvhn(path, options)).toThrow(message)
    expect(() => readSvhn(path, options)).toThrow(path)
  })

  test('a label that is no digit', () => {
    // In the uncompressed file the labels are the doubles 10 and 1.
    const bytes = bytesOf('svhn-plain-double.mat')
    const at = Buffer.from(bytes).indexOf(Buffer.from(new Float64Array([10, 1]).buffer))
    expect(at).toBeGreaterThan(0)
    for (const wrong of [11, 0, 1.5]) {
      bytes.set(new Uint8Array(new Float64Array([wrong]).buffer), at + 8)
      const path = written(bytes)
      expect(() => readSvhn(path, options)).toThrow(`labels must be 1..10, got ${wrong} at index 1`)
    }
  })

  test('any damage gives arrays or a DataError, nothing else', () => {
    const files = [bytesOf('kinds.mat'), bytesOf('svhn-plain-double.mat').subarray(0, 700)]
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.nat(),
        (file, changes, cut) => {
          const bytes = file.slice(0, cut % 3 === 0 ? cut % file.length : file.length)
          for (const [at, value] of changes) bytes[at % bytes.length] = value
          try {
            for (const { shape, data } of readMat(bytes).values()) {
              expect(data.length).toBe(shape.reduce((total, extent) => total * extent, 1))
            }
          } catch (error) {
            if (!(error instanceof DataError)) throw error
          }
        },
      ),
      { numRuns: 1000 },
    )
  })
})
