import { ConfigError } from '../errors.ts'
import type { Dataset } from './dataset.ts'

/** Nothing is converted unless asked: a resized image is smoother than others, and one that was grey has no colours. A
 *  model can tell it by that alone, which flatters the scores of an out-of-distribution set. */
export type ConvertOptions = {
  /** Make every image this many pixels wide and high: bilinear with antialiasing, bit for bit as PIL's BILINEAR. */
  resize?: number
  /** 1: RGB becomes grey by ITU-R 601 luma, as PIL's convert('L'). 3: grey becomes RGB by repetition. Done before the
   *  resizing. */
  channels?: 1 | 3
  /** Images that have been read and converted, and images in all. */
  onProgress?: (done: number, total: number) => void
}

/** Images of a data set, or less than a data set. */
export type Images = Pick<Dataset, 'images' | 'count' | 'height' | 'width' | 'channels'>

/** What makes other images like these. Images that are not square were never resized, so that others are not, either. */
export function conversionTo({ height, width, channels }: Omit<Images, 'images' | 'count'>): ConvertOptions {
  return { resize: height === width ? height : undefined, channels: channels === 1 ? 1 : 3 }
}

/** The data set with its images converted; itself where they are as asked already. Throws ConfigError. */
export function convertImages<T extends Images>(data: T, { resize, channels, onProgress }: ConvertOptions): T {
  if (resize !== undefined && (!Number.isInteger(resize) || resize < 1 || resize > 4096)) {
    throw new ConfigError(`resize must be a whole number of pixels from 1 to 4096, got ${resize}`)
  }
  if (channels !== undefined && channels !== 1 && channels !== 3) {
    throw new ConfigError(`channels must be 1 (grey) or 3 (RGB), got ${channels}`)
  }
  const coloured = channels === undefined ? data : withChannels(data, channels)
  return resize === undefined ? coloured : resized(coloured, resize, onProgress)
}

function withChannels<T extends Images>(data: T, channels: 1 | 3): T {
  if (data.channels === channels) return data
  const images = channels === 1 ? greyOfRgb(data.images) : repeated(data.images, 3)
  return { ...data, images, channels }
}

/** L = (19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶: 0.299, 0.587 and 0.114 in fixed point (PIL, Convert.c, L24). */
function greyOfRgb(rgb: Uint8Array): Uint8Array {
  const grey = new Uint8Array(rgb.length / 3)
  for (let i = 0, at = 0; i < grey.length; i++, at += 3) {
    grey[i] = (19595 * rgb[at] + 38470 * rgb[at + 1] + 7471 * rgb[at + 2] + 0x8000) >> 16
  }
  return grey
}

function repeated(values: Uint8Array, times: number): Uint8Array {
  const out = new Uint8Array(values.length * times)
  for (let i = 0; i < values.length; i++) out.fill(values[i], i * times, (i + 1) * times)
  return out
}

/** Images that are resized together: what lies between rows and columns stays small. */
const BLOCK = 500

/** Rows first, then columns, each to whole bytes (PIL, Resample.c, ImagingResampleInner). */
function resized<T extends Images>(data: T, side: number, onProgress: ConvertOptions['onProgress']): T {
  const { count, height, width, channels } = data
  if (height === side && width === side) return data
  const [size, newSize] = [height * width * channels, side * side * channels]
  const images = new Uint8Array(count * newSize)
  for (let start = 0; start < count; start += BLOCK) {
    const end = Math.min(start + BLOCK, count)
    const block = data.images.subarray(start * size, end * size)
    const wide = resampled(block, (end - start) * height, width, channels, side)
    images.set(resampled(wide, end - start, height, side * channels, side), start * newSize)
    onProgress?.(end, count)
  }
  return { ...data, images, height: side, width: side }
}

/** Bits after the binary point of a weight (PIL, Resample.c: PRECISION_BITS = 32 − 8 − 2). */
const WEIGHT_BITS = 22

/** The middle axis of [outer, from, inner] bytes resampled to [outer, to, inner]. */
function resampled(values: Uint8Array, outer: number, from: number, inner: number, to: number): Uint8Array {
  if (from === to) return values
  const out = new Uint8Array(outer * to * inner)
  for (let i = 0; i < to; i++) {
    const { first, weights } = triangle(i, from, to)
    for (let o = 0; o < outer; o++) {
      const source = (o * from + first) * inner
      const target = (o * to + i) * inner
      for (let e = 0; e < inner; e++) {
        let sum = 1 << (WEIGHT_BITS - 1)
        for (let k = 0; k < weights.length; k++) sum += weights[k] * values[source + k * inner + e]
        out[target + e] = sum >> WEIGHT_BITS // weights are ≥ 0 and sum to about 1: within 0..255
      }
    }
  }
  return out
}

/** The weights of output `i`, in fixed point, and the input that the first is for: a triangle of half-width 1 output
 *  pixel where the image shrinks (that is the antialiasing), of 1 input pixel where it grows (PIL, precompute_coeffs). */
function triangle(i: number, from: number, to: number): { first: number; weights: number[] } {
  const scale = from / to
  const support = Math.max(scale, 1)
  const centre = (i + 0.5) * scale
  const first = Math.max(Math.trunc(centre - support + 0.5), 0)
  const end = Math.min(Math.trunc(centre + support + 0.5), from)
  const heights = Array.from({ length: end - first }, (_, k) =>
    Math.max(1 - Math.abs(first + k - centre + 0.5) * (1 / support), 0),
  )
  const area = heights.reduce((sum, height) => sum + height, 0)
  return { first, weights: heights.map((height) => Math.trunc((height / area) * 2 ** WEIGHT_BITS + 0.5)) }
}
