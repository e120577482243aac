import type { Dataset } from '../../data/dataset.ts'
import { ConfigError, DataError } from '../../errors.ts'
import { Generator } from '../../random/generator.ts'
import { tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Attack, AttackTarget } from './attack.ts'
import { expectEpsilon, type Values } from './ball.ts'
import type { Classifier } from './classifier.ts'
import { marginOf, readMargins } from './evaluate.ts'

/** Accuracy in [0, 1] under attacks of budget ε, in 1/255 of [0, 1]. */
export interface CurvePoint {
  epsilon: number
  accuracy: number
}

export interface AccuracyCurve {
  /** Number of images, those misclassified without an attack included. */
  images: number
  /** By rising ε; ε = 0 comes first and is the accuracy without an attack. */
  points: CurvePoint[]
  /** [images]: the smallest ε that broke each; 0: misclassified as it is; Infinity: none did. */
  brokenAt: Float64Array
}

export interface CurveOptions extends Pick<AttackTarget, 'norm' | 'draws' | 'signal'> {
  /** Budgets in 1/255 of [0, 1], in any order. */
  epsilons: readonly number[]
  /** Of random starts. Default 0. */
  seed?: number
  /** Images attacked at once; the random starts depend on it. Default 100. */
  batch?: number
  /** Told after each step of an attack how many images are done with, counted once for each ε: images·epsilons.length in
   *  all. */
  onProgress?: (done: number) => void
}

/**
 * Accuracy against ε on the images as they are, without noise. Each ε is tried on the images that no smaller one has
 * broken, since their balls contain the smaller ones; so the curve never rises. Throws ConfigError, DataError.
 */
export async function accuracyCurve(
  classifier: Classifier,
  data: Dataset,
  attack: Attack,
  { epsilons, norm, seed = 0, batch = 100, draws = 1, signal, onProgress }: CurveOptions,
): Promise<AccuracyCurve> {
  epsilons.forEach(expectEpsilon)
  if (epsilons.length === 0) throw new ConfigError('accuracyCurve: give at least one epsilon')
  if (data.count === 0) throw new DataError(`accuracyCurve: ${data.name} has no images`)
  const rising = [...new Set(epsilons)].filter((epsilon) => epsilon > 0).sort((a, b) => a - b)
  const generator = new Generator(seed, 'attack')
  const brokenAt = new Float64Array(data.count).fill(Number.POSITIVE_INFINITY)
  for (let start = 0; start < data.count; start += batch) {
    const places = Int32Array.from({ length: Math.min(batch, data.count - start) }, (_, i) => start + i)
    let standing = places
    const strike = async (epsilon: number, strikeAt: (target: AttackTarget) => Promise<Values>) => {
      signal?.throwIfAborted()
      using images = keep(imageTensor(data, standing, classifier.device))
      const labels = Array.from(standing, (place) => data.labels[place])
      const margins = await strikeAt({ classifier, images, labels, norm, epsilon, generator, draws, signal })
      for (const [i, place] of standing.entries()) if (margins[i] > 0) brokenAt[place] = epsilon
      standing = standing.filter((_, i) => !(margins[i] > 0))
    }
    await strike(0, cleanMargins)
    for (const [i, epsilon] of rising.entries()) {
      const done = start * rising.length + i * places.length
      const onStep = () => onProgress?.(done)
      if (standing.length > 0) await strike(epsilon, (target) => marginsAfter(attack, { ...target, onStep }))
      onProgress?.(done + places.length)
    }
  }
  const standing = (epsilon: number) => brokenAt.filter((at) => at > epsilon).length
  const points = [0, ...rising].map((epsilon) => ({ epsilon, accuracy: standing(epsilon) / data.count }))
  return { images: data.count, points, brokenAt }
}

/** The accuracy at each ε that minimal distances tell: the share of images that are farther from their nearest
 *  adversarial than ε. */
export function curveOfDistances(distances: ArrayLike<number>, epsilons: readonly number[]): CurvePoint[] {
  const all = Array.from(distances)
  return [...epsilons]
    .sort((a, b) => a - b)
    .map((epsilon) => ({ epsilon, accuracy: all.filter((distance) => distance > epsilon).length / all.length }))
}

/** These images of a set in [-1, 1]: f32 [count, height, width, channels]. */
export function imageTensor(data: Dataset, places: ArrayLike<number>, device: Tensor['device']): Tensor {
  const { height, width, channels } = data
  const each = height * width * channels
  const values = new Float32Array(places.length * each)
  for (let i = 0; i < places.length; i++) {
    for (let at = 0; at < each; at++) values[i * each + at] = data.images[places[i] * each + at] / 127.5 - 1
  }
  return tensor(values, { shape: [places.length, height, width, channels], device })
}

async function marginsAfter(attack: Attack, target: AttackTarget): Promise<Values> {
  const { images, margins } = await attack(target)
  images.dispose()
  return margins
}

async function cleanMargins({ classifier, images, labels, draws = 1 }: AttackTarget): Promise<Values> {
  const margin = keep(
    scope(() => {
      const given = tensor(Int32Array.from(labels), { device: images.device })
      return marginOf(classifier, images, given, draws)
    }),
  )
  return await readMargins(margin).finally(() => margin.dispose())
}
