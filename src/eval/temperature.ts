import { DataError } from '../errors.ts'
import { type Numbers, softmaxRows } from './metrics.ts'

/** Temperatures that a fit may give: e^±7 is beyond any model that learnt at all. */
const logLimit = 7

export interface TemperatureFit {
  /** p(y|x) = softmax(logits / temperature). Above 1: the model was overconfident. */
  temperature: number
  /** Whether the optimum lies at or beyond the limits e^±7: every image right (towards 0), or logits that tell nothing. */
  atLimit: boolean
}

/**
 * Temperature scaling (Guo et al. 2017, arXiv 1706.04599, §4.2): the one number T that minimises the mean negative log
 * likelihood of softmax(logits/T). In β = 1/T that is convex, and its derivative, mean E_p[z] − z_y, rises: its root is
 * found in float64 by Newton's steps on log β, bisection where a step leaves the bracket, to 1e-12.
 * logits: [n, classes]; labels: [n]. Throws DataError where a logit is not finite.
 */
export function fitTemperature(logits: Numbers, labels: Numbers, classes: number): TemperatureFit {
  const n = labels.length
  if (n === 0 || logits.length !== n * classes) {
    throw new DataError(`fitTemperature: expected ${n} rows of ${classes} logits, at least one, got ${logits.length}`)
  }
  let [low, high] = [-logLimit, logLimit]
  const atLow = slope(logits, labels, classes, low).first
  const atHigh = slope(logits, labels, classes, high).first
  // The likelihood still rises (or never did) at the end of the range.
  if (atHigh <= 0) return { temperature: Math.exp(-high), atLimit: true }
  if (atLow >= 0) return { temperature: Math.exp(-low), atLimit: true }
  let x = 0
  for (let i = 0; i < 100; i++) {
    const { first, second } = slope(logits, labels, classes, x)
    if (first > 0) high = x
    else low = x
    // d/d log β of the derivative in β, times β: the root is the same, the function smoother.
    const newton = x - first / second
    const next = newton > low && newton < high ? newton : (low + high) / 2
    const moved = Math.abs(next - x)
    x = next
    if (moved < 1e-12) break
  }
  return { temperature: Math.exp(-x), atLimit: false }
}

/** softmax(logits / temperature), row by row, in float64. */
export function scaledLogits(logits: Numbers, temperature: number): Float64Array {
  return Float64Array.from(logits, (z) => z / temperature)
}

/** dNLL/dβ at β = e^x and its derivative in x: mean (E_p[z] − z_y) and β·mean Var_p[z]. */
function slope(logits: Numbers, labels: Numbers, classes: number, x: number): { first: number; second: number } {
  const beta = Math.exp(x)
  const p = softmaxRows(scaledLogits(logits, 1 / beta), classes)
  let first = 0
  let second = 0
  for (let i = 0; i < labels.length; i++) {
    let mean = 0
    let square = 0
    for (let k = i * classes; k < (i + 1) * classes; k++) {
      mean += p[k] * logits[k]
      square += p[k] * logits[k] ** 2
    }
    first += mean - logits[i * classes + labels[i]]
    second += square - mean ** 2
  }
  return { first: first / labels.length, second: (beta * second) / labels.length }
}
