import { ConfigError, DataError, nearestName } from '../errors.ts'
import type { Generator } from '../random/generator.ts'
import type { Dataset } from './dataset.ts'

type Source = Pick<Dataset, 'images' | 'count' | 'height' | 'width' | 'channels' | 'name'>

/** Each makes [count, height, width, channels] bytes, as many and as large as those of the set it is derived from. Bytes
 *  are 127.5·(x + 1) of images x in [-1, 1]. */
const makers = {
  interpolation,
  uniform,
  gaussian,
  constant,
  shuffled,
} satisfies Record<string, (data: Source, generator: Generator) => Uint8Array>

export type DerivedName = keyof typeof makers

/** Out-of-distribution sets that need no files: `interpolation`, `uniform`, `gaussian`, `constant`, `shuffled`. */
export const DERIVED_NAMES = Object.keys(makers) as readonly DerivedName[]

/** Makes an out-of-distribution set from a data set, of the same size and the same number of images:
 *
 *  - `interpolation`: means of two different images, (a + b) / 2, each image being in two pairs, as `cifar_interp` of the
 *    released code's eval_wrn_ebm.py. Halves are rounded to the even byte.
 *  - `uniform`: every value uniform on the 256 levels.
 *  - `gaussian`: every value N(0, 0.5²) on the scale of [-1, 1], clipped to it, as CIFAR/test.py of the released code of
 *    Outlier Exposure (Hendrycks et al., ICLR 2019).
 *  - `constant`: every image of one colour, its channels uniform on the 256 levels.
 *  - `shuffled`: the images, the pixels of each in an order of its own (channels stay together): the same colours, no
 *    shapes.
 *
 *  Labels are 0, of one class. The same state of `generator` gives the same bytes. Throws ConfigError (unknown name),
 *  DataError (interpolation of fewer than two images). */
export function derivedDataset(name: DerivedName, data: Dataset, generator: Generator): Dataset {
  if (!Object.hasOwn(makers, name)) {
    const near = nearestName(name, DERIVED_NAMES)
    throw new ConfigError(
      `unknown derived set '${name}'${near ? `: did you mean '${near}'?` : ''}; known are ${DERIVED_NAMES.join(', ')}`,
    )
  }
  const { split, count, height, width, channels } = data
  const images = makers[name](data, generator)
  return {
    name,
    split,
    images,
    labels: new Uint8Array(count),
    count,
    height,
    width,
    channels,
    classes: 1,
    classNames: [name],
  }
}

function interpolation({ images, count, name }: Source, generator: Generator): Uint8Array {
  if (count < 2) throw new DataError(`interpolation takes at least two images, ${name} has ${count}`)
  const size = images.length / count
  const order = generator.permutation(count)
  const out = new Uint8Array(images.length)
  for (let n = 0; n < count; n++) {
    const a = order[n] * size
    const b = order[(n + 1) % count] * size
    for (let i = 0; i < size; i++) {
      const sum = images[a + i] + images[b + i]
      const half = sum >> 1
      out[n * size + i] = half + (sum & half & 1)
    }
  }
  return out
}

function uniform({ images }: Source, generator: Generator): Uint8Array {
  const words = generator.words(Math.ceil(images.length / 4))
  const out = new Uint8Array(images.length)
  for (let i = 0; i < out.length; i++) out[i] = words[i >> 2] >>> (8 * (i & 3))
  return out
}

function gaussian({ images }: Source, generator: Generator): Uint8Array {
  const words = generator.words(2 * Math.ceil(images.length / 2))
  const out = new Uint8Array(images.length)
  for (let i = 0; i < out.length; i += 2) {
    // Box and Muller's transform: two uniforms, the first not 0, become two normals.
    const radius = 127.5 * 0.5 * Math.sqrt(-2 * Math.log((words[i] + 0.5) / 2 ** 32))
    const angle = (2 * Math.PI * words[i + 1]) / 2 ** 32
    out[i] = toByte(127.5 + radius * Math.cos(angle))
    if (i + 1 < out.length) out[i + 1] = toByte(127.5 + radius * Math.sin(angle))
  }
  return out
}

function constant({ images, count, channels }: Source, generator: Generator): Uint8Array {
  const colours = generator.words(count * channels)
  const size = images.length / count
  const out = new Uint8Array(images.length)
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < size; i++) out[n * size + i] = colours[n * channels + (i % channels)] >>> 24
  }
  return out
}

function shuffled({ images, count, height, width, channels }: Source, generator: Generator): Uint8Array {
  const pixels = height * width
  const out = new Uint8Array(images.length)
  for (let n = 0; n < count; n++) {
    const order = generator.permutation(pixels)
    for (let p = 0; p < pixels; p++) {
      const from = (n * pixels + order[p]) * channels
      const to = (n * pixels + p) * channels
      for (let c = 0; c < channels; c++) out[to + c] = images[from + c]
    }
  }
  return out
}

function toByte(value: number): number {
  return Math.round(Math.min(Math.max(value, 0), 255))
}
