import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { labelsPathFor, parseIdx, readIdxDataset } from '../../src/data/idx.ts'
import { DataError } from '../../src/errors.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { idx, writeIdxPair } from './make-files.ts'

const arrays = fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }).chain((shape) => {
  const n = shape.reduce((total, extent) => total * extent, 1)
  return fc.uint8Array({ minLength: n, maxLength: n }).map((data) => ({ shape, data }))
})

describe('an IDX file gives what is in it', () => {
  test('any array, plain and gzip', () => {
    fc.assert(
      fc.property(arrays, ({ shape, data }) => {
        const file = idx(shape, data)
        expect(parseIdx(file)).toEqual({ shape, data })
        expect(parseIdx(gzipSync(file))).toEqual({ shape, data })
      }),
      { numRuns: 100 },
    )
  })

  test('damage gives valid data or a DataError, nothing else', () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 })
    fc.assert(
      fc.property(arrays, changes, fc.nat(40), fc.boolean(), ({ shape, data }, changes, cut, packed) => {
        const file = packed ? gzipSync(idx(shape, data)) : idx(shape, data)
        for (const [at, value] of changes) file[at % file.length] = value
        try {
          const got = parseIdx(file.subarray(0, file.length - (cut < 20 ? cut : 0)))
          expect(got.data.length).toBe(got.shape.reduce((total, extent) => total * extent, 1))
        } catch (error) {
          if (!(error instanceof DataError)) throw error
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('a bad IDX file is refused with the reason', () => {
  const whole = idx([2, 2], [1, 2, 3, 4])
  const packed = gzipSync(whole)
  const corrupt = Buffer.from(packed)
  corrupt[corrupt.length - 6] ^= 1 // in the checksum
  test.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(0), /got an empty file/],
    ['of text', Buffer.from('label,pixel'), /expected to begin with the bytes 0, 0, 8/],
    ['without dimensions', idx([], [1]), /expected to begin with/],
    ['of floats', idx([1], [0, 0, 0, 0], 0x0d), /element type must be 8 \(unsigned byte\), got 13/],
    ['cut in the header', whole.subarray(0, 11), /the header is 12 bytes, got 11/],
    ['cut in the values', whole.subarray(0, 15), /\[2, 2\] is 4 bytes of values, got 3/],
    ['too long', Buffer.concat([whole, Buffer.of(5)]), /\[2, 2\] is 4 bytes of values, got 5/],
    ['of absurd extents', idx(new Array(40).fill(0xffffffff), []), /bytes of values, got 0/],
    ['gzip, cut', packed.subarray(0, -1), /gzip: unexpected end of file/],
    ['gzip, corrupt', corrupt, /gzip: incorrect data check/],
    [
      'gzip, with something appended',
      Buffer.concat([packed, Buffer.alloc(9)]),
      /gzip: .* end at byte \d+, got \d+ bytes/,
    ],
    ['gzip of a cut file', gzipSync(whole.subarray(0, 15)), /is 4 bytes of values, got 3/],
  ])('%s', (_, bytes, message) => {
    expect(() => parseIdx(bytes, 'a-file')).toThrow(DataError)
    expect(() => parseIdx(bytes, 'a-file')).toThrow(message)
    expect(() => parseIdx(bytes, 'a-file')).toThrow('a-file')
  })
})

describe('images and labels stay together', () => {
  const read = (folder: string, limit?: number) =>
    readIdxDataset(join(folder, 'images'), join(folder, 'labels'), { name: 'x', split: 'train', limit })

  test('a pair of files', () => {
    const folder = temporaryFolder()
    writeIdxPair(join(folder, 'images'), join(folder, 'labels'), [4, 0, 2])
    expect(read(folder)).toEqual({
      name: 'x',
      split: 'train',
      images: Uint8Array.from({ length: 18 }, (_, i) => i),
      labels: Uint8Array.of(4, 0, 2),
      count: 3,
      height: 2,
      width: 3,
      channels: 1,
      classes: 5,
      classNames: ['0', '1', '2', '3', '4'],
    })
  })

  test('a limit takes the first, and keeps the number of classes and no more memory', () => {
    const folder = temporaryFolder()
    writeIdxPair(join(folder, 'images'), join(folder, 'labels'), [0, 1, 7], gzipSync)
    const { count, images, labels, classes } = read(folder, 2)
    expect({ count, images: images.length, labels: [...labels], classes }).toEqual({
      count: 2,
      images: 12,
      labels: [0, 1],
      classes: 8,
    })
    expect(images.buffer.byteLength).toBe(12)
    expect(read(folder, 9).count).toBe(3)
    expect(() => read(folder, 0)).toThrow('limit must be an integer of at least 1, got 0')
  })

  test('colour images', () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'images'), idx([1, 1, 2, 3], [1, 2, 3, 4, 5, 6]))
    writeFileSync(join(folder, 'labels'), idx([1], [0]))
    expect(read(folder)).toMatchObject({ count: 1, height: 1, width: 2, channels: 3 })
  })

  test.each<[string, Buffer, Buffer, RegExp]>([
    ['counts that differ', idx([2, 1, 1], [0, 0]), idx([1], [0]), /labels: expected 2 labels.*got 1/],
    ['no images', idx([0, 28, 28], []), idx([0], []), /images must be .*got \[0, 28, 28\]/],
    ['labels for images', idx([2], [0, 0]), idx([2], [0, 0]), /images must be .*got \[2\]/],
    ['two channels', idx([1, 1, 1, 2], [0, 0]), idx([1], [0]), /images must be .*got \[1, 1, 1, 2\]/],
    ['images for labels', idx([1, 1, 1], [0]), idx([1, 1, 1], [0]), /labels must be \[count\], got \[1, 1, 1\]/],
  ])('%s are refused', (_, images, labels, message) => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'images'), images)
    writeFileSync(join(folder, 'labels'), labels)
    expect(() => read(folder)).toThrow(DataError)
    expect(() => read(folder)).toThrow(message)
  })

  test('a label without a class name is refused', () => {
    const folder = temporaryFolder()
    writeIdxPair(join(folder, 'images'), join(folder, 'labels'), [0, 2, 1])
    const options = { name: 'x', split: 'test' as const, classNames: ['a', 'b'] }
    const read = () => readIdxDataset(join(folder, 'images'), join(folder, 'labels'), options)
    expect(read).toThrow(/labels must be 0\.\.1, got 2 at index 1/)
  })

  test.each([
    ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'],
    ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte.gz'],
    ['t10k-images.idx3-ubyte', 't10k-labels.idx1-ubyte'],
    ['mine-images.idx.gz', 'mine-labels.idx'],
  ])('beside %s lies %s', (images, labels) => {
    const folder = temporaryFolder()
    expect(() => labelsPathFor(join(folder, images))).toThrow(/its labels file .* is missing/)
    writeFileSync(join(folder, labels), '')
    expect(labelsPathFor(join(folder, images))).toBe(join(folder, labels))
  })

  test('a name that does not tell its labels is refused with an example', () => {
    expect(() => labelsPathFor('a/digits.idx')).toThrow('a/digits.idx: cannot tell the name of its labels file')
  })
})
