import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cifarClassNames, detectCifarFormat, readCifar } from '../../src/data/cifar.ts'
import { CIFAR10_CLASSES, CIFAR100_CLASSES } from '../../src/data/class-names.ts'
import { DataError } from '../../src/errors.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { cifar } from './make-files.ts'

const options = { name: 'x', split: 'train' as const }

function files(...contents: Uint8Array[]): string[] {
  const folder = temporaryFolder()
  return contents.map((content, i) => {
    const path = join(folder, `${i}.bin`)
    writeFileSync(path, content)
    return path
  })
}

describe('pictures keep their colours and their labels', () => {
  test('planes become pixels', () => {
    const rgb = [(y: number, x: number) => y * 7 + x, (y: number, x: number) => y + x, (y: number) => 255 - y]
    const image = cifar([[6]], (_, i) => rgb[Math.floor(i / 1024)](Math.floor((i % 1024) / 32), i % 32))
    const { images, labels, ...rest } = readCifar(files(image), 'cifar10', options)
    expect(rest).toMatchObject({ count: 1, height: 32, width: 32, channels: 3, classes: 10, name: 'x', split: 'train' })
    expect([...labels]).toEqual([6])
    for (let y = 0; y < 32; y++)
      for (let x = 0; x < 32; x++)
        for (let c = 0; c < 3; c++) expect(images[(y * 32 + x) * 3 + c]).toBe(rgb[c](y, x) % 256)
  })

  test('files follow one another; CIFAR-100 gives the fine label', () => {
    const first = cifar(
      [
        [1, 99],
        [2, 98],
      ],
      (record) => 10 + record,
    )
    const second = cifar([[3, 97]], () => 20)
    const { images, labels, count, classes } = readCifar(files(first, second), 'cifar100', options)
    expect({ labels: [...labels], count, classes }).toEqual({ labels: [99, 98, 97], count: 3, classes: 100 })
    expect([0, 1, 2].map((n) => images[n * 3072])).toEqual([10, 11, 20])
  })

  test('a limit across files; a file beyond it is not read', () => {
    const broken = cifar([[250]])
    const paths = files(cifar([[1], [2]]), cifar([[3], [4]]), broken)
    const { images, labels, count } = readCifar(paths, 'cifar10', { ...options, limit: 3 })
    expect({ labels: [...labels], count, bytes: images.length }).toEqual({ labels: [1, 2, 3], count: 3, bytes: 9216 })
    expect(() => readCifar(paths, 'cifar10', options)).toThrow('CIFAR-10 label must be 0..9, got 250 in record 0')
  })

  test('class names: from the list beside the file, else the official ones, else numbers', () => {
    expect(CIFAR10_CLASSES).toHaveLength(10)
    expect(new Set(CIFAR100_CLASSES).size).toBe(100)
    expect(CIFAR100_CLASSES).toEqual([...CIFAR100_CLASSES].sort())
    const folder = temporaryFolder()
    expect(cifarClassNames(join(folder, 'test_batch.bin'), 'cifar10')).toEqual(CIFAR10_CLASSES)
    expect(cifarClassNames(join(folder, 'mine.bin'), 'cifar10')).toBeUndefined()
    expect(cifarClassNames(join(folder, 'train.bin'), 'cifar100')).toEqual(CIFAR100_CLASSES)
    writeFileSync(join(folder, 'batches.meta.txt'), `${'abcdefghij'.split('').join('\r\n')}\r\n\r\n`)
    expect(cifarClassNames(join(folder, 'mine.bin'), 'cifar10')).toEqual('abcdefghij'.split(''))
  })
})

describe('the format is told from the file', () => {
  const labels10 = (n: number) => Array.from({ length: n }, (_, i) => [i % 10])
  const labels100 = (n: number) => Array.from({ length: n }, (_, i) => [i % 20, i % 100])

  test('by its size', () => {
    expect(detectCifarFormat(files(cifar(labels10(3)), cifar(labels10(2))))).toBe('cifar10')
    expect(detectCifarFormat(files(cifar(labels100(3))))).toBe('cifar100')
  })

  // 3073 · 3074 bytes are whole records of both kinds.
  test('by its labels when both sizes fit', () => {
    expect(detectCifarFormat(files(cifar(labels10(3074), () => 200)))).toBe('cifar10')
    expect(detectCifarFormat(files(cifar(labels100(3073), () => 200)))).toBe('cifar100')
  })

  test('when both fit, the user is asked', () => {
    const paths = files(new Uint8Array(3073 * 3074))
    expect(() => detectCifarFormat(paths)).toThrow(/fits both CIFAR-10 and CIFAR-100/)
    expect(() => detectCifarFormat(paths)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(`cifar100:${paths[0]}`) }),
    )
    expect(() => detectCifarFormat(files(new Uint8Array(3073 * 3074).fill(255)))).toThrow(/fits neither/)
  })

  test.each([0, 1, 3072, 3075, 6147])('a file of %i bytes is neither', (bytes) => {
    expect(() => detectCifarFormat(files(new Uint8Array(bytes)))).toThrow(/records of 3073 or 3074 bytes/)
  })
})

test('a cut file, and a label out of range, are refused with the place', () => {
  const cut = files(cifar([[1], [2]]).subarray(0, -1))
  expect(() => readCifar(cut, 'cifar10', options)).toThrow(/whole CIFAR-10 records of 3073 bytes.*got 6145 bytes/)
  expect(() => readCifar(files(new Uint8Array(0)), 'cifar10', options)).toThrow(DataError)
  const coarse = files(
    cifar([
      [1, 1],
      [20, 1],
    ]),
  )
  expect(() => readCifar(coarse, 'cifar100', options)).toThrow('coarse label must be 0..19, got 20 in record 1')
  const fine = files(cifar([[1, 100]]))
  expect(() => readCifar(fine, 'cifar100', options)).toThrow('fine label must be 0..99, got 100 in record 0')
  expect(() => readCifar(['none.bin'], 'cifar10', options)).toThrow('none.bin: no such file')
})

test('any bytes give a data set or a DataError', () => {
  const sizes = fc.constantFrom(0, 1, 3073, 3074, 6146, 6148)
  fc.assert(
    fc.property(sizes, fc.nat(255), fc.nat(255), (size, first, second) => {
      const bytes = new Uint8Array(size)
      if (size > 1) bytes.set([first, second])
      const paths = files(bytes)
      try {
        const { images, labels, count, classes } = readCifar(paths, detectCifarFormat(paths), options)
        expect(images.length).toBe(count * 3072)
        for (const label of labels) expect(label).toBeLessThan(classes)
      } catch (error) {
        if (!(error instanceof DataError)) throw error
      }
    }),
    { numRuns: 100 },
  )
})
