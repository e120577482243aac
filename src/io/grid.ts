import { ConfigError, ShapeError } from '../errors.ts'
import { writeFileAtomic } from './atomic.ts'
import { encodePng } from './png.ts'

export type ImageGridOptions = {
  count: number
  height: number
  width: number
  channels: 1 | 3
  /** Images in a row. Default: the least that makes the grid no higher than wide. */
  columns?: number
  /** Each image pixel becomes scale × scale. Default: the nearest to 64 pixels an image, at least 1. */
  scale?: number
  /** Pixels between images and around the grid. Default 2. */
  gap?: number
}

export type PixelImage = { pixels: Uint8Array; width: number; height: number; channels: 1 | 3 }

/** Between images and in cells without one. Mid-grey parts both MNIST's black and a photograph's white. */
const BACKGROUND = 128

/** Lays images out in a grid, row by row. `images` is [count, height, width, channels] with values in [-1, 1]: -1 is 0,
 *  1 is 255, rounded to the nearest; values beyond are clamped, NaN is black.
 *
 *  Throws ShapeError (images do not fit the options), ConfigError (columns, scale or gap out of range). */
export function imageGrid(images: Float32Array, options: ImageGridOptions): PixelImage {
  const { count, height, width, channels, columns, scale, gap } = withDefaults(images, options)
  const rows = Math.ceil(count / columns)
  const gridWidth = columns * (width * scale + gap) + gap
  const gridHeight = rows * (height * scale + gap) + gap
  const pixels = new Uint8Array(gridWidth * gridHeight * channels).fill(BACKGROUND)
  for (let n = 0; n < count; n++) {
    const top = gap + Math.floor(n / columns) * (height * scale + gap)
    const left = gap + (n % columns) * (width * scale + gap)
    for (let y = 0; y < height * scale; y++) {
      for (let x = 0; x < width * scale; x++) {
        const from = ((n * height + Math.floor(y / scale)) * width + Math.floor(x / scale)) * channels
        const to = ((top + y) * gridWidth + left + x) * channels
        for (let c = 0; c < channels; c++) pixels[to + c] = toByte(images[from + c])
      }
    }
  }
  return { pixels, width: gridWidth, height: gridHeight, channels }
}

/** Writes `imageGrid(images, options)` as a PNG file, atomically. Throws as `imageGrid`, and DataError when the file
 *  cannot be written. */
export function writeImageGrid(path: string, images: Float32Array, options: ImageGridOptions): void {
  const { pixels, width, height, channels } = imageGrid(images, options)
  writeFileAtomic(path, encodePng(pixels, width, height, channels))
}

/** [-1, 1] → 0..255, the inverse of x = byte / 127.5 - 1. */
function toByte(x: number): number {
  return Math.round(Math.min(Math.max((x + 1) * 127.5, 0), 255))
}

function withDefaults(images: Float32Array, options: ImageGridOptions): Required<ImageGridOptions> {
  const { count, height, width, channels } = options
  if (channels !== 1 && channels !== 3) throw new ShapeError(`imageGrid: channels must be 1 or 3, got ${channels}`)
  if (![count, height, width].every(isPositive) || images.length !== count * height * width * channels) {
    const shape = `[${count}, ${height}, ${width}, ${channels}]`
    throw new ShapeError(`imageGrid: images must be ${shape} and not empty, got ${images.length} values`)
  }
  const columns = options.columns ?? Math.ceil(Math.sqrt((count * height) / width))
  const scale = options.scale ?? Math.max(1, Math.round(64 / Math.max(height, width)))
  const gap = options.gap ?? 2
  if (!isPositive(columns)) throw new ConfigError(`imageGrid: columns must be an integer of at least 1, got ${columns}`)
  if (!isPositive(scale)) throw new ConfigError(`imageGrid: scale must be an integer of at least 1, got ${scale}`)
  if (gap !== 0 && !isPositive(gap))
    throw new ConfigError(`imageGrid: gap must be an integer of at least 0, got ${gap}`)
  return { count, height, width, channels, columns: Math.min(columns, count), scale, gap }
}

function isPositive(n: number): boolean {
  return Number.isInteger(n) && n >= 1
}
