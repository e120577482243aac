import { DataError } from '../errors.ts'
import type { Numbers } from './metrics.ts'

/** How well a score tells in-distribution (ID) images from others (OOD); a higher score means more in-distribution. */
export interface DetectionMetrics {
  /** Probability that an ID score exceeds an OOD score, ties counting half. The same for either positive class. */
  auroc: number
  /** Average precision, ID positive. */
  auprIn: number
  /** Average precision, OOD positive (scores negated). */
  auprOut: number
  /** Share of OOD images that are accepted where the threshold accepts at least 95 % of the ID images; ID positive. */
  fpr95: number
}

export const detectionMetricNames = ['auroc', 'auprIn', 'auprOut', 'fpr95'] as const

/**
 * ID and OOD scores grouped by value, from the highest down: all metrics follow from how many of each are in a group.
 * Built once by a sort (O(n log n)); a bootstrap resample then costs O(n) and no sort.
 */
export class Detection {
  /** The group of each score. */
  private readonly inside: Int32Array
  private readonly outside: Int32Array
  /** Scratch: ID and OOD scores of each group in turns. */
  private readonly counts: Int32Array

  /** Throws DataError where one side is empty (the metrics are undefined then) or has NaN; ±Infinity is a score like any
   *  other. */
  constructor(inside: Numbers, outside: Numbers) {
    check('in-distribution', inside)
    check('out-of-distribution', outside)
    const values = new Float64Array(inside.length + outside.length)
    values.set(inside)
    values.set(outside, inside.length)
    values.sort()
    // −0 and 0 are one group: compare by value.
    let groups = 0
    for (let i = 0; i < values.length; i++)
      if (i === 0 || values[i] !== values[groups - 1]) values[groups++] = values[i]
    const distinct = values.subarray(0, groups)
    this.counts = new Int32Array(2 * groups)
    this.inside = Int32Array.from(inside, (value) => groups - 1 - indexOf(distinct, value))
    this.outside = Int32Array.from(outside, (value) => groups - 1 - indexOf(distinct, value))
  }

  /** The metrics of all scores. */
  metrics(): DetectionMetrics {
    this.counts.fill(0)
    const { counts, inside, outside } = this
    for (let i = 0; i < inside.length; i++) counts[2 * inside[i]]++
    for (let i = 0; i < outside.length; i++) counts[2 * outside[i] + 1]++
    return metricsOf(counts, inside.length, outside.length)
  }

  /** The metrics of the scores at these places, which may repeat. */
  resampled(inside: Int32Array, outside: Int32Array): DetectionMetrics {
    this.counts.fill(0)
    const { counts } = this
    for (let i = 0; i < inside.length; i++) counts[2 * this.inside[inside[i]]]++
    for (let i = 0; i < outside.length; i++) counts[2 * this.outside[outside[i]] + 1]++
    return metricsOf(counts, inside.length, outside.length)
  }
}

/** The metrics of two sets of scores; see `Detection`. */
export function detectionMetrics(inside: Numbers, outside: Numbers): DetectionMetrics {
  return new Detection(inside, outside).metrics()
}

/**
 * From the number of ID and OOD scores in each group in turns, highest group first. Images of a group pass a threshold
 * together.
 *
 * Average precision is Σ_k (R_k − R_{k−1})·P_k over the distinct thresholds, without interpolation: the area under the
 * precision-recall points joined by straight lines is too optimistic (Davis & Goadrich 2006). FPR at 95 % TPR is that of
 * ODIN (Liang et al. 2018, arXiv 1706.02690).
 */
function metricsOf(counts: Int32Array, positives: number, negatives: number): DetectionMetrics {
  let won = 0
  let auprIn = 0
  let auprOut = 0
  let fpr95 = 1
  let [tp, fp] = [0, 0]
  for (let i = 0; i < counts.length; i += 2) {
    const [inside, outside] = [counts[i], counts[i + 1]]
    if (outside > 0) {
      won += outside * (tp + inside / 2)
      // OOD positive: a threshold accepts this group and all below it.
      auprOut += (outside * (negatives - fp)) / (positives - tp + negatives - fp)
    }
    // 95 % as whole numbers: 0.95·n rounds.
    const reachedBefore = 20 * tp >= 19 * positives
    tp += inside
    fp += outside
    if (inside > 0) auprIn += (inside * tp) / (tp + fp)
    if (!reachedBefore && 20 * tp >= 19 * positives) fpr95 = fp / negatives
  }
  return {
    auroc: won / (positives * negatives),
    auprIn: auprIn / positives,
    auprOut: auprOut / negatives,
    fpr95,
  }
}

function indexOf(ascending: Float64Array, value: number): number {
  let low = 0
  let high = ascending.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}

function check(side: string, scores: Numbers): void {
  if (scores.length === 0) {
    throw new DataError(`AUROC, AUPR and FPR are undefined without ${side} scores: only one class is present`)
  }
  let count = 0
  for (let i = 0; i < scores.length; i++) if (Number.isNaN(scores[i])) count++
  if (count > 0)
    throw new DataError(`${count} of ${scores.length} ${side} scores are NaN; there is no rank to give them`)
}
