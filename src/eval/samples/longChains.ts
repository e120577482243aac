/** Chains run for much longer than training ever does, and what becomes of them. */
import { DataError } from '../../errors.ts'
import type { JemModel } from '../../jem/model.ts'
import type { Generator } from '../../random/generator.ts'
import { type ChainOptions, chains, type Images } from '../pictures.ts'
import { outputsOf } from './outputs.ts'

/** Where the chains stand after some steps. Values that are not finite are counted and left out of the others. */
export interface ChainTrace {
  step: number
  /** Over the chains: f(x), the unnormalised log p(x); null where no chain's is finite. */
  f: { mean: number; min: number; max: number } | null
  /** Share of pixel values with |x| > 1, in [0, 1]. */
  outside: number
  /** Share that a picture shows as pure black or white: |x| >= 1 − 1/255. */
  extreme: number
  /** √(mean x²); images in [-1, 1] have at most 1. */
  rms: number
  /** Number of pixel values that are NaN or infinite. */
  notFinite: number
}

/** What data look like, for comparison. */
export interface ChainReference {
  /** Standard deviation of f(x) over data. */
  fStd: number
  /** As `ChainTrace.extreme`, of data. */
  extreme: number
}

export interface ChainVerdict {
  /** A value is not finite, or the rms of the last images exceeds 2: no image in the range comes near that. */
  blewUp: boolean
  /** The last images have at least 0.2 more of their values at black or white than data have. */
  saturated: boolean
  /** Mean f of the last tenth of the trace less that of the tenth after its middle, in standard deviations of f over data;
   *  null where f is not finite. */
  drift: number | null
  /** |drift| > 1: the chains have not settled. */
  drifts: boolean
}

export interface LongChainOptions extends Omit<ChainOptions, 'onProgress'> {
  /** Default 10,000. */
  steps?: number
  /** Points of the trace, start and end included; default 51. */
  points?: number
  onProgress?: (steps: number) => void
}

export interface LongChains {
  trace: ChainTrace[]
  /** The images at each point of the trace. */
  frames: Images[]
}

/** Runs chains from `start` and traces them. Throws DataError for fewer than 2 points or steps. */
export async function longChains(
  model: JemModel,
  start: Images,
  generator: Generator,
  { steps = 10_000, points = 51, ...options }: LongChainOptions,
): Promise<LongChains> {
  if (!(points >= 2 && steps >= 1))
    throw new DataError(`longChains: needs 2 points and a step, got ${points} and ${steps}`)
  const at = [...new Set(Array.from({ length: points }, (_, i) => Math.round((i * steps) / (points - 1))))]
  const frames = await chains(model, start, at, generator, options)
  const trace: ChainTrace[] = []
  for (const [i, frame] of frames.entries()) {
    const { f } = await outputsOf(model, frame, { signal: options.signal })
    trace.push({ step: at[i], f: spread(f), ...pixelShares(frame.pixels) })
  }
  return { trace, frames }
}

/** Whether the chains blew up, saturated or drifted. */
export function judgeChains(trace: readonly ChainTrace[], reference: ChainReference): ChainVerdict {
  const last = trace[trace.length - 1]
  const tenth = Math.max(1, Math.floor(trace.length / 10))
  const middle = Math.floor(trace.length / 2)
  const before = meanF(trace.slice(middle, middle + tenth))
  const after = meanF(trace.slice(-tenth))
  const drift = before === null || after === null ? null : (after - before) / reference.fStd
  return {
    blewUp: trace.some(({ notFinite }) => notFinite > 0) || last.rms > 2,
    saturated: last.extreme >= reference.extreme + 0.2,
    drift,
    drifts: drift === null || Math.abs(drift) > 1,
  }
}

export function pixelShares(pixels: Float32Array): Omit<ChainTrace, 'step' | 'f'> {
  let [outside, extreme, squares, finite] = [0, 0, 0, 0]
  for (const value of pixels) {
    if (!Number.isFinite(value)) continue
    finite++
    const size = Math.abs(value)
    if (size > 1) outside++
    if (size >= 1 - 1 / 255) extreme++
    squares += value * value
  }
  const share = (count: number) => (finite === 0 ? 0 : count / finite)
  return {
    ...{ outside: share(outside), extreme: share(extreme), rms: Math.sqrt(share(squares)) },
    notFinite: pixels.length - finite,
  }
}

function spread(f: Float32Array): ChainTrace['f'] {
  const finite = f.filter(Number.isFinite)
  if (finite.length === 0) return null
  return {
    mean: finite.reduce((sum, v) => sum + v, 0) / finite.length,
    min: Math.min(...finite),
    max: Math.max(...finite),
  }
}

function meanF(points: readonly ChainTrace[]): number | null {
  const known = points.flatMap(({ f }) => (f ? [f.mean] : []))
  return known.length === 0 ? null : known.reduce((sum, v) => sum + v, 0) / known.length
}
