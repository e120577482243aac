/** Samples and what the model says of them: which to show. */
import type { JemModel } from '../../jem/model.ts'
import { argmaxRows, softmaxRows } from '../metrics.ts'
import { type Images, pickImages } from '../pictures.ts'
import { type OutputsOptions, outputsOf } from './outputs.ts'

/** Samples with what the model says of them; those on which it says nothing finite are left out. */
export interface SamplePool {
  images: Images
  /** f(x), log p(x) up to a constant: [count]. */
  logpx: Float64Array
  /** max p(y|x): [count]. */
  maxprob: Float64Array
  /** argmax p(y|x): [count]. */
  predicted: Int32Array
}

export async function samplePool(model: JemModel, images: Images, options: OutputsOptions): Promise<SamplePool> {
  const { logits, f } = await outputsOf(model, images, options)
  const { classes } = model.options
  const row = (i: number) => logits.subarray(i * classes, (i + 1) * classes)
  const whole = Int32Array.from(f.keys()).filter((i) => Number.isFinite(f[i]) && row(i).every(Number.isFinite))
  if (whole.length === 0) {
    const none = new Float64Array(0)
    return { images: pickImages(images, whole), logpx: none, maxprob: none, predicted: whole }
  }
  const kept = new Float32Array(whole.length * classes)
  for (const [place, i] of whole.entries()) kept.set(row(i), place * classes)
  const probabilities = softmaxRows(kept, classes)
  const predicted = argmaxRows(kept, classes)
  return {
    images: pickImages(images, whole),
    logpx: Float64Array.from(whole, (i) => f[i]),
    maxprob: Float64Array.from(predicted, (k, i) => probabilities[i * classes + k]),
    predicted,
  }
}

/** How many of the images hold NaN or an infinity. */
export function notFiniteImages({ pixels, count }: Images): number {
  const each = pixels.length / count
  let bad = 0
  for (let i = 0; i < count; i++) if (!pixels.subarray(i * each, (i + 1) * each).every(Number.isFinite)) bad++
  return bad
}

/** A row of samples and their scores. */
export interface ExtremeRow {
  name: string
  values: number[]
}

/** For each class the first samples, in this order, that the model takes for it (the released `--eval cond_samples`); grey
 *  where there are too few. */
export function classRows(
  { images, predicted }: SamplePool,
  order: Int32Array,
  classes: number,
  rowLength: number,
): Images {
  const each = images.pixels.length / images.count
  const pixels = new Float32Array(classes * rowLength * each)
  for (let k = 0; k < classes; k++) {
    const those = order.filter((i) => predicted[i] === k).slice(0, rowLength)
    pixels.set(pickImages(images, those).pixels, k * rowLength * each)
  }
  return { ...images, pixels, count: classes * rowLength }
}

/** Four rows: the highest and the lowest log p(x), the highest and the lowest max p(y|x); null where there are none. */
export function extremeSamples(
  { images, logpx, maxprob }: SamplePool,
  rowLength: number,
): { images: Images; columns: number; rows: ExtremeRow[] } | null {
  if (images.count === 0) return null
  const columns = Math.min(rowLength, images.count)
  const ranked = (score: Float64Array) => Int32Array.from(score.keys()).sort((a, b) => score[b] - score[a] || a - b)
  const rows = (
    [
      ['log p(x)', logpx],
      ['max p(y|x)', maxprob],
    ] as const
  ).flatMap(([name, score]) => {
    const order = ranked(score)
    return [
      { name: `highest ${name}`, score, places: order.slice(0, columns) },
      { name: `lowest ${name}`, score, places: order.slice(-columns).reverse() },
    ]
  })
  return {
    images: pickImages(
      images,
      rows.flatMap(({ places }) => Array.from(places)),
    ),
    columns,
    rows: rows.map(({ name, score, places }) => ({ name, values: Array.from(places, (i) => score[i]) })),
  }
}
