import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DataError, DTypeError, ShapeError } from '../../src/errors.ts'
import {
  encodeSafetensors,
  parseSafetensors,
  readSafetensors,
  type SafetensorsTensor,
  writeSafetensors,
} from '../../src/io/safetensors.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** A file put together by the format's description, not by the encoder under test. */
function file(header: string | object, dataBytes: number | Uint8Array = 0, headerBytes?: number): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(headerBytes ?? json.length))
  return Buffer.concat([length, json, typeof dataBytes === 'number' ? Buffer.alloc(dataBytes) : dataBytes])
}

const f32 = (begin: number, end: number, shape: unknown[] = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
})

describe('a file that breaks a rule of the format is refused with the reason', () => {
  const huge = 2 ** 52
  test.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /at least 8 bytes, got 0/],
    ['a file cut inside the length', new Uint8Array(7), /at least 8 bytes, got 7/],
    ['a header of more than 100 MB', file('{}', 0, 100_000_001), /at most 100000000 bytes, got 100000001/],
    ['a header length of 2^64 - 1', new Uint8Array(16).fill(255), /at most 100000000 bytes/],
    ['a header longer than the file', file('{}', 0, 3), /header is 3 bytes.*only 2 bytes follow/],
    ['an empty header', file('', 4), /must begin with '{'/],
    ['a header that begins with a blank', file(' {}'), /must begin with '{', got byte 32/],
    ['a header that is an array', file('[]'), /must begin with '{'/],
    ['a header that is not UTF-8', file('{}  ', 0).fill(0xff, 10, 11), /not valid UTF-8/],
    ['a header that is not JSON', file('{"a":'), /not valid JSON/],
    ['a name twice', file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":1}'), /key "a" twice/],
    ['a name twice, once escaped', file('{"a":1,"\\u0061":1}'), /key "a" twice/],
    ['a field twice', file('{"a":{"dtype":"U8","dtype":"F32"}}'), /key "dtype" twice/],
    ['a metadata key twice', file('{"__metadata__":{"k":"1","k":"2"}}'), /key "k" twice/],
    ['half a surrogate pair as a name', file('{"\\ud800":1}'), /not valid Unicode/],
    ['metadata that is no object', file({ __metadata__: 'x' }), /__metadata__ must be an object of strings/],
    ['a number in the metadata', file({ __metadata__: { epoch: 3 } }), /"epoch" must be a string, got 3/],
    ['a tensor that is no object', file({ a: [] }), /"a": expected an object with dtype/],
    ['no dtype', file({ a: { shape: [], data_offsets: [0, 0] } }), /"a": dtype must be one of F64.*got nothing/],
    ['an unknown dtype', file({ a: { ...f32(0, 4), dtype: 'Q4' } }, 4), /got "Q4", which is no safetensors dtype/],
    ['a dtype named like a method', file({ a: { ...f32(0, 4), dtype: 'toString' } }, 4), /no safetensors dtype/],
    ['a dtype that is not supported', file({ a: { ...f32(0, 4), dtype: 'F16' } }, 4), /dtype must be one of.*got F16/],
    ['no shape', file({ a: { dtype: 'F32', data_offsets: [0, 0] } }), /shape must be a list of integers/],
    ['a negative extent', file({ a: f32(0, 4, [-1]) }, 4), /shape must be a list of integers of at least 0/],
    ['a fractional extent', file({ a: f32(0, 4, [0.5]) }, 4), /shape must be a list of integers/],
    ['no offsets', file({ a: { dtype: 'F32', shape: [1] } }), /data_offsets must be two integers/],
    ['three offsets', file({ a: { ...f32(0, 4), data_offsets: [0, 4, 4] } }, 4), /data_offsets must be two integers/],
    ['a negative offset', file({ a: { ...f32(0, 4), data_offsets: [-4, 0] } }, 4), /data_offsets must be two integers/],
    ['offsets in reverse', file({ a: { ...f32(0, 4), data_offsets: [4, 0] } }, 4), /in order, got \[4, 0\]/],
    ['offsets beyond the file', file({ a: f32(0, 8) }, 4), /end within 4 bytes of data, got \[0, 8\]/],
    ['a shape of other size', file({ a: f32(0, 8, [3]) }, 8), /F32 \[3\] is 12 bytes, data_offsets span 8/],
    ['a size that overflows', file({ a: f32(0, 4, [huge, huge]) }, 4), /more bytes than can be counted/],
    ['a size that overflows times 0', file({ a: f32(0, 0, [huge, huge, 0]) }), /more bytes than can be counted/],
    ['overlapping tensors', file({ a: f32(0, 8), b: f32(4, 12) }, 12), /"b" begins at byte 4, inside tensor "a"/],
    ['one tensor twice', file({ a: f32(0, 8), b: f32(0, 8) }, 8), /"b" begins at byte 0, inside tensor "a"/],
    ['a hole', file({ a: f32(0, 4), b: f32(8, 12) }, 12), /bytes 4 to 8 belong to no tensor/],
    ['a hole at the start', file({ a: f32(4, 8) }, 8), /bytes 0 to 4 belong to no tensor/],
    ['bytes after the last tensor', file({ a: f32(0, 4) }, 5), /end at byte 4 of the data, but 5 bytes are there/],
    ['data without tensors', file({}, 1), /end at byte 0 of the data, but 1 bytes are there/],
  ])('%s', (_, bytes, message) => {
    const folder = temporaryFolder()
    const path = join(folder, 'broken.safetensors')
    writeFileSync(path, bytes)
    for (const read of [() => parseSafetensors(bytes, path), () => readSafetensors(path)]) {
      expect(read).toThrow(DataError)
      expect(read).toThrow(message)
      expect(read).toThrow(path)
    }
  })

  test('a message stays readable when a name is very long', () => {
    const read = () => parseSafetensors(file({ ['n'.repeat(10_000)]: 1 }))
    expect(read).toThrow(/^.{1,300}$/)
  })
})

describe('a valid file is read, whatever liberties it takes', () => {
  test('values of each dtype, little-endian', () => {
    const data = Buffer.alloc(8 + 8 + 4 + 4 + 2 + 1)
    data.writeDoubleLE(-1.5, 0)
    data.writeBigInt64LE(-3n, 8)
    data.writeFloatLE(0.25, 16)
    data.writeInt32LE(-7, 20)
    data.writeUInt16LE(0x3f80, 24)
    data[26] = 200
    const spans = { F64: [0, 8], I64: [8, 16], F32: [16, 20], I32: [20, 24], BF16: [24, 26], U8: [26, 27] }
    const header = Object.fromEntries(
      Object.entries(spans).map(([dtype, data_offsets]) => [dtype, { dtype, shape: [1], data_offsets }]),
    )
    const { tensors } = parseSafetensors(file(header, data))
    expect([...tensors.values()].map((tensor) => tensor.data)).toEqual([
      Float64Array.of(-1.5),
      BigInt64Array.of(-3n),
      Float32Array.of(0.25),
      Int32Array.of(-7),
      Uint16Array.of(0x3f80),
      Uint8Array.of(200),
    ])
  })

  test('tensors at odd offsets, in a file at an odd offset of its buffer', () => {
    const data = Buffer.alloc(5)
    data.writeFloatLE(2.5, 1)
    const bytes = file({ a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] }, b: f32(1, 5) }, data)
    for (let shift = 0; shift < 8; shift++) {
      const buffer = new Uint8Array(bytes.length + shift)
      buffer.set(bytes, shift)
      expect(parseSafetensors(buffer.subarray(shift)).tensors.get('b')?.data).toEqual(Float32Array.of(2.5))
    }
  })

  test('scalars, empty tensors, names that objects have already, padding, entries out of order', () => {
    const bytes = file(
      `{"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},
      "__proto__":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]},
      "":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"__metadata__":{"__proto__":"x"}}   `,
      8,
    )
    const { tensors, metadata } = parseSafetensors(bytes)
    expect([...tensors].map(([name, { shape }]) => [name, shape])).toEqual([
      ['b', []],
      ['__proto__', [3, 0]],
      ['', [1, 1]],
    ])
    expect(Object.entries(metadata)).toEqual([['__proto__', 'x']])
  })

  test('aligned arrays share the memory of the file: a large checkpoint is not held twice', () => {
    const bytes = encodeSafetensors({ a: { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) } })
    expect(parseSafetensors(bytes).tensors.get('a')?.data.buffer).toBe(bytes.buffer)
  })
})

const shapes = fc.array(fc.nat(4), { maxLength: 4 })
const count = (shape: number[]) => shape.reduce((total, extent) => total * extent, 1)
const sized = <T>(make: (n: number) => fc.Arbitrary<T>) =>
  shapes.chain((shape) => make(count(shape)).map((data) => ({ shape, data })))
const exactly = (n: number) => ({ minLength: n, maxLength: n })
const tensors: fc.Arbitrary<SafetensorsTensor> = fc.oneof(
  sized((n) => fc.float32Array(exactly(n))).map((t) => ({ dtype: 'F32' as const, ...t })),
  sized((n) => fc.float64Array(exactly(n))).map((t) => ({ dtype: 'F64' as const, ...t })),
  sized((n) => fc.uint16Array(exactly(n))).map((t) => ({ dtype: 'BF16' as const, ...t })),
  sized((n) => fc.int32Array(exactly(n))).map((t) => ({ dtype: 'I32' as const, ...t })),
  sized((n) => fc.bigInt64Array(exactly(n))).map((t) => ({ dtype: 'I64' as const, ...t })),
  sized((n) => fc.uint8Array(exactly(n))).map((t) => ({ dtype: 'U8' as const, ...t })),
)
const names = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((name) => name !== '__metadata__')
const files = fc.record({
  tensors: fc.array(fc.tuple(names, tensors), { maxLength: 6 }).map((entries) => new Map(entries)),
  metadata: fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), { maxKeys: 3 }),
})

const byName = <T>(map: Map<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

describe('what is written is what is read', () => {
  test('any tensors and metadata, through memory', () => {
    fc.assert(
      fc.property(files, (content) => {
        const got = parseSafetensors(encodeSafetensors(content.tensors, content.metadata))
        expect(byName(got.tensors)).toEqual(byName(content.tensors))
        expect({ ...got.metadata }).toEqual({ ...content.metadata })
      }),
      { numRuns: 200 },
    )
  })

  test('through a file, which holds the same bytes', () => {
    const path = join(temporaryFolder(), 'a.safetensors')
    const content = { w: { dtype: 'F64' as const, shape: [2, 1], data: Float64Array.of(Math.PI, NaN) } }
    writeSafetensors(path, content, { step: '12' })
    expect(new Uint8Array(readFileSync(path))).toEqual(encodeSafetensors(content, { step: '12' }))
    const { tensors, metadata } = readSafetensors(path)
    expect(tensors.get('w')).toEqual(content.w)
    expect(metadata).toEqual({ step: '12' })
  })

  test('the same content gives the same bytes in any order, each tensor aligned', () => {
    const byte: SafetensorsTensor = { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }
    const float: SafetensorsTensor = { dtype: 'F32', shape: [1], data: Float32Array.of(1) }
    const double: SafetensorsTensor = { dtype: 'F64', shape: [], data: Float64Array.of(1) }
    const bytes = encodeSafetensors({ byte, float, double })
    expect(encodeSafetensors({ double, byte, float })).toEqual(bytes)
    for (const { data } of parseSafetensors(bytes).tensors.values()) expect(data.buffer).toBe(bytes.buffer)
  })

  test('a tensor that does not fit its description is refused before anything is written', () => {
    const path = join(temporaryFolder(), 'a.safetensors')
    const write = (tensor: unknown, name = 'w') => writeSafetensors(path, { [name]: tensor as SafetensorsTensor })
    expect(() => write({ dtype: 'F32', shape: [3], data: new Float32Array(2) })).toThrow(ShapeError)
    expect(() => write({ dtype: 'F32', shape: [-1, -2], data: new Float32Array(2) })).toThrow(ShapeError)
    expect(() => write({ dtype: 'F32', shape: [2], data: new Float64Array(2) })).toThrow(DTypeError)
    expect(() => write({ dtype: 'F16', shape: [2], data: new Uint16Array(2) })).toThrow(DTypeError)
    expect(() => write({ dtype: 'U8', shape: [0], data: new Uint8Array(0) }, '__metadata__')).toThrow(DataError)
    expect(() => write({ dtype: 'U8', shape: [0], data: new Uint8Array(0) }, '\ud800')).toThrow(DataError)
    expect(() => writeSafetensors(path, {}, { epoch: 3 as never })).toThrow(DataError)
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined()
  })
})

describe('no file can do worse than a DataError', () => {
  const survives = (bytes: Uint8Array) => {
    try {
      for (const { shape, data } of parseSafetensors(bytes).tensors.values()) {
        expect(data.length).toBe(count([...shape]))
      }
    } catch (error) {
      if (!(error instanceof DataError)) throw error
    }
  }

  test('bytes changed, a part cut out, the end cut off', () => {
    const damage = fc.tuple(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(), fc.nat(3), fc.nat())
    fc.assert(
      fc.property(files, damage, (content, [changes, from, length, keep]) => {
        const whole = encodeSafetensors(content.tensors, content.metadata)
        for (const [at, value] of changes) whole[at % whole.length] = value
        const cut = from % whole.length
        const rest = Buffer.concat([whole.subarray(0, cut), whole.subarray(cut + length)])
        survives(keep % 3 === 0 ? rest.subarray(0, keep % (rest.length + 1)) : rest)
      }),
      { numRuns: 500 },
    )
  })

  test('any JSON as header', () => {
    const number = fc.oneof(fc.integer({ min: -1, max: 9 }), fc.double(), fc.constant(2 ** 53))
    const entry = fc.record(
      {
        dtype: fc.oneof(fc.constantFrom('F32', 'U8', 'I64'), fc.jsonValue()),
        shape: fc.oneof(fc.array(number, { maxLength: 3 }), fc.jsonValue()),
        data_offsets: fc.oneof(fc.tuple(number, number), fc.jsonValue()),
      },
      { requiredKeys: [] },
    )
    const header = fc.dictionary(fc.string(), fc.oneof(entry, fc.jsonValue()), { maxKeys: 3 })
    fc.assert(
      fc.property(header, fc.nat(16), (json, dataBytes) => survives(file(json, dataBytes))),
      { numRuns: 500 },
    )
  })

  test('a header of deeply nested brackets', () => {
    survives(file(`{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`))
    survives(file('{"a":'.repeat(100_000)))
  })

  test('a missing file, a folder', () => {
    const folder = temporaryFolder()
    expect(() => readSafetensors(join(folder, 'none.safetensors'))).toThrow(/none\.safetensors: no such file/)
    expect(() => readSafetensors(folder)).toThrow(DataError)
  })
})
