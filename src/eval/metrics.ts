import { DataError } from '../errors.ts'

/** Measures of a classifier and of an out-of-distribution score, on plain numbers. Nothing here needs a device.
 *
 *  Rows are images: `scores` (logits or probabilities) is row-major [n, classes], `labels` is [n]. Every function throws
 *  DataError on empty input, on lengths that do not fit and on NaN: a NaN is counted and reported, never dropped. */
export type Numbers = ArrayLike<number>

/** Index of each row's largest score (the first one on a tie). scores: [n, classes] → [n]. */
export function argmaxRows(scores: Numbers, classes: number): Int32Array {
  const n = rowCount('argmaxRows', scores, classes)
  refuseNaN('argmaxRows', 'scores', scores)
  const best = new Int32Array(n)
  for (let i = 0; i < n; i++) {
    for (let k = 1; k < classes; k++) {
      if (scores[i * classes + k] > scores[i * classes + best[i]]) best[i] = k
    }
  }
  return best
}

/** Share of rows, in [0, 1], whose largest score is the label's. */
export function accuracy(scores: Numbers, labels: Numbers, classes: number): number {
  checkLabels('accuracy', scores, labels, classes)
  const predicted = argmaxRows(scores, classes)
  let right = 0
  for (let i = 0; i < predicted.length; i++) if (predicted[i] === labels[i]) right++
  return right / predicted.length
}

/** Probabilities exp(z − logsumexp z) of each row of logits, in float64. logits: [n, classes] → [n, classes]. */
export function softmaxRows(logits: Numbers, classes: number): Float64Array {
  const n = rowCount('softmaxRows', logits, classes)
  refuseNonFinite('softmaxRows', 'logits', logits)
  const probabilities = new Float64Array(n * classes)
  for (let i = 0; i < n; i++) {
    const normaliser = logSumExpRow(logits, i * classes, classes)
    for (let k = 0; k < classes; k++) {
      probabilities[i * classes + k] = Math.exp(logits[i * classes + k] - normaliser)
    }
  }
  return probabilities
}

/** Mean −log p(y|x) in nats, from logits: stays exact where the probability underflows. */
export function negativeLogLikelihood(logits: Numbers, labels: Numbers, classes: number): number {
  const n = checkLabels('negativeLogLikelihood', logits, labels, classes)
  refuseNonFinite('negativeLogLikelihood', 'logits', logits)
  let sum = 0
  for (let i = 0; i < n; i++) sum += logSumExpRow(logits, i * classes, classes) - logits[i * classes + labels[i]]
  return sum / n
}

/** Mean over images of Σ_k (p_k − 1[k = y])², in [0, 2]: the multi-class form of Brier (1950), "Verification of
 *  forecasts expressed in terms of probability". */
export function brierScore(probabilities: Numbers, labels: Numbers, classes: number): number {
  const n = checkLabels('brierScore', probabilities, labels, classes)
  refuseNaN('brierScore', 'probabilities', probabilities)
  let sum = 0
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < classes; k++) sum += (probabilities[i * classes + k] - (labels[i] === k ? 1 : 0)) ** 2
  }
  return sum / n
}

/** One bar of a reliability diagram. `confidence` and `accuracy` are means over the bin; NaN where `count` is 0. */
export interface ReliabilityBin {
  lower: number
  upper: number
  count: number
  confidence: number
  accuracy: number
}

/** Predictions grouped by confidence into `bins` equal-width bins, left-open and right-closed: bin m holds
 *  m/bins < confidence <= (m+1)/bins, as in Guo et al. 2017 (arXiv 1706.04599, §2); a confidence of exactly 0
 *  goes to the first bin. confidence: [n] max p(y|x) in [0, 1]; correct: [n], 1 or true where the prediction is right. */
export function reliabilityBins(
  confidence: Numbers,
  correct: ArrayLike<number | boolean>,
  bins = 15,
): ReliabilityBin[] {
  const n = confidence.length
  if (n === 0) throw new DataError('reliabilityBins: no predictions')
  if (correct.length !== n) {
    throw new DataError(`reliabilityBins: expected ${n} values of correct, one a confidence, got ${correct.length}`)
  }
  if (!Number.isInteger(bins) || bins < 1) throw new DataError(`reliabilityBins: bins must be >= 1, got ${bins}`)
  refuseNaN('reliabilityBins', 'confidence', confidence)
  const count = new Float64Array(bins)
  const confidenceSum = new Float64Array(bins)
  const right = new Float64Array(bins)
  for (let i = 0; i < n; i++) {
    const c = confidence[i]
    // A softmax in f32 may sum to 1 + 1e-7.
    if (c < 0 || c > 1 + 1e-5) throw new DataError(`reliabilityBins: confidence must be in [0, 1], got ${c} at ${i}`)
    const m = binOf(c, bins)
    count[m]++
    confidenceSum[m] += c
    if (correct[i]) right[m]++
  }
  return Array.from({ length: bins }, (_, m) => ({
    lower: m / bins,
    upper: (m + 1) / bins,
    count: count[m],
    confidence: confidenceSum[m] / count[m],
    accuracy: right[m] / count[m],
  }))
}

/** Σ_m (n_m/n)·|accuracy_m − confidence_m| over the bins of `reliabilityBins`: Guo et al. 2017 (arXiv 1706.04599), §2.
 *  15 bins are theirs; JEM's figures use 20. */
export function expectedCalibrationError(confidence: Numbers, correct: ArrayLike<number | boolean>, bins = 15): number {
  return calibrationErrorOfBins(reliabilityBins(confidence, correct, bins))
}

/** The expected calibration error of bins that are already made. */
export function calibrationErrorOfBins(bins: readonly ReliabilityBin[]): number {
  let n = 0
  let sum = 0
  for (const { count, confidence, accuracy } of bins) {
    if (count === 0) continue
    n += count
    sum += count * Math.abs(accuracy - confidence)
  }
  return sum / n
}

/** max_m |accuracy_m − confidence_m| over the bins that are not empty: Guo et al. 2017 (arXiv 1706.04599), §2. */
export function maximumCalibrationError(bins: readonly ReliabilityBin[]): number {
  return Math.max(...bins.map(({ count, confidence, accuracy }) => (count > 0 ? Math.abs(accuracy - confidence) : 0)))
}

/** All that logits and labels alone tell about a classifier. */
export interface ClassificationMetrics {
  n: number
  accuracy: number
  /** Nats. */
  nll: number
  ece15: number
  ece20: number
  brier: number
  /** 15 bins. */
  reliability: ReliabilityBin[]
}

/** logits: [n, classes]; labels: [n]. */
export function classificationMetrics(logits: Numbers, labels: Numbers, classes: number): ClassificationMetrics {
  const n = checkLabels('classificationMetrics', logits, labels, classes)
  const probabilities = softmaxRows(logits, classes)
  const predicted = argmaxRows(logits, classes)
  const confidence = Float64Array.from(predicted, (k, i) => probabilities[i * classes + k])
  const correct = Uint8Array.from(predicted, (k, i) => (k === labels[i] ? 1 : 0))
  const reliability = reliabilityBins(confidence, correct, 15)
  return {
    n,
    accuracy: correct.reduce((sum, one) => sum + one, 0) / n,
    nll: negativeLogLikelihood(logits, labels, classes),
    ece15: calibrationErrorOfBins(reliability),
    ece20: expectedCalibrationError(confidence, correct, 20),
    brier: brierScore(probabilities, labels, classes),
    reliability,
  }
}

/** Area under the ROC curve: the probability that a score of `positives` exceeds one of `negatives`, ties counting half
 *  (mid-ranks; the Mann–Whitney U statistic over n₊·n₋). In-distribution is positive and a higher score means more
 *  in-distribution, as in JEM's `eval_wrn_ebm.py`. ±Infinity is a score like any other. O(n log n).
 *  Throws DataError on NaN, with their number, and where one side is empty: AUROC is undefined then. */
export function auroc(positives: Numbers, negatives: Numbers): number {
  if (positives.length === 0 || negatives.length === 0) {
    const side = positives.length === 0 ? 'positive' : 'negative'
    throw new DataError(`auroc: AUROC is undefined without ${side} scores (only one class was given)`)
  }
  refuseNaN('auroc', 'positives', positives)
  refuseNaN('auroc', 'negatives', negatives)
  const positive = Float64Array.from(positives).sort()
  const negative = Float64Array.from(negatives).sort()
  let below = 0
  let notAbove = 0
  let sum = 0
  for (const score of positive) {
    while (below < negative.length && negative[below] < score) below++
    while (notAbove < negative.length && negative[notAbove] <= score) notAbove++
    sum += (below + notAbove) / 2
  }
  return sum / positive.length / negative.length
}

/** Counts of values in equal-width bins over [range[0], range[1]]. */
export interface Histogram {
  /** [bins + 1], ascending. */
  edges: Float64Array
  counts: Uint32Array
  /** Share of all values per unit of the axis: Σ density·width = 1. */
  density: Float64Array
}

/** Bins are left-closed, right-open, the last one closed. Values outside `range` (default: the values' extremes) count
 *  in the first or last bin, so that no value is lost. Throws DataError on values that are not finite. */
export function histogram(
  values: Numbers,
  options: { bins?: number; range?: readonly [number, number] } = {},
): Histogram {
  const { bins = 50 } = options
  if (values.length === 0) throw new DataError('histogram: no values')
  if (!Number.isInteger(bins) || bins < 1) throw new DataError(`histogram: bins must be >= 1, got ${bins}`)
  refuseNonFinite('histogram', 'values', values)
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (let i = 0; i < values.length; i++) {
    if (values[i] < min) min = values[i]
    if (values[i] > max) max = values[i]
  }
  let [low, high] = options.range ?? [min, max]
  if (!(low <= high)) throw new DataError(`histogram: range must be ascending, got [${low}, ${high}]`)
  if (low === high) [low, high] = [low - 0.5, high + 0.5]
  const width = (high - low) / bins
  const counts = new Uint32Array(bins)
  for (let i = 0; i < values.length; i++) {
    counts[Math.min(bins - 1, Math.max(0, Math.floor((values[i] - low) / width)))]++
  }
  return {
    edges: Float64Array.from({ length: bins + 1 }, (_, i) => low + i * width),
    counts,
    density: Float64Array.from(counts, (c) => c / values.length / width),
  }
}

/** The value below which a share `q` of the values lies, by linear interpolation. Throws DataError on NaN. */
export function quantile(values: Numbers, q: number): number {
  if (values.length === 0) throw new DataError('quantile: no values')
  refuseNaN('quantile', 'values', values)
  const sorted = Float64Array.from(values).sort()
  const at = q * (sorted.length - 1)
  const low = Math.floor(at)
  const high = Math.ceil(at)
  return low === high ? sorted[low] : sorted[low] + (at - low) * (sorted[high] - sorted[low])
}

function binOf(c: number, bins: number): number {
  let m = Math.min(bins - 1, Math.max(0, Math.ceil(c * bins) - 1))
  // c·bins rounds (0.07·100 > 7): settle by the edge itself.
  if (m > 0 && c <= m / bins) m--
  else if (m < bins - 1 && c > (m + 1) / bins) m++
  return m
}

function logSumExpRow(logits: Numbers, start: number, classes: number): number {
  let max = Number.NEGATIVE_INFINITY
  for (let k = 0; k < classes; k++) max = Math.max(max, logits[start + k])
  let sum = 0
  for (let k = 0; k < classes; k++) sum += Math.exp(logits[start + k] - max)
  return max + Math.log(sum)
}

function rowCount(caller: string, scores: Numbers, classes: number): number {
  if (!Number.isInteger(classes) || classes < 1) throw new DataError(`${caller}: classes must be >= 1, got ${classes}`)
  if (scores.length === 0) throw new DataError(`${caller}: no rows`)
  if (scores.length % classes !== 0) {
    throw new DataError(`${caller}: expected rows of ${classes} scores, got ${scores.length} numbers`)
  }
  return scores.length / classes
}

function checkLabels(caller: string, scores: Numbers, labels: Numbers, classes: number): number {
  const n = rowCount(caller, scores, classes)
  if (labels.length !== n) throw new DataError(`${caller}: expected ${n} labels, one a row, got ${labels.length}`)
  for (let i = 0; i < n; i++) {
    if (!Number.isInteger(labels[i]) || labels[i] < 0 || labels[i] >= classes) {
      throw new DataError(`${caller}: labels must be whole numbers in [0, ${classes - 1}], got ${labels[i]} at ${i}`)
    }
  }
  return n
}

function refuseNaN(caller: string, name: string, values: Numbers): void {
  let count = 0
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) count++
  if (count > 0) {
    throw new DataError(`${caller}: ${count} of ${values.length} ${name} are NaN`, {
      hint: 'NaN scores come from a diverged model or a broken checkpoint; there is no rank to give them',
    })
  }
}

function refuseNonFinite(caller: string, name: string, values: Numbers): void {
  let count = 0
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) count++
  if (count > 0) throw new DataError(`${caller}: ${count} of ${values.length} ${name} are not finite`)
}
