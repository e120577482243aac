import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { DataError } from '../errors.ts'
import { readBytes } from '../io/read-file.ts'
import { numberedClasses } from './class-names.ts'
import { type Dataset, limitedCount, type Split } from './dataset.ts'

/** An array of unsigned bytes, row-major. */
export type IdxArray = { shape: number[]; data: Uint8Array }

/** No data set of this kind comes near it; a file of a few MB can be made to unpack to more memory than there is. */
const MAX_UNPACKED_BYTES = 2 ** 30

/** Parses the IDX format of the MNIST page (http://yann.lecun.com/exdb/mnist), plain or gzip, of unsigned bytes: two
 *  zeros, the type 0x08, the number of dimensions, each extent as big-endian u32, the values. `source` is named in errors.
 *
 *  Throws DataError: not IDX, another element type, truncated, longer than its extents say, corrupt gzip. */
export function parseIdx(bytes: Uint8Array, source = 'input'): IdxArray {
  const file = bytes[0] === 0x1f && bytes[1] === 0x8b ? unpack(bytes, source) : plain(bytes)
  const [zero, alsoZero, type, rank] = file
  if (file.length < 4 || zero !== 0 || alsoZero !== 0 || rank < 1) {
    const got = [...file.subarray(0, 4)].join(', ')
    fail(
      source,
      `expected to begin with the bytes 0, 0, 8, dimensions; got ${got || 'an empty file'}`,
      'not an IDX file',
    )
  }
  if (type !== 0x08) {
    fail(source, `element type must be 8 (unsigned byte), got ${type}`, 'write the file again as unsigned bytes')
  }
  const headerBytes = 4 + 4 * rank
  if (file.length < headerBytes) fail(source, `the header is ${headerBytes} bytes, got ${file.length}`, TRUNCATED)
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis))
  const expected = shape.reduce((total, extent) => total * extent, 1)
  const got = file.length - headerBytes
  if (got !== expected) {
    const hint = got < expected ? TRUNCATED : 'the file is corrupt, or something was appended to it'
    fail(source, `[${shape.join(', ')}] is ${expected} bytes of values, got ${got}`, hint)
  }
  return { shape, data: file.subarray(headerBytes) }
}

const TRUNCATED = 'the file is truncated: copy or download it again'

export type IdxOptions = { name: string; split: Split; limit?: number; classNames?: string[] }

/** Reads a pair of IDX files: images [count, height, width] or [count, height, width, 1 or 3], labels [count]. Without
 *  `classNames` the classes are 0 to the largest label of the whole file.
 *
 *  Throws DataError: unreadable, not IDX, wrong dimensions, empty, counts that differ, a label without a class name. */
export function readIdxDataset(imagesPath: string, labelsPath: string, options: IdxOptions): Dataset {
  const images = parseIdx(readBytes(imagesPath), imagesPath)
  const [total, height, width, channels = 1] = images.shape
  const ranked = images.shape.length === 3 || (images.shape.length === 4 && (channels === 1 || channels === 3))
  if (!ranked || images.data.length === 0) {
    fail(
      imagesPath,
      `images must be [count, height, width] or [count, height, width, 1 or 3], none of them 0, got [${images.shape.join(', ')}]`,
      'is this the labels file?',
    )
  }
  const labels = readIdxLabels(labelsPath)
  if (labels.length !== total) {
    fail(labelsPath, `expected ${total} labels, one for each of ${imagesPath}, got ${labels.length}`, 'not a pair')
  }
  const largest = labels.reduce((max, label) => Math.max(max, label), 0)
  const classNames = options.classNames ?? numberedClasses(largest + 1)
  if (largest >= classNames.length) {
    const at = labels.indexOf(largest)
    fail(labelsPath, `labels must be 0..${classNames.length - 1}, got ${largest} at index ${at}`, 'another data set?')
  }
  const count = limitedCount(total, options.limit)
  return {
    name: options.name,
    split: options.split,
    images: images.data.slice(0, count * height * width * channels),
    labels: labels.slice(0, count),
    count,
    height,
    width,
    channels,
    classes: classNames.length,
    classNames,
  }
}

/** The labels of an IDX file of one dimension. Throws DataError. */
export function readIdxLabels(path: string): Uint8Array {
  const { shape, data } = parseIdx(readBytes(path), path)
  if (shape.length !== 1) fail(path, `labels must be [count], got [${shape.join(', ')}]`, 'is this the images file?')
  return data
}

/** The labels file beside an images file, by the usual naming: `images` becomes `labels`, `idx3` becomes `idx1`, with or
 *  without `.gz`. Throws DataError when the name does not tell, or no such file is there. */
export function labelsPathFor(imagesPath: string): string {
  const name = basename(imagesPath)
  const labels = name.replace(/images/i, 'labels').replace(/idx[34]/i, 'idx1')
  if (labels === name || !/labels/i.test(labels)) {
    throw new DataError(`${imagesPath}: cannot tell the name of its labels file`, {
      hint: 'an images file is named like train-images-idx3-ubyte.gz, beside train-labels-idx1-ubyte.gz',
    })
  }
  const plain = labels.replace(/\.gz$/, '')
  const found = [labels, plain, `${plain}.gz`].map((file) => join(dirname(imagesPath), file)).find(existsSync)
  if (!found) {
    throw new DataError(`${imagesPath}: its labels file ${join(dirname(imagesPath), plain)}[.gz] is missing`)
  }
  return found
}

function unpack(bytes: Uint8Array, source: string): Uint8Array {
  let unpacked: { buffer: Uint8Array; engine: { bytesWritten: number } }
  try {
    // With `info`, zlib also tells how much of its input it used; the types do not know of it.
    const options = { info: true, maxOutputLength: MAX_UNPACKED_BYTES }
    unpacked = gunzipSync(bytes, options) as unknown as typeof unpacked
  } catch (cause) {
    fail(
      source,
      `gzip: ${(cause as Error).message}`,
      'the file is truncated or corrupt: copy or download it again',
      cause,
    )
  }
  const used = unpacked.engine.bytesWritten
  if (used !== bytes.length) {
    fail(source, `gzip: the compressed data end at byte ${used}, got ${bytes.length} bytes`, 'something was appended')
  }
  return plain(unpacked.buffer)
}

/** A Buffer as what it is beneath: its `slice`, unlike Uint8Array's, does not copy. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function fail(source: string, what: string, hint: string, cause?: unknown): never {
  throw new DataError(`IDX: ${source}: ${what}`, { hint, cause })
}
