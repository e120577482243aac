import { type Dataset, takeImages } from '../../data/dataset.ts'
import { DataError } from '../../errors.ts'
import { Generator } from '../../random/generator.ts'
import { quantile } from '../metrics.ts'
import { type Images, imagesOf } from '../pictures.ts'
import { nearestImages } from '../samples/neighbours.ts'
import { type MeasuredOn, measuredOn, type SuiteContext } from './suite.ts'

/** Test images whose distance to the training images is compared with the samples'. */
const heldOutImages = 500
const shownPairs = 10

/** A stream of the purpose `picture`; the samples suite has those before it. */
const heldOutStream = 5

/** Part of the samples suite's result. */
export interface NeighbourResult {
  training: MeasuredOn
  test: MeasuredOn
  /** Test images first. `nearerThanTest`: share of images nearer to a training image than 99 % of the test images are. */
  sets: { name: string; images: number; median: number; nearest: number; nearerThanTest: number }[]
  /** The samples nearest to a training image (upper row), and those training images (lower row). */
  picture: string
  /** Of these pairs. */
  distances: number[]
}

export interface NamedImages {
  name: string
  images: Images
}

/** Where samples lie nearer to training images than held-out images do, the model remembers. */
export async function neighboursOf(
  context: SuiteContext,
  shown: readonly NamedImages[],
): Promise<{ strip: Images; result: NeighbourResult } | { missing: string }> {
  const { test, seed, signal, candidate } = context
  if (shown.length === 0) return { missing: 'no sample is finite' }
  let training: Dataset
  try {
    training = context.training()
  } catch (error) {
    if (error instanceof DataError) return { missing: error.message }
    throw error
  }
  const { device } = candidate.run.model.parameters()[0]
  const places = new Generator(seed, 'picture', heldOutStream).permutation(test.count).slice(0, heldOutImages)
  const heldOut = imagesOf(takeImages(test, places))
  const sets = []
  for (const { name, images } of [{ name: 'test images', images: heldOut }, ...shown]) {
    const nearest = await context.progress(`nearest training images of ${name}`, training.count, (onProgress) =>
      nearestImages(images, training, { device, signal, onProgress }),
    )
    sets.push({ name, images, ...nearest })
  }
  const near = quantile(sets[0].distances, 0.01)
  const pairs = sets
    .slice(1)
    .flatMap(({ images, places, distances }) =>
      Array.from(places, (place, i) => ({ distance: distances[i], images, i, place })),
    )
    .sort((a, b) => a.distance - b.distance)
    .slice(0, shownPairs)
  const each = training.height * training.width * training.channels
  const strip = { ...heldOut, count: 2 * pairs.length, pixels: new Float32Array(2 * pairs.length * each) }
  const originals = imagesOf(
    takeImages(
      training,
      Int32Array.from(pairs, ({ place }) => place),
    ),
  )
  for (const [column, { images, i }] of pairs.entries()) {
    strip.pixels.set(images.pixels.subarray(i * each, (i + 1) * each), column * each)
  }
  strip.pixels.set(originals.pixels, pairs.length * each)
  return {
    strip,
    result: {
      training: { ...measuredOn(context, training), sigma: 0 },
      test: { ...measuredOn(context, { ...test, count: heldOut.count }), sigma: 0 },
      sets: sets.map(({ name, distances }) => ({
        name,
        images: distances.length,
        median: quantile(distances, 0.5),
        nearest: quantile(distances, 0),
        nearerThanTest: distances.filter((distance) => distance < near).length / distances.length,
      })),
      picture: 'neighbours.png',
      distances: pairs.map(({ distance }) => distance),
    },
  }
}
