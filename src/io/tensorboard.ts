import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { DataError } from '../errors.ts'
import { crc32c } from './crc32c.ts'
import { errnoOf, fileError } from './file-error.ts'
import { readBytes } from './read-file.ts'

/* An event file is a TFRecord file (tensorflow/core/lib/io/record_writer.h) of Event messages
 * (tensorflow/core/util/event.proto), the first of which names the version. One record:
 *
 *   u64 length | u32 masked CRC-32C of the length | data | u32 masked CRC-32C of the data       (little-endian)
 */

const FRAME = 16 // bytes of a record beside its data

export type EventFileOptions = {
  /** Cuts an existing file back to this byte position, a `position` taken earlier. Without it, an existing file is
   *  continued after its last whole record. */
  truncateTo?: number
}

/** Opens a TensorBoard event file for appending scalars, and makes it if missing. TensorBoard finds files whose name
 *  contains `tfevents`.
 *
 *  Throws DataError: the file cannot be opened, is not an event file, is shorter than `truncateTo`, or `truncateTo` is
 *  not the end of a record. */
export function openEventFile(path: string, options: EventFileOptions = {}): EventFile {
  const size = existingEnd(path, options.truncateTo)
  try {
    const fd = openSync(path, size === undefined ? 'wx' : 'r+')
    if (size !== undefined) ftruncateSync(fd, size)
    return new EventFile(path, fd, size ?? 0)
  } catch (error) {
    throw fileError('open', path, error)
  }
}

/** An open event file; see `openEventFile`. Events are held in memory until `flush`. */
export class EventFile {
  readonly path: string
  #fd: number
  #written: number
  #pending: Uint8Array[] = []
  #pendingBytes = 0

  constructor(path: string, fd: number, size: number) {
    this.path = path
    this.#fd = fd
    this.#written = size
    if (size === 0) {
      this.#append(record(fileVersionEvent(Date.now() / 1000)))
      this.flush()
    }
  }

  /** The file's length in bytes once flushed. Kept in a checkpoint, it is the `truncateTo` of a resumed run. */
  get position(): number {
    return this.#written + this.#pendingBytes
  }

  /** Adds the scalars of one step, by tag. `step` is an integer of at least 0; values are stored as float32, NaN and
   *  infinities included. `wallTime` is in seconds since 1970. Throws DataError for another step. */
  write(step: number, scalars: Readonly<Record<string, number>>, wallTime: number = Date.now() / 1000): void {
    if (!Number.isSafeInteger(step) || step < 0) {
      throw new DataError(`${this.path}: step must be an integer of at least 0, got ${step}`)
    }
    this.#append(record(scalarEvent(wallTime, step, scalars)))
  }

  /** Writes what is held and flushes the file to the disk. Throws DataError; what could not be written stays held. */
  flush(): void {
    const bytes = Buffer.concat(this.#pending)
    try {
      // At a fixed position: a flush that is tried again after a failure overwrites what the first one left.
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(this.#fd, bytes, at, bytes.length - at, this.#written + at)
      }
      fsyncSync(this.#fd)
    } catch (error) {
      throw fileError('write', this.path, error)
    }
    this.#written += bytes.length
    this.#pending = []
    this.#pendingBytes = 0
  }

  /** Flushes and closes. Throws DataError; the file is closed all the same. */
  close(): void {
    if (this.#fd < 0) return
    try {
      this.flush()
    } finally {
      closeSync(this.#fd)
      this.#fd = -1
    }
  }

  #append(bytes: Uint8Array): void {
    if (this.#fd < 0) throw new DataError(`${this.path}: the event file is closed`)
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
  }
}

/** When each step of an event file was written, in seconds since 1970, up to the first record that is torn or corrupt: as
 *  `EventFile` writes them, wall time and step first. Throws DataError where the file cannot be read. */
export function readEventTimes(path: string): { step: number; wallTime: number }[] {
  const bytes = readBytes(path)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const times: { step: number; wallTime: number }[] = []
  let start = 0
  for (const end of recordEnds(bytes)) {
    const at = start + 12
    start = end
    // double wall_time = 1, then int64 step = 2; the first record has a version instead of a step.
    if (bytes[at] !== ((1 << 3) | 1) || bytes[at + 9] !== 2 << 3) continue
    let step = 0
    for (let i = at + 10, scale = 1; ; i++, scale *= 128) {
      step += (bytes[i] & 127) * scale
      if (bytes[i] < 128) break
    }
    times.push({ step, wallTime: view.getFloat64(at + 1, true) })
  }
  return times
}

/** The position to continue an existing file from; undefined when there is no file. */
function existingEnd(path: string, truncateTo: number | undefined): number | undefined {
  let bytes: Uint8Array
  try {
    bytes = readBytes(path)
  } catch (error) {
    const missing = error instanceof DataError && errnoOf(error.cause) === 'ENOENT'
    if (!missing) throw error
    if (truncateTo) throw shorter(path, truncateTo, 0)
    return undefined
  }
  if (truncateTo !== undefined && bytes.length < truncateTo) throw shorter(path, truncateTo, bytes.length)
  const ends = [...recordEnds(bytes)]
  if (ends.length === 0 && bytes.length > 0) {
    throw new DataError(`${path} is not a TensorBoard event file`, { hint: 'choose another path, or delete it' })
  }
  const end = ends.findLast((position) => position <= (truncateTo ?? bytes.length)) ?? 0
  if (truncateTo !== undefined && end !== truncateTo) {
    throw new DataError(`${path}: expected a record to end at byte ${truncateTo}, the nearest before ends at ${end}`, {
      hint: 'the file is not the one that was written then: delete it to begin a new log',
    })
  }
  return end
}

function shorter(path: string, expected: number, got: number): DataError {
  return new DataError(`${path}: expected at least ${expected} bytes, got ${got}`, {
    hint: 'events are missing from the file: delete it to begin a new log',
  })
}

/** The end of each whole record, up to the first that is torn or corrupt. */
function* recordEnds(bytes: Uint8Array): Generator<number> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + FRAME <= bytes.length; ) {
    if (view.getUint32(at + 8, true) !== maskedCrc(bytes.subarray(at, at + 8))) return
    const length = Number(view.getBigUint64(at, true))
    if (length > bytes.length - at - FRAME) return
    const data = bytes.subarray(at + 12, at + 12 + length)
    if (view.getUint32(at + 12 + length, true) !== maskedCrc(data)) return
    at += FRAME + length
    yield at
  }
}

function record(data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(FRAME + data.length)
  out.writeBigUInt64LE(BigInt(data.length), 0)
  out.writeUInt32LE(maskedCrc(out.subarray(0, 8)), 8)
  out.set(data, 12)
  out.writeUInt32LE(maskedCrc(data), 12 + data.length)
  return out
}

/** tensorflow/core/lib/hash/crc32c.h: rotated right by 15 bits, plus a constant, so that a CRC may itself be stored in
 *  data that are summed. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** Event { double wall_time = 1; string file_version = 3 } */
function fileVersionEvent(wallTime: number): Uint8Array {
  return Buffer.concat([double(1, wallTime), bytesField(3, Buffer.from('brain.Event:2'))])
}

/** Event { double wall_time = 1; int64 step = 2; Summary summary = 5 }, Summary { repeated Value value = 1 },
 *  Value { string tag = 1; float simple_value = 2 } */
function scalarEvent(wallTime: number, step: number, scalars: Readonly<Record<string, number>>): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), float(2, value)])),
  )
  const stepField = Buffer.concat([varint((2 << 3) | 0), varint(step)])
  return Buffer.concat([double(1, wallTime), stepField, bytesField(5, Buffer.concat(values))])
}

// Protocol buffers' wire format: a key (field number << 3 | wire type), then the value.

function double(field: number, value: number): Uint8Array {
  const out = Buffer.alloc(9)
  out[0] = (field << 3) | 1
  out.writeDoubleLE(value, 1)
  return out
}

function float(field: number, value: number): Uint8Array {
  const out = Buffer.alloc(5)
  out[0] = (field << 3) | 5
  out.writeFloatLE(value, 1)
  return out
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes])
}

/** Seven bits a byte, low ones first. Division, not shifts: `value` may be up to 2^53. */
function varint(value: number): Uint8Array {
  const out: number[] = []
  for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 128)
  out.push(value)
  return Uint8Array.from(out)
}
