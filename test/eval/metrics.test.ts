import { describe, expect, it } from 'vitest'
import { DataError } from '../../src/errors.ts'
import {
  accuracy,
  argmaxRows,
  auroc,
  brierScore,
  classificationMetrics,
  expectedCalibrationError,
  histogram,
  negativeLogLikelihood,
  quantile,
  reliabilityBins,
  softmaxRows,
} from '../../src/eval/metrics.ts'

describe('accuracy', () => {
  it('counts rows whose largest score is the label; the first of equal scores wins', () => {
    const logits = [1, 2, 3, /**/ 5, 5, 1, /**/ 0, -1, -2, /**/ -3, -2, -1]
    expect([...argmaxRows(logits, 3)]).toEqual([2, 0, 0, 2])
    expect(accuracy(logits, [2, 1, 0, 2], 3)).toBe(0.75)
  })

  it('refuses labels out of range, lengths that do not fit, and NaN', () => {
    expect(() => accuracy([1, 2], [2], 2)).toThrow('labels must be whole numbers in [0, 1], got 2 at 0')
    expect(() => accuracy([1, 2], [0, 1], 2)).toThrow('expected 1 labels, one a row, got 2')
    expect(() => accuracy([1, 2, 3], [0], 2)).toThrow('expected rows of 2 scores, got 3 numbers')
    expect(() => accuracy([], [], 2)).toThrow('no rows')
    expect(() => accuracy([1, Number.NaN], [0], 2)).toThrow('1 of 2 scores are NaN')
  })
})

describe('negative log likelihood', () => {
  it('is log C for equal logits and log(1 + e^-d) for two logits d apart', () => {
    expect(negativeLogLikelihood([7, 7, 7, 7], [3], 4)).toBeCloseTo(Math.log(4), 14)
    expect(negativeLogLikelihood([2, 0, /**/ 2, 0], [0, 1], 2)).toBeCloseTo(
      (Math.log1p(Math.exp(-2)) + Math.log1p(Math.exp(2))) / 2,
      14,
    )
  })

  it('stays finite and exact where probabilities underflow', () => {
    expect(negativeLogLikelihood([0, 1000], [0], 2)).toBe(1000)
    expect([...softmaxRows([0, 1000, -1e4, 1e4], 2)]).toEqual([0, 1, 0, 1])
  })
})

describe('Brier score', () => {
  it('is 0 when certain and right, 2 when certain and wrong, and by hand between', () => {
    expect(brierScore([1, 0, 0], [0], 3)).toBe(0)
    expect(brierScore([1, 0, 0], [1], 3)).toBe(2)
    // (0.7−1)² + 0.2² + 0.1² = 0.14
    expect(brierScore([0.7, 0.2, 0.1], [0], 3)).toBeCloseTo(0.14, 15)
  })
})

describe('calibration', () => {
  it('equals the sum worked by hand', () => {
    // 10 bins: (0.5, 0.6] has 0.55 and 0.6, one right; (0.9, 1] has 0.95, 1, 1, two right.
    const confidence = [0.55, 0.6, 0.95, 1, 1]
    const correct = [true, false, true, true, false]
    const expected = (2 / 5) * Math.abs(1 / 2 - 0.575) + (3 / 5) * Math.abs(2 / 3 - 2.95 / 3)
    expect(expectedCalibrationError(confidence, correct, 10)).toBeCloseTo(expected, 14)
    const bins = reliabilityBins(confidence, correct, 10)
    expect(bins.map((bin) => bin.count)).toEqual([0, 0, 0, 0, 0, 2, 0, 0, 0, 3])
    expect(bins[5].accuracy).toBe(0.5)
    expect(bins[9].confidence).toBeCloseTo(2.95 / 3, 14)
    expect(bins[0].accuracy).toBeNaN()
  })

  it('puts a confidence on an edge into the bin below it, for every edge and many bin counts', () => {
    for (const bins of [1, 2, 7, 10, 15, 20, 100]) {
      for (let m = 0; m <= bins; m++) {
        const at = reliabilityBins([m / bins], [1], bins).findIndex((bin) => bin.count === 1)
        expect(at, `${m}/${bins}`).toBe(Math.max(0, m - 1))
      }
    }
  })

  it('is 0 for a perfectly calibrated set: in each bin as many right as the confidence says', () => {
    const confidence: number[] = []
    const correct: number[] = []
    for (const tenths of [2, 5, 9]) {
      for (let i = 0; i < 10; i++) {
        confidence.push(tenths / 10)
        correct.push(i < tenths ? 1 : 0)
      }
    }
    expect(expectedCalibrationError(confidence, correct, 15)).toBeCloseTo(0, 14)
  })

  it('takes the rounding of an f32 softmax but not a probability of 1.1', () => {
    expect(expectedCalibrationError([1.0000001], [1])).toBeCloseTo(0, 6)
    expect(() => reliabilityBins([1.1], [1])).toThrow('confidence must be in [0, 1], got 1.1 at 0')
    expect(() => reliabilityBins([0.5, Number.NaN], [1, 1])).toThrow('1 of 2 confidence are NaN')
  })

  it('summarises logits as the parts do', () => {
    const logits = [2, 0, /**/ 0, 1, /**/ 3, 0]
    const summary = classificationMetrics(logits, [0, 0, 0], 2)
    expect(summary.n).toBe(3)
    expect(summary.accuracy).toBeCloseTo(2 / 3, 15)
    expect(summary.nll).toBe(negativeLogLikelihood(logits, [0, 0, 0], 2))
    const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
    // 20 bins keep 0.731, 0.881 and 0.953 apart.
    expect(summary.ece20).toBeCloseTo((1 - sigmoid(2) + sigmoid(1) + (1 - sigmoid(3))) / 3, 14)
  })
})

describe('AUROC', () => {
  it('counts pairs won, with ties as half, by hand', () => {
    // Pairs: 3>1, 3>2, 2>1 won; 2=2 tied → 3.5 of 4.
    expect(auroc([3, 2], [1, 2])).toBe(0.875)
    expect(auroc([1, 1, 1], [1, 1])).toBe(0.5)
    expect(auroc([2, 3], [0, 1])).toBe(1)
    expect(auroc([0, 1], [2, 3])).toBe(0)
    expect(auroc([0], [-0])).toBe(0.5)
    expect(auroc([Number.POSITIVE_INFINITY, 0], [Number.NEGATIVE_INFINITY, 0])).toBe(0.875)
  })

  it('equals the direct count over all pairs on scores with many ties', () => {
    const positive = Array.from({ length: 101 }, (_, i) => ((i * 37) % 11) + 2)
    const negative = Array.from({ length: 67 }, (_, i) => (i * 29) % 11)
    let won = 0
    for (const p of positive) for (const q of negative) won += p > q ? 1 : p === q ? 0.5 : 0
    expect(auroc(positive, negative)).toBeCloseTo(won / (101 * 67), 14)
  })

  it('approaches Φ(d/√2) for two unit Gaussians d apart', () => {
    const grid = Array.from({ length: 4000 }, (_, i) => normalQuantile((i + 0.5) / 4000))
    for (const d of [0, 0.5, 1, 2]) {
      const shifted = grid.map((x) => x + d)
      expect(auroc(shifted, grid)).toBeCloseTo(normalCdf(d / Math.SQRT2), 4)
    }
  })

  it('approaches b/(a+b) for exponentials of rates a (positive) and b', () => {
    const grid = (rate: number) => Array.from({ length: 4000 }, (_, i) => -Math.log1p(-(i + 0.5) / 4000) / rate)
    expect(auroc(grid(1), grid(3))).toBeCloseTo(0.75, 3)
  })

  it('reports NaN and a missing class instead of dropping them', () => {
    expect(() => auroc([1, Number.NaN, Number.NaN], [0])).toThrow('2 of 3 positives are NaN')
    expect(() => auroc([1], [])).toThrow('AUROC is undefined')
    expect(() => auroc([], [1])).toThrow(DataError)
  })
})

describe('histogram', () => {
  it('counts every value once, outliers in the outermost bins', () => {
    const { counts, edges, density } = histogram([-9, 0, 0.5, 1, 1.5, 2, 99], { bins: 2, range: [0, 2] })
    expect([...counts]).toEqual([3, 4])
    expect([...edges]).toEqual([0, 1, 2])
    expect(density[0] + density[1]).toBeCloseTo(1, 15)
  })

  it('gives a single value a bin of its own and refuses what is not finite', () => {
    expect([...histogram([5, 5], { bins: 1 }).edges]).toEqual([4.5, 5.5])
    expect(() => histogram([1, Number.NaN, Number.POSITIVE_INFINITY])).toThrow('2 of 3 values are not finite')
  })

  it('interpolates quantiles', () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5)
    expect(quantile([4, 1, 3, 2], 1)).toBe(4)
  })
})

/** Φ by Simpson's rule on the density. */
function normalCdf(x: number): number {
  const n = 2000
  const h = x / n
  let sum = 0
  for (let i = 0; i <= n; i++) {
    const weight = i === 0 || i === n ? 1 : i % 2 === 1 ? 4 : 2
    sum += weight * Math.exp(-((i * h) ** 2) / 2)
  }
  return 0.5 + (sum * h) / 3 / Math.sqrt(2 * Math.PI)
}

/** Φ⁻¹ by bisection, on a coarser Simpson grid. */
function normalQuantile(p: number): number {
  if (p === 0.5) return 0
  let low = -8
  let high = 8
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2
    if (coarseCdf(middle) < p) low = middle
    else high = middle
  }
  return (low + high) / 2
}

function coarseCdf(x: number): number {
  const n = 60
  const h = x / n
  let sum = 0
  for (let i = 0; i <= n; i++) sum += (i === 0 || i === n ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp(-((i * h) ** 2) / 2)
  return 0.5 + (sum * h) / 3 / Math.sqrt(2 * Math.PI)
}
