import { DataError } from '../errors.ts'
import { histogram, type Numbers, quantile } from './metrics.ts'

/** Densities of one score over several data sets on one axis; plain JSON. */
export interface HistogramSets {
  /** Of the axis. */
  label: string
  /** [bins + 1], ascending. */
  edges: number[]
  /** `density`: [bins], share of the set's images per unit of the axis. */
  sets: { name: string; density: number[] }[]
}

/** The axis spans the middle 99 % of every set; values beyond it count in the outermost bins. Throws DataError without
 *  sets, on empty ones and on values that are not finite. */
export function histogramSets(
  label: string,
  sets: readonly { name: string; values: Numbers }[],
  bins = 50,
): HistogramSets {
  if (sets.length === 0) throw new DataError('histogramSets: no data sets')
  const low = Math.min(...sets.map(({ values }) => quantile(values, 0.005)))
  const high = Math.max(...sets.map(({ values }) => quantile(values, 0.995)))
  const all = sets.map(({ name, values }) => ({ name, ...histogram(values, { bins, range: [low, high] }) }))
  return {
    label,
    edges: Array.from(all[0].edges),
    sets: all.map(({ name, density }) => ({ name, density: Array.from(density) })),
  }
}
