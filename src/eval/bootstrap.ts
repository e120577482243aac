import type { Generator } from '../random/generator.ts'
import { type Detection, type DetectionMetrics, detectionMetricNames } from './detection.ts'
import { quantile } from './metrics.ts'

/** Lower and upper end. */
export type Interval = [low: number, high: number]

/**
 * Bootstrap confidence intervals by percentiles (Efron & Tibshirani 1993, ch. 13): ID and OOD images are each drawn anew
 * with replacement `resamples` times; the interval holds the middle `level` of the metrics. Every detection sees the same
 * draws: they are of the same images, so that the metrics stay comparable. They tell how the metrics vary with the
 * choice of test images, not with that of the training seed.
 */
export async function bootstrapIntervals<K extends string>(
  detections: Readonly<Record<K, Detection>>,
  sizes: { inside: number; outside: number },
  generator: Generator,
  options: { resamples: number; level: number; onProgress?: (done: number) => void; signal?: AbortSignal },
): Promise<Record<K, Record<keyof DetectionMetrics, Interval>>> {
  const { resamples, level, onProgress, signal } = options
  const names = Object.keys(detections) as K[]
  const drawn = Object.fromEntries(
    names.map((name) => [name, detectionMetricNames.map(() => new Float64Array(resamples))]),
  ) as Record<K, Float64Array[]>
  for (let r = 0; r < resamples; r++) {
    const inside = generator.integers(sizes.inside, sizes.inside)
    const outside = generator.integers(sizes.outside, sizes.outside)
    for (const name of names) {
      const metrics = detections[name].resampled(inside, outside)
      for (const [m, metric] of detectionMetricNames.entries()) drawn[name][m][r] = metrics[metric]
    }
    if (r % 20 === 19) {
      onProgress?.(r + 1)
      // The event loop gets a turn: Ctrl-C, progress.
      await new Promise(setImmediate)
      signal?.throwIfAborted()
    }
  }
  const tail = (1 - level) / 2
  const interval = (values: Float64Array): Interval => [quantile(values, tail), quantile(values, 1 - tail)]
  const intervals = (name: K) =>
    Object.fromEntries(detectionMetricNames.map((metric, m) => [metric, interval(drawn[name][m])]))
  return Object.fromEntries(names.map((name) => [name, intervals(name)])) as Record<
    K,
    Record<keyof DetectionMetrics, Interval>
  >
}
