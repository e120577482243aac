import { DataError } from '../errors.ts'
import { duplicateKey } from './json-keys.ts'

/** The dtypes that this package reads and writes. BF16 is handed over as its raw 16 bits. */
export const ELEMENT_BYTES = { F64: 8, I64: 8, F32: 4, I32: 4, BF16: 2, U8: 1 } as const

export type SafetensorsDType = keyof typeof ELEMENT_BYTES

/** dtypes of the format (safetensors 0.6, `tensor.rs`) that this package does not read. */
const OTHER_DTYPES = 'BOOL F4 F6_E2M3 F6_E3M2 I8 F8_E5M2 F8_E4M3 F8_E8M0 I16 U16 F16 U32 C64 U64'.split(' ')

/** safetensors `tensor.rs`: MAX_HEADER_SIZE. */
export const MAX_HEADER_BYTES = 100_000_000

/** Where one tensor lies: bytes `begin` (included) to `end` (excluded) of the data, which follow the header. */
export type HeaderEntry = { name: string; dtype: SafetensorsDType; shape: number[]; begin: number; end: number }

export type Header = { entries: HeaderEntry[]; metadata: Record<string, string> }

/** The length of the JSON header, from the first 8 bytes of a file of `fileBytes` bytes. Throws DataError. */
export function headerLength(first8: Uint8Array, fileBytes: number, source: string): number {
  if (fileBytes < 8) {
    fail(source, `expected at least 8 bytes, got ${fileBytes}`, 'the file is truncated or is not safetensors')
  }
  const length = new DataView(first8.buffer, first8.byteOffset, 8).getBigUint64(0, true)
  if (length > MAX_HEADER_BYTES) {
    fail(source, `header must be at most ${MAX_HEADER_BYTES} bytes, got ${length}`, 'the file is not safetensors')
  }
  if (Number(length) > fileBytes - 8) {
    fail(
      source,
      `header is ${length} bytes by the file's first 8 bytes, but only ${fileBytes - 8} bytes follow`,
      'the file is truncated or is not safetensors',
    )
  }
  return Number(length)
}

/** The tensors and the metadata of a header, checked against every rule of the format and against the `dataBytes` bytes
 *  that follow it. Throws DataError. */
export function parseHeader(header: Uint8Array, dataBytes: number, source: string): Header {
  const entries: HeaderEntry[] = []
  let metadata: Record<string, string> = {}
  for (const [name, value] of Object.entries(parseJson(header, source))) {
    if (hasLoneSurrogate(name)) fail(source, `tensor ${quote(name)}: the name is not valid Unicode`, BROKEN)
    if (name === '__metadata__') metadata = checkMetadata(value, source)
    else entries.push(checkEntry(name, value, dataBytes, source))
  }
  checkLayout(entries, dataBytes, source)
  return { entries, metadata }
}

const BROKEN = 'the file is corrupt, or the program that wrote it is at fault: write it again'

function parseJson(header: Uint8Array, source: string): object {
  if (header[0] !== 0x7b) {
    fail(source, `header must begin with '{', got byte ${header[0] ?? 'nothing'}`, 'the file is not safetensors')
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header)
  } catch (cause) {
    fail(source, 'header is not valid UTF-8', BROKEN, cause)
  }
  let json: object
  try {
    json = JSON.parse(text)
  } catch (cause) {
    fail(source, `header is not valid JSON: ${(cause as Error).message}`, BROKEN, cause)
  }
  const twice = duplicateKey(text)
  if (twice !== undefined) fail(source, `header has the key ${quote(twice)} twice in one object`, BROKEN)
  return json
}

function checkMetadata(value: unknown, source: string): Record<string, string> {
  if (!isRecord(value)) fail(source, `__metadata__ must be an object of strings, got ${quote(value)}`, BROKEN)
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      fail(source, `__metadata__ ${quote(key)} must be a string, got ${quote(text)}`, BROKEN)
    }
    if (hasLoneSurrogate(key + text)) fail(source, `__metadata__ ${quote(key)} is not valid Unicode`, BROKEN)
  }
  return value as Record<string, string>
}

function checkEntry(name: string, value: unknown, dataBytes: number, source: string): HeaderEntry {
  const where = `tensor ${quote(name)}`
  if (!isRecord(value)) {
    fail(source, `${where}: expected an object with dtype, shape and data_offsets, got ${quote(value)}`, BROKEN)
  }
  const { dtype, shape, data_offsets: offsets } = value
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
    const supported = Object.keys(ELEMENT_BYTES).join(', ')
    if (OTHER_DTYPES.includes(dtype as string)) {
      fail(
        source,
        `${where}: dtype must be one of ${supported}, got ${dtype}`,
        'convert it, to F32 say, and save again',
      )
    }
    fail(
      source,
      `${where}: dtype must be one of ${supported}, got ${quote(dtype)}, which is no safetensors dtype`,
      BROKEN,
    )
  }
  if (!isCounts(shape)) {
    fail(source, `${where}: shape must be a list of integers of at least 0, got ${quote(shape)}`, BROKEN)
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    fail(source, `${where}: data_offsets must be two integers of at least 0, got ${quote(offsets)}`, BROKEN)
  }
  const [begin, end] = offsets
  if (begin > end || end > dataBytes) {
    const range = `[${begin}, ${end}]`
    if (begin > end) fail(source, `${where}: data_offsets must be in order, got ${range}`, BROKEN)
    fail(source, `${where}: data_offsets must end within ${dataBytes} bytes of data, got ${range}`, TRUNCATED)
  }
  const bytes = byteSize(shape, ELEMENT_BYTES[dtype as SafetensorsDType])
  if (bytes !== end - begin) {
    const expected = bytes === undefined ? 'more bytes than can be counted' : `${bytes} bytes`
    fail(source, `${where}: ${dtype} [${shape.join(', ')}] is ${expected}, data_offsets span ${end - begin}`, BROKEN)
  }
  return { name, dtype: dtype as SafetensorsDType, shape, begin, end }
}

const TRUNCATED = 'the file is truncated: copy or download it again'

/** The data must be covered from its first byte to its last, by one tensor after another. */
function checkLayout(entries: readonly HeaderEntry[], dataBytes: number, source: string): void {
  let covered = 0
  let previous = ''
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < covered) {
      fail(
        source,
        `tensor ${quote(name)} begins at byte ${begin}, inside ${previous}, which ends at ${covered}`,
        BROKEN,
      )
    }
    if (begin > covered) {
      fail(source, `bytes ${covered} to ${begin} belong to no tensor (before tensor ${quote(name)})`, BROKEN)
    }
    covered = end
    previous = `tensor ${quote(name)}`
  }
  if (covered !== dataBytes) {
    fail(source, `the tensors end at byte ${covered} of the data, but ${dataBytes} bytes are there`, BROKEN)
  }
}

/** Bytes of a tensor; undefined when the product is beyond 2^53 (also when an extent further on is 0). */
export function byteSize(shape: readonly number[], elementBytes: number): number | undefined {
  let bytes = elementBytes
  for (const extent of shape) {
    bytes *= extent
    if (!Number.isSafeInteger(bytes)) return undefined
  }
  return bytes
}

export function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text)
}

/** A value as it stands in a message: JSON, cut to a readable length. */
export function quote(value: unknown): string {
  let text: string
  try {
    text = JSON.stringify(value) ?? 'nothing'
  } catch {
    return 'a deeply nested value' // JSON.parse takes any depth, JSON.stringify recurses
  }
  return text.length <= 80 ? text : `${text.slice(0, 77)}…`
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0))
}

function fail(source: string, what: string, hint: string, cause?: unknown): never {
  throw new DataError(`safetensors: ${source}: ${what}`, { hint, cause })
}
