import { ConfigError } from '../errors.ts'

/** Labelled images in host memory. */
export interface Dataset {
  /** What to call it in tables: a catalogue name, or the name of the folder or file it was read from. */
  name: string
  split: 'train' | 'test'
  /** [count, height, width, channels] row-major, 0..255. */
  images: Uint8Array
  /** [count], each 0..classes-1. */
  labels: Uint8Array | Int32Array
  count: number
  height: number
  width: number
  /** 1 (grey) or 3 (RGB). */
  channels: number
  classes: number
  /** [classes] */
  classNames: string[]
}

export type Split = Dataset['split']

/** How many of `count` records a `limit` leaves: the first `limit`, or all. Throws ConfigError unless it is a positive
 *  integer. */
export function limitedCount(count: number, limit: number | undefined): number {
  if (limit === undefined) return count
  if (!Number.isInteger(limit) || limit < 1) {
    throw new ConfigError(`limit must be an integer of at least 1, got ${limit}`)
  }
  return Math.min(count, limit)
}

/** The images at these places, in this order, as a set of their own. */
export function takeImages(data: Dataset, places: Int32Array): Dataset {
  const each = data.height * data.width * data.channels
  const images = new Uint8Array(places.length * each)
  for (let i = 0; i < places.length; i++) {
    images.set(data.images.subarray(places[i] * each, (places[i] + 1) * each), i * each)
  }
  return { ...data, images, labels: Int32Array.from(places, (place) => data.labels[place]), count: places.length }
}
