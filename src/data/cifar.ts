import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DataError } from '../errors.ts'
import { readBytes, withFile } from '../io/read-file.ts'
import { CIFAR10_CLASSES, CIFAR100_CLASSES, numberedClasses } from './class-names.ts'
import { type Dataset, limitedCount, type Split } from './dataset.ts'

/** A binary record (https://www.cs.toronto.edu/~kriz/cifar.html): the label bytes, then 1024 red, 1024 green and 1024
 *  blue values of a 32×32 image, row-major. The last label byte is the one used: CIFAR-100's fine label. */
type Format = { name: string; labelRanges: readonly number[] }

const SIDE = 32
const PLANE = SIDE * SIDE
const PIXELS = 3 * PLANE

export const CIFAR_FORMATS = {
  cifar10: { name: 'CIFAR-10', labelRanges: [10] },
  cifar100: { name: 'CIFAR-100', labelRanges: [20, 100] },
} as const satisfies Record<string, Format>

export type CifarFormat = keyof typeof CIFAR_FORMATS

export type CifarOptions = { name: string; split: Split; limit?: number; classNames?: string[] }

/** Reads CIFAR-10 (3073-byte) or CIFAR-100 (3074-byte, fine labels) binary files, one after another, as
 *  [count, 32, 32, 3]. A file holds any whole number of records, at least one. With `limit`, no more files are read than
 *  needed. Throws DataError: unreadable, not whole records, a label out of range. */
export function readCifar(paths: readonly string[], format: CifarFormat, options: CifarOptions): Dataset {
  const counts = paths.map((path) => wholeRecords(path, fileBytes(path), format))
  const count = limitedCount(
    counts.reduce((sum, n) => sum + n, 0),
    options.limit,
  )
  const images = new Uint8Array(count * PIXELS)
  const labels = new Uint8Array(count)
  for (let file = 0, at = 0; at < count; at += counts[file++]) {
    const bytes = readBytes(paths[file])
    const wrong = wrongLabel(bytes, format)
    if (wrong) throw new DataError(`${paths[file]}: ${wrong}`, { hint: 'the file is corrupt or of another format' })
    const records = Math.min(wholeRecords(paths[file], bytes.length, format), count - at)
    unpackRecords(bytes, format, images.subarray(at * PIXELS), labels.subarray(at), records)
  }
  const { labelRanges } = CIFAR_FORMATS[format]
  const classNames = options.classNames ?? numberedClasses(labelRanges.at(-1)!)
  return {
    name: options.name,
    split: options.split,
    images,
    labels,
    count,
    height: SIDE,
    width: SIDE,
    channels: 3,
    classes: classNames.length,
    classNames,
  }
}

/** Which format the files have: the one whose record size divides every file's size, and when both do, the one whose
 *  label ranges hold in every file. Throws DataError when neither or both fit. */
export function detectCifarFormat(paths: readonly string[]): CifarFormat {
  const formats = Object.keys(CIFAR_FORMATS) as CifarFormat[]
  const bySize = formats.filter((format) =>
    paths.every((path) => fileBytes(path) > 0 && fileBytes(path) % recordBytes(format) === 0),
  )
  if (bySize.length === 1) return bySize[0]
  if (bySize.length === 0) {
    throw new DataError(
      `${paths.join(', ')}: expected whole records of ${formats.map(recordBytes).join(' or ')} bytes ` +
        `(CIFAR-10 or CIFAR-100), got ${paths.map(fileBytes).join(', ')} bytes`,
      { hint: 'the file is truncated or of another format' },
    )
  }
  const byLabel = bySize.filter((format) => paths.every((path) => wrongLabel(readBytes(path), format) === undefined))
  if (byLabel.length === 1) return byLabel[0]
  const how =
    byLabel.length === 0 ? 'neither, by its labels' : 'both CIFAR-10 and CIFAR-100, by its size and its labels'
  throw new DataError(`${paths.join(', ')} fits ${how}`, {
    hint: `say which it is: cifar10:${paths[0]} or cifar100:${paths[0]}`,
  })
}

/** Class names for a file: from batches.meta.txt (CIFAR-10) or fine_label_names.txt (CIFAR-100) beside it when that has
 *  as many lines as there are classes; the official ones when it has an official name; otherwise undefined. */
export function cifarClassNames(path: string, format: CifarFormat): string[] | undefined {
  const [listName, official, officialFile] = {
    cifar10: ['batches.meta.txt', CIFAR10_CLASSES, /^(data_batch_.*|test_batch)\.bin$/] as const,
    cifar100: ['fine_label_names.txt', CIFAR100_CLASSES, /^(train|test).*\.bin$/] as const,
  }[format]
  const list = join(dirname(path), listName)
  if (existsSync(list)) {
    const names = new TextDecoder().decode(readBytes(list)).split('\n')
    const trimmed = names.map((name) => name.trim()).filter((name) => name !== '')
    if (trimmed.length === official.length) return trimmed
  }
  return officialFile.test(basename(path)) ? [...official] : undefined
}

function recordBytes(format: CifarFormat): number {
  return CIFAR_FORMATS[format].labelRanges.length + PIXELS
}

function fileBytes(path: string): number {
  return withFile(path, (file) => file.bytes)
}

function wholeRecords(path: string, bytes: number, format: CifarFormat): number {
  const size = recordBytes(format)
  if (bytes === 0 || bytes % size !== 0) {
    const name = CIFAR_FORMATS[format].name
    throw new DataError(`${path}: expected whole ${name} records of ${size} bytes, at least one, got ${bytes} bytes`, {
      hint: 'the file is truncated or of another format',
    })
  }
  return bytes / size
}

/** What is wrong with the first label that is out of its range; undefined when all fit. */
function wrongLabel(bytes: Uint8Array, format: CifarFormat): string | undefined {
  const { name, labelRanges } = CIFAR_FORMATS[format]
  for (let start = 0; start < bytes.length; start += recordBytes(format)) {
    for (let l = 0; l < labelRanges.length; l++) {
      const label = bytes[start + l]
      if (label < labelRanges[l]) continue
      const kind = labelRanges.length === 1 ? 'label' : ['coarse label', 'fine label'][l]
      return `${name} ${kind} must be 0..${labelRanges[l] - 1}, got ${label} in record ${start / recordBytes(format)}`
    }
  }
  return undefined
}

/** Planes [3, 32, 32] of each record → pixels [32, 32, 3]. */
function unpackRecords(
  bytes: Uint8Array,
  format: CifarFormat,
  images: Uint8Array,
  labels: Uint8Array,
  count: number,
): void {
  const labelBytes = CIFAR_FORMATS[format].labelRanges.length
  for (let n = 0; n < count; n++) {
    const planes = n * recordBytes(format) + labelBytes
    labels[n] = bytes[planes - 1]
    for (let p = 0, to = n * PIXELS; p < PLANE; p++) {
      images[to++] = bytes[planes + p]
      images[to++] = bytes[planes + PLANE + p]
      images[to++] = bytes[planes + 2 * PLANE + p]
    }
  }
}
