import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.ts'
import { readTar } from '../../src/io/tar.ts'

// test/fixtures/data/files.py made these with GNU tar.
const archive = (form: string) =>
  new Uint8Array(gunzipSync(readFileSync(new URL(`../fixtures/data/${form}.tar.gz`, import.meta.url))))
const contents = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 7 + size) % 256)

describe('the files of an archive come out whole', () => {
  test.each(['v7', 'ustar', 'gnu'])('%s', (form) => {
    const files = readTar(archive(form), form)
    expect(files.get('set/one.bin')).toEqual(contents(700))
    expect(files.get('set/empty.bin')).toEqual(new Uint8Array(0))
    expect(files.has('set/link.bin')).toBe(false)
  })

  test('also one whose path takes two fields', () => {
    const files = readTar(archive('ustar'), 'ustar')
    expect(files.get(`set/${'a-folder-with-a-name-of-some-length/'.repeat(3)}two.bin`)).toEqual(contents(512))
    expect(files.size).toBe(3)
  })
})

test('a damaged archive is refused with the place', () => {
  const whole = archive('v7')
  const changed = whole.with(130, 0x39) // a 9 in the size
  expect(() => readTar(changed, 'x.tar')).toThrow('tar: x.tar: the checksum of the header does not hold (at byte 0)')
  // Bytes 124 to 135 are the size, of which '9' is no octal digit; the checksum field, 148 to 155, is put right.
  const sum = whole.subarray(0, 512).reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0)
  changed.set(Buffer.from(`${(sum - whole[130] + 0x39).toString(8).padStart(6, '0')}\0 `), 148)
  expect(() => readTar(changed, 'x.tar')).toThrow('the size is not an octal number')
  expect(() => readTar(whole.subarray(0, 900), 'x.tar')).toThrow(/700 bytes of contents expected|512/)
})

test('any damage gives files or a DataError, nothing else', () => {
  const whole = archive('ustar')
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, value, length) => {
      try {
        for (const file of readTar(whole.with(at, value).subarray(0, length), 'x').values()) {
          expect(file.length).toBeLessThanOrEqual(whole.length)
        }
      } catch (error) {
        if (!(error instanceof DataError)) throw error
      }
    }),
  )
})
