/** Pictures of what a model has learnt: samples, one row per class, and chains on their way from noise. */
import type { Dataset } from '../data/dataset.ts'
import { imageGrid, writeImageGrid } from '../io/grid.ts'
import { encodePng } from '../io/png.ts'
import type { JemModel } from '../jem/model.ts'
import { type SamplerOptions, sgld } from '../jem/sampler.ts'
import { uniform } from '../ops/random.ts'
import type { Generator } from '../random/generator.ts'
import { tensor } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'

/** [count, height, width, channels] in about [-1, 1]. */
export interface Images {
  pixels: Float32Array
  count: number
  height: number
  width: number
  channels: number
}

export type ImageSize = Pick<Images, 'height' | 'width' | 'channels'>

export interface ChainOptions extends Omit<SamplerOptions, 'labels' | 'steps'> {
  /** Climb f(x)[label] instead of f(x): one label for each chain. */
  labels?: Int32Array
  /** Called after each slice of steps. */
  onProgress?: (steps: number) => void
  /** Stops between slices; the promise then rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Steps that are enqueued before the event loop gets a turn. */
const slice = 5

/** Runs chains from `start` and returns the images after each number of steps of `at` (rising), frame by frame. */
export async function chains(
  model: JemModel,
  start: Images,
  at: readonly number[],
  generator: Generator,
  { labels, onProgress, signal, ...options }: ChainOptions,
): Promise<Images[]> {
  const device = model.parameters()[0].device
  const { count, height, width, channels } = start
  const x = keep(tensor(start.pixels, { shape: [count, height, width, channels], device }))
  const given = labels ? keep(tensor(labels, { device })) : undefined
  const frames: Images[] = []
  try {
    let done = 0
    for (const step of at) {
      while (done < step) {
        signal?.throwIfAborted()
        const steps = Math.min(slice, step - done)
        sgld(model, x, generator, { ...options, steps, labels: given })
        done += steps
        // A small read waits for the steps without blocking the event loop.
        const probe = tensor(0, { device })
        await probe.data()
        probe.dispose()
        onProgress?.(done)
      }
      frames.push({ ...start, pixels: (await x.data()) as Float32Array })
    }
    return frames
  } finally {
    x.dispose()
    given?.dispose()
  }
}

/** U(-1, 1), where every chain of the released code begins. */
export async function noiseImages(
  count: number,
  { height, width, channels }: ImageSize,
  generator: Generator,
): Promise<Images> {
  const x = uniform([count, height, width, channels], generator, { low: -1, high: 1 })
  const pixels = (await x.data()) as Float32Array
  x.dispose()
  return { pixels, count, height, width, channels }
}

/** A set's images in [-1, 1]. */
export function imagesOf({ images, count, height, width, channels }: Dataset): Images {
  return { pixels: Float32Array.from(images, (byte) => byte / 127.5 - 1), count, height, width, channels }
}

/** The images at these places. */
export function pickImages({ pixels, ...images }: Images, places: ArrayLike<number>): Images {
  const each = images.height * images.width * images.channels
  const picked = new Float32Array(places.length * each)
  for (let i = 0; i < places.length; i++) {
    picked.set(pixels.subarray(places[i] * each, (places[i] + 1) * each), i * each)
  }
  return { ...images, pixels: picked, count: places.length }
}

/** One image list with the frames of each chain side by side: chain 0's frames, then chain 1's, … */
export function filmStrip(frames: readonly Images[]): Images {
  const { count, height, width, channels } = frames[0]
  const each = height * width * channels
  const pixels = new Float32Array(count * frames.length * each)
  for (let chain = 0; chain < count; chain++) {
    frames.forEach((frame, i) => {
      pixels.set(frame.pixels.subarray(chain * each, (chain + 1) * each), (chain * frames.length + i) * each)
    })
  }
  return { pixels, count: count * frames.length, height, width, channels }
}

/** A PNG grid, row by row. */
export function pngGrid(images: Images, columns: number): Uint8Array {
  const { pixels, width, height, channels } = imageGrid(images.pixels, gridOptions(images, columns))
  return encodePng(pixels, width, height, channels)
}

/** Writes a PNG grid, row by row. */
export function saveImages(path: string, images: Images, columns: number): void {
  writeImageGrid(path, images.pixels, gridOptions(images, columns))
}

function gridOptions({ count, height, width, channels }: Images, columns: number) {
  return { count, height, width, channels: channels as 1 | 3, columns }
}
