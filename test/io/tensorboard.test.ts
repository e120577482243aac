import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.ts'
import { crc32c } from '../../src/io/crc32c.ts'
import { openEventFile } from '../../src/io/tensorboard.ts'
import { temporaryFolder } from './temporary-folder.ts'

type Field = { field: number; value: number | Buffer }

/** The fields of a protocol-buffers message, in order. */
function fields(message: Buffer): Field[] {
  const out: Field[] = []
  let at = 0
  const varint = () => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++]
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  const take = (bytes: number) => message.subarray(at, (at += bytes))
  while (at < message.length) {
    const key = varint()
    const wire = key % 8
    const value =
      wire === 0 ? varint() : wire === 1 ? take(8).readDoubleLE() : wire === 5 ? take(4).readFloatLE() : take(varint())
    out.push({ field: Math.floor(key / 8), value })
  }
  return out
}

const get = (message: Buffer, field: number) => fields(message).find((entry) => entry.field === field)?.value

/** The messages of a TFRecord file, each checksum verified (with the rotation written out as in the format's text). */
function records(path: string): Buffer[] {
  const file = readFileSync(path)
  const masked = (bytes: Buffer) => {
    const crc = crc32c(bytes)
    return (Math.floor(crc / 2 ** 15) + (crc % 2 ** 15) * 2 ** 17 + 0xa282ead8) % 2 ** 32
  }
  const out: Buffer[] = []
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    expect(file.readUInt32LE(at + 8)).toBe(masked(file.subarray(at, at + 8)))
    out.push(file.subarray(at + 12, at + 12 + length))
    expect(file.readUInt32LE(at + 12 + length)).toBe(masked(out.at(-1)!))
    at += length + 16
  }
  return out
}

/** [step, { tag: value }] of every scalar event. */
function scalars(path: string): [number, Record<string, number>][] {
  return records(path)
    .slice(1)
    .map((event) => {
      const values = fields(get(event, 5) as Buffer).map(({ value }) => value as Buffer)
      return [
        get(event, 2) as number,
        Object.fromEntries(values.map((value) => [String(get(value, 1)), get(value, 2) as number])),
      ]
    })
}

test('checksums are CRC-32C', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283) // the published check value
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa) // RFC 3720, B.4
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43)
})

describe('TensorBoard can read the log', () => {
  test('the file begins with the bytes that TensorFlow writes', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.1')
    openEventFile(path).close()
    const file = readFileSync(path)
    // Length 24 and its masked checksum, as every event file of TensorFlow begins; then the time, and field 3.
    expect(file.subarray(0, 13).toString('hex')).toBe('1800000000000000a37f4b2209')
    expect(file.subarray(21, 36).toString('latin1')).toBe('\x1a\x0dbrain.Event:2')
    expect(file.length).toBe(40)
  })

  test('any scalars, with their step and time', () => {
    const tags = fc.string({ unit: 'grapheme', minLength: 1 }).filter((tag) => tag !== '__proto__')
    const values = fc.float({ noNaN: true })
    const step = fc.oneof(fc.nat(300), fc.maxSafeNat())
    const path = join(temporaryFolder(), 'events.out.tfevents.1')
    fc.assert(
      fc.property(step, fc.dictionary(tags, values), fc.double({ noNaN: true }), (step, values, time) => {
        const log = openEventFile(path, { truncateTo: 0 })
        log.write(step, values, time)
        log.close()
        expect(scalars(path)).toEqual([[step, { ...values }]])
        expect(get(records(path)[1], 1)).toBe(time)
      }),
      { numRuns: 50 },
    )
  })

  test('a loss that became NaN or infinite is logged as such', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.1')
    const log = openEventFile(path)
    log.write(1, { a: NaN, b: -Infinity })
    log.close()
    expect(scalars(path)).toEqual([[1, { a: NaN, b: -Infinity }]])
  })
})

describe('a resumed run continues its log', () => {
  test('events after the checkpoint are cut off, those before it stay', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.1')
    const first = openEventFile(path)
    first.write(1, { loss: 3 })
    first.flush()
    const { position } = first
    first.write(2, { loss: 99 })
    first.close()
    const second = openEventFile(path, { truncateTo: position })
    expect(second.position).toBe(position)
    second.write(2, { loss: 2 })
    second.close()
    expect(scalars(path)).toEqual([
      [1, { loss: 3 }],
      [2, { loss: 2 }],
    ])
  })

  test('`position` is where the file will end, flushed or not', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.1')
    const log = openEventFile(path)
    log.write(1, { loss: 3 })
    const { position } = log
    log.close()
    expect(readFileSync(path).length).toBe(position)
  })

  test('a record torn by a crash is dropped, wherever it was torn', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.1')
    const log = openEventFile(path)
    log.write(1, { loss: 3 })
    log.flush()
    const whole = log.position
    log.write(2, { loss: 2 })
    log.close()
    const full = readFileSync(path)
    for (let size = whole; size < full.length; size++) {
      writeFileSync(path, full.subarray(0, size))
      const again = openEventFile(path)
      expect(again.position).toBe(whole)
      again.write(3, { loss: 1 })
      again.close()
      expect(scalars(path)).toEqual([
        [1, { loss: 3 }],
        [3, { loss: 1 }],
      ])
    }
  })

  test('a log that cannot be the one of the checkpoint is refused, and left as it is', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.1')
    const log = openEventFile(path)
    log.write(1, { loss: 3 })
    log.close()
    const size = log.position
    expect(() => openEventFile(path, { truncateTo: size - 1 })).toThrow(/record to end at byte \d+, the nearest/)
    expect(() => openEventFile(path, { truncateTo: size + 1 })).toThrow(/at least \d+ bytes, got/)
    expect(readFileSync(path).length).toBe(size)
    truncateSync(path, 0)
    appendFileSync(path, 'my notes')
    expect(() => openEventFile(path)).toThrow('not a TensorBoard event file')
    expect(readFileSync(path, 'utf8')).toBe('my notes')
    expect(() => openEventFile(join(path, 'x'))).toThrow(DataError)
  })
})

test('a step that is no count, and a write after closing, are refused', () => {
  const log = openEventFile(join(temporaryFolder(), 'events.out.tfevents.1'))
  expect(() => log.write(-1, {})).toThrow('step must be an integer of at least 0, got -1')
  expect(() => log.write(1.5, {})).toThrow(DataError)
  log.close()
  log.close()
  expect(() => log.write(1, {})).toThrow('is closed')
})
