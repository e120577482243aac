import { type Dirent, existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { DataError } from '../errors.ts'
import { fileError } from '../io/file-error.ts'
import { readBytes } from '../io/read-file.ts'
import { type ConvertOptions, convertImages, type Images } from './convert.ts'
import { type Dataset, limitedCount, type Split } from './dataset.ts'

/** Decodes a PNG file to 8-bit values [height, width, channels] row-major; throws any Error where it cannot. The library
 *  has no decoder of its own, so that it depends on nothing; the commands give one made of the package `fast-png`. */
export type PngDecoder = (file: Uint8Array) => { width: number; height: number; channels: 1 | 3; pixels: Uint8Array }

export type ImageFolderOptions = ConvertOptions & {
  name: string
  split: Split
  limit?: number
  decodePng?: PngDecoder
}

const splits: readonly Split[] = ['train', 'test']

/** Whether a folder is a data set of PNG files: `<folder>/<class>/*.png`, or `<folder>/train/<class>/*.png` and the same
 *  with `test`. */
export function isImageFolder(folder: string): boolean {
  return (hasSplits(folder) ? splitFolders(folder) : [folder]).some((root) =>
    subfolders(root).some((name) => pngFiles(join(root, name)).length > 0),
  )
}

/** Whether a folder of PNG files has a training or a test part; without either it is one whole, for both. */
function hasSplits(folder: string): boolean {
  return splits.some((split) => hasImageSplit(folder, split))
}

/** Whether a folder of PNG files has this part as a folder of its own. */
export function hasImageSplit(folder: string, split: Split): boolean {
  return splitFolders(folder).some((path) => basename(path) === split && subfolders(path).length > 0)
}

/** Reads PNG files, each in the folder of its class. Classes are numbered in the order of the folders' names (by code
 *  points, as torchvision's ImageFolder: '10' before '2'), and those of both splits are the same. Files come in the order
 *  of their names, one of each class in turn, so that a `limit` leaves all classes.
 *
 *  Throws DataError: no file, a file that cannot be decoded, images of different sizes or colours (unless `resize` and
 *  `channels` make them alike), no decoder. */
export function readImageFolder(folder: string, options: ImageFolderOptions): Dataset {
  const { name, split, limit, decodePng } = options
  const parted = hasSplits(folder)
  const classNames = [...new Set((parted ? splitFolders(folder) : [folder]).flatMap(subfolders))].sort()
  const root = parted ? join(folder, split) : folder
  const files = inTurn(classNames.map((className) => pngFiles(join(root, className))))
  const count = limitedCount(files.length, limit)
  if (count === 0) throw new DataError(`${root}: no PNG file found in its folders of classes`)
  if (!decodePng) {
    throw new DataError(`${folder}: reading PNG files takes a decoder`, {
      hint: 'give one as decodePng; langevin has none of its own, so that it depends on nothing',
    })
  }
  const labels = files.slice(0, count).map(({ label }) => label)
  const paths = files.slice(0, count).map(({ path }) => path)
  return {
    name,
    split,
    ...readImages(paths, decodePng, options),
    labels: classNames.length <= 256 ? Uint8Array.from(labels) : Int32Array.from(labels),
    classes: classNames.length,
    classNames,
  }
}

function readImages(paths: readonly string[], decodePng: PngDecoder, options: ImageFolderOptions): Images {
  const { resize, channels, onProgress } = options
  let all: Images | undefined
  for (const [n, path] of paths.entries()) {
    const image = convertImages(readImage(path, decodePng), { resize, channels })
    all ??= { ...image, count: paths.length, images: new Uint8Array(paths.length * image.images.length) }
    const size = ({ height, width, channels }: Images) => `${height}×${width}×${channels}`
    if (size(image) !== size(all)) {
      throw new DataError(`${path} is ${size(image)}, ${paths[0]} is ${size(all)}: images must be alike`, {
        hint: 'make them alike with --resize and --channels',
      })
    }
    all.images.set(image.images, n * image.images.length)
    onProgress?.(n + 1, paths.length)
  }
  return all!
}

/** A larger picture is none to train on, and a small file can be made to unpack to more memory than there is. */
const MAX_PIXELS = 2 ** 26

function readImage(path: string, decodePng: PngDecoder): Images {
  const file = readBytes(path)
  const view = new DataView(file.buffer)
  // Signature (8 bytes), length and type of the first chunk (8), width, height (PNG specification, 5.2, 11.2.1).
  const [width, height] = file.length >= 24 ? [view.getUint32(16), view.getUint32(20)] : [0, 0]
  if (width * height > MAX_PIXELS) throw new DataError(`${path}: ${width}×${height} pixels are more than ${MAX_PIXELS}`)
  try {
    const { pixels, ...size } = decodePng(file)
    return { images: pixels, count: 1, ...size }
  } catch (cause) {
    throw new DataError(`${path}: cannot be read as PNG: ${(cause as Error).message}`, {
      hint: 'write it again as PNG of 8-bit grey or RGB values without transparency',
      cause,
    })
  }
}

type LabelledFile = { path: string; label: number }

/** The first file of each class, then the second of each, and so on. */
function inTurn(filesOfClasses: readonly string[][]): LabelledFile[] {
  const longest = Math.max(0, ...filesOfClasses.map((files) => files.length))
  return Array.from({ length: longest }, (_, i) =>
    filesOfClasses.flatMap((files, label) => (i < files.length ? [{ path: files[i], label }] : [])),
  ).flat()
}

function splitFolders(folder: string): string[] {
  const names = subfolders(folder)
  return splits.filter((split) => names.includes(split)).map((split) => join(folder, split))
}

function subfolders(folder: string): string[] {
  return entries(folder)
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
}

/** In the order of their names; none where there is no such folder. */
function pngFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  const names = entries(folder).map(({ name }) => name)
  return names
    .filter((name) => /^[^.].*\.png$/i.test(name))
    .sort()
    .map((name) => join(folder, name))
}

function entries(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    throw fileError('read', folder, error)
  }
}
