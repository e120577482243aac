import { inflateSync } from 'node:zlib'
import { DataError } from '../errors.ts'

const NUMBERS = {
  1: Int8Array,
  2: Uint8Array,
  3: Int16Array,
  4: Uint16Array,
  5: Int32Array,
  6: Uint32Array,
  7: Float32Array,
  9: Float64Array,
} as const
type StorageType = keyof typeof NUMBERS

/** A real array: `data` is column-major, of the type it is stored as (MATLAB stores doubles that are small whole numbers as
 *  bytes). */
export type MatArray = {
  shape: number[]
  data: Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array
}

const MATRIX = 14
const COMPRESSED = 15
/** Array classes double to uint32 (MAT-File Format, table 1-3). */
const isNumeric = (arrayClass: number) => arrayClass >= 6 && arrayClass <= 13
const COMPLEX_FLAG = 0x08

const HEADER_BYTES = 128
/** SVHN's largest file unpacks to 1.7 GB; a small file can be made to unpack to more memory than there is. */
const MAX_UNPACKED_BYTES = 2 ** 31

/** The real numeric arrays of a MATLAB 5 file (MathWorks, "MAT-File Format", version 5; `save -v7` and scipy's savemat
 *  write it), by name; arrays of other kinds are passed over. `source` is named in errors.
 *
 *  Throws DataError: not MATLAB 5, written on a big-endian machine, truncated, corrupt. */
export function readMat(bytes: Uint8Array, source = 'input'): Map<string, MatArray> {
  checkHeader(bytes, source)
  const arrays = new Map<string, MatArray>()
  for (const element of elements(bytes, HEADER_BYTES, source)) {
    const plain = element.type === COMPRESSED ? inflated(element.data, source) : element
    if (plain.type !== MATRIX) continue
    const named = readArray(plain.data, source)
    if (named) arrays.set(named.name, named.array)
  }
  return arrays
}

function checkHeader(bytes: Uint8Array, source: string): void {
  const text = new TextDecoder('latin1').decode(bytes.subarray(0, 19))
  if (text.startsWith('MATLAB 7.3') || text.startsWith('\x89HDF')) {
    fail(source, 'it is of version 7.3 (HDF5)', 'save it again with -v7')
  }
  const endian = new TextDecoder('latin1').decode(bytes.subarray(126, 128))
  const known = bytes.length >= HEADER_BYTES && (endian === 'IM' || endian === 'MI')
  if (!known) fail(source, `expected a header of ${HEADER_BYTES} bytes that ends in IM`, 'not a MATLAB 5 file')
  if (endian === 'MI') fail(source, 'it was written on a big-endian machine', 'save it again on another')
  if (bytes[124] !== 0 || bytes[125] !== 1) {
    fail(source, `expected version 1.0, got ${bytes[125]}.${bytes[124]}`, 'save it again with -v7')
  }
}

type Element = { type: number; data: Uint8Array }

/** The data elements from `at` on: a tag of type and length, the data, padding to 8 bytes (none after compressed data);
 *  up to 4 bytes of data share a tag with a 2-byte type and length. */
function* elements(bytes: Uint8Array, at: number, source: string): Generator<Element> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let start = at; start < bytes.length; ) {
    if (start + 8 > bytes.length) truncated(source)
    const word = view.getUint32(start, true)
    const small = word >>> 16
    const length = small || view.getUint32(start + 4, true)
    const data = start + (small ? 4 : 8)
    if (data + length > bytes.length || small > 4) truncated(source)
    const type = word & 0xffff
    yield { type, data: bytes.subarray(data, data + length) }
    start = small ? start + 8 : data + (type === COMPRESSED ? length : Math.ceil(length / 8) * 8)
  }
}

function inflated(packed: Uint8Array, source: string): Element {
  let bytes: Uint8Array
  try {
    bytes = inflateSync(packed, { maxOutputLength: MAX_UNPACKED_BYTES })
  } catch (cause) {
    throw new DataError(`MAT: ${source}: zlib: ${(cause as Error).message}`, { hint: TRUNCATED, cause })
  }
  const [element] = elements(bytes, 0, source)
  return element ?? truncated(source)
}

/** The parts of an array are elements: flags and class, extents, name, real part (and others that are not read). */
function readArray(matrix: Uint8Array, source: string): { name: string; array: MatArray } | undefined {
  const parts = elements(matrix, 0, source)
  const next = (): Element => {
    const { value } = parts.next()
    return value ?? truncated(source)
  }
  const flags = next().data
  if (flags.length < 8) truncated(source)
  if (!isNumeric(flags[0]) || flags[1] & COMPLEX_FLAG) return undefined
  const shape = [...numbers(next(), source)]
  const name = new TextDecoder('latin1').decode(next().data)
  const data = numbers(next(), source)
  const size = shape.reduce((total, extent) => total * extent, 1)
  if (shape.length < 2 || shape.some((extent) => extent < 0) || data.length !== size) {
    fail(source, `${name} is [${shape.join(', ')}], which is ${size} values, got ${data.length}`, TRUNCATED)
  }
  return { name, array: { shape, data } }
}

function numbers({ type, data }: Element, source: string): MatArray['data'] {
  if (!Object.hasOwn(NUMBERS, type)) fail(source, `the storage type ${type} is none of real numbers`, TRUNCATED)
  if (type === 2) return data
  const Numbers = NUMBERS[type as StorageType]
  // A copy: the values need not lie at a multiple of their size.
  return new Numbers(new Uint8Array(data).buffer, 0, Math.floor(data.length / Numbers.BYTES_PER_ELEMENT))
}

const TRUNCATED = 'the file is truncated or corrupt: copy or download it again'

function truncated(source: string): never {
  fail(source, 'it ends within an element', TRUNCATED)
}

function fail(source: string, what: string, hint: string): never {
  throw new DataError(`MAT: ${source}: ${what}`, { hint })
}
