import { DataError, DTypeError, ShapeError } from '../errors.ts'
import { writeFileAtomic } from './atomic.ts'
import { withFile } from './read-file.ts'
import {
  byteSize,
  ELEMENT_BYTES,
  type Header,
  type HeaderEntry,
  hasLoneSurrogate,
  headerLength,
  MAX_HEADER_BYTES,
  parseHeader,
  quote,
} from './safetensors-header.ts'

export type { SafetensorsDType } from './safetensors-header.ts'

/** One tensor, row-major. `data` has as many elements as the product of `shape`; BF16 is its raw 16 bits. */
export type SafetensorsTensor =
  | { dtype: 'F32'; shape: readonly number[]; data: Float32Array }
  | { dtype: 'F64'; shape: readonly number[]; data: Float64Array }
  | { dtype: 'BF16'; shape: readonly number[]; data: Uint16Array }
  | { dtype: 'I32'; shape: readonly number[]; data: Int32Array }
  | { dtype: 'I64'; shape: readonly number[]; data: BigInt64Array }
  | { dtype: 'U8'; shape: readonly number[]; data: Uint8Array }

export type SafetensorsFile = { tensors: Map<string, SafetensorsTensor>; metadata: Record<string, string> }

/** Tensors by name, to be written. */
export type SafetensorsInput = ReadonlyMap<string, SafetensorsTensor> | Readonly<Record<string, SafetensorsTensor>>

const ARRAYS = {
  F32: Float32Array,
  F64: Float64Array,
  BF16: Uint16Array,
  I32: Int32Array,
  I64: BigInt64Array,
  U8: Uint8Array,
} as const

/** Reads safetensors from memory (https://huggingface.co/docs/safetensors, format section). Arrays are views of `bytes`
 *  where they are aligned, copies where not. `source` is named in errors.
 *
 *  Throws DataError for anything that breaks a rule of the format, and for dtypes other than F32, F64, BF16, I32, I64
 *  and U8. Values are not looked at. */
export function parseSafetensors(bytes: Uint8Array, source = 'input'): SafetensorsFile {
  const length = headerLength(bytes, bytes.length, source)
  const data = bytes.subarray(8 + length)
  return assemble(parseHeader(bytes.subarray(8, 8 + length), data.length, source), data)
}

/** Reads a safetensors file. The header is checked before the data are read; the data are read once, into one buffer
 *  that all the arrays share (so the memory is freed when none of them is used any more). Throws DataError. */
export function readSafetensors(path: string): SafetensorsFile {
  return withFile(path, (file) => {
    const length = headerLength(file.read(0, Math.min(8, file.bytes)), file.bytes, path)
    const dataBytes = file.bytes - 8 - length
    const header = parseHeader(file.read(8, length), dataBytes, path)
    return assemble(header, file.read(8 + length, dataBytes))
  })
}

/** Encodes tensors and metadata. The same content gives the same bytes in whatever order it comes: tensors are laid out
 *  by element size, largest first (so every one is aligned), then by name.
 *
 *  Throws ShapeError (shape and data disagree), DTypeError (dtype and array type disagree), DataError (a name or text
 *  that cannot be stored; a header beyond 100 MB). */
export function encodeSafetensors(
  tensors: SafetensorsInput,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const pieces = encodePieces(tensors, metadata)
  const file = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    file.set(piece, at)
    at += piece.length
  }
  return file
}

/** Writes a safetensors file atomically (see `writeFileAtomic`), without a copy of the data. Throws as
 *  `encodeSafetensors`, and DataError when the file cannot be written. */
export function writeSafetensors(
  path: string,
  tensors: SafetensorsInput,
  metadata: Readonly<Record<string, string>> = {},
): void {
  writeFileAtomic(path, encodePieces(tensors, metadata))
}

function assemble({ entries, metadata }: Header, data: Uint8Array): SafetensorsFile {
  return { tensors: new Map(entries.map((entry) => [entry.name, tensorOf(entry, data)])), metadata }
}

function tensorOf({ dtype, shape, begin, end }: HeaderEntry, data: Uint8Array): SafetensorsTensor {
  const count = (end - begin) / ELEMENT_BYTES[dtype]
  const aligned = (data.byteOffset + begin) % ELEMENT_BYTES[dtype] === 0
  const source = aligned ? data.subarray(begin, end) : new Uint8Array(data.subarray(begin, end))
  return {
    dtype,
    shape,
    data: new ARRAYS[dtype](source.buffer as ArrayBuffer, source.byteOffset, count),
  } as SafetensorsTensor
}

/** The length, the header (padded with blanks so that the data begin at a multiple of 8) and each tensor's bytes. */
function encodePieces(tensors: SafetensorsInput, metadata: Readonly<Record<string, string>>): Uint8Array[] {
  const list: [string, SafetensorsTensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors)
  for (const [name, tensor] of list) checkTensor(name, tensor)
  checkMetadata(metadata)
  list.sort(([a, x], [b, y]) => ELEMENT_BYTES[y.dtype] - ELEMENT_BYTES[x.dtype] || (a < b ? -1 : 1))

  // Written key by key: an object could not hold a tensor of the name "__proto__".
  const fields: string[] = []
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`)
  let offset = 0
  for (const [name, { dtype, shape, data }] of list) {
    const info = { dtype, shape, data_offsets: [offset, offset + data.byteLength] }
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`)
    offset += data.byteLength
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`)
  const length = Math.ceil(json.length / 8) * 8
  if (length > MAX_HEADER_BYTES) {
    throw new DataError(`safetensors: header must be at most ${MAX_HEADER_BYTES} bytes, got ${length}`, {
      hint: 'shorten the metadata, or write several files',
    })
  }
  const head = new Uint8Array(8 + length).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true)
  head.set(json, 8)
  return [head, ...list.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))]
}

function checkTensor(name: string, { dtype, shape, data }: SafetensorsTensor): void {
  const where = `safetensors: tensor ${quote(name)}`
  if (name === '__metadata__') throw new DataError(`${where}: the name is reserved by the format; choose another`)
  if (hasLoneSurrogate(name)) throw new DataError(`${where}: the name is not valid Unicode; choose another`)
  if (!Object.hasOwn(ARRAYS, dtype)) {
    throw new DTypeError(`${where}: dtype must be one of ${Object.keys(ARRAYS).join(', ')}, got ${quote(dtype)}`)
  }
  if (!(data instanceof ARRAYS[dtype])) {
    throw new DTypeError(`${where}: data of dtype ${dtype} must be a ${ARRAYS[dtype].name}, got ${typeName(data)}`)
  }
  const valid = shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)
  if (!valid || byteSize(shape, ELEMENT_BYTES[dtype]) !== data.byteLength) {
    throw new ShapeError(`${where}: shape [${shape.join(', ')}] does not fit its data of ${data.length} elements`)
  }
}

function checkMetadata(metadata: Readonly<Record<string, string>>): void {
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== 'string' || hasLoneSurrogate(key + text)) {
      throw new DataError(`safetensors: metadata ${quote(key)} must be valid Unicode text, got ${quote(text)}`)
    }
  }
}

function typeName(value: unknown): string {
  return (value as object | undefined)?.constructor?.name ?? String(value)
}
