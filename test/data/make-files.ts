import { writeFileSync } from 'node:fs'
import type { Dataset } from '../../src/data/dataset.ts'

/** An IDX file of unsigned bytes, by the format's description. */
export function idx(shape: number[], values: ArrayLike<number>, type = 8): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header[2] = type
  header[3] = shape.length
  for (const [axis, extent] of shape.entries()) header.writeUInt32BE(extent, 4 + 4 * axis)
  return Buffer.concat([header, Uint8Array.from(values)])
}

/** `count` images of 2×3 pixels with values 0, 1, 2, …, and labels, as a pair of IDX files. */
export function writeIdxPair(images: string, labels: string, values: number[], pack = (bytes: Buffer) => bytes) {
  const pixels = Array.from({ length: values.length * 6 }, (_, i) => i % 256)
  writeFileSync(images, pack(idx([values.length, 2, 3], pixels)))
  writeFileSync(labels, pack(idx([values.length], values)))
}

/** CIFAR binary records: the label bytes of each, then 3072 values. */
export function cifar(labels: number[][], value = (record: number, i: number) => (record + i) % 251): Buffer {
  return Buffer.concat(
    labels.map((bytes, record) => Buffer.from([...bytes, ...Array.from({ length: 3072 }, (_, i) => value(record, i))])),
  )
}

/** A data set of the given images [count, height, width, channels], labelled 0, 1, 2, … in turn. */
export function imagesOf(shape: [number, number, number, number], values: ArrayLike<number>): Dataset {
  const [count, height, width, channels] = shape
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10)
  const classNames = [...'0123456789']
  const images = Uint8Array.from(values)
  return { name: 'made', split: 'test', images, labels, count, height, width, channels, classes: 10, classNames }
}
