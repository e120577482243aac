import { type Dataset, takeImages } from '../../data/dataset.ts'
import { ConfigError, DataError } from '../../errors.ts'
import { Generator } from '../../random/generator.ts'
import { bootstrapIntervals, type Interval } from '../bootstrap.ts'
import { Detection, type DetectionMetrics, detectionMetricNames } from '../detection.ts'
import { count, percent } from '../format.ts'
import { type HistogramSets, histogramSets } from '../histograms.ts'
import type { Numbers } from '../metrics.ts'
import { type ScoreName, type Scores, scoreLabels, scoreNames, scoresOf } from '../scores.ts'
import {
  type Candidate,
  type Cell,
  candidatesOf,
  describeMeasured,
  type MeasuredOn,
  measuredOn,
  type NamedNumber,
  type ResultTable,
  type Suite,
  type SuiteContext,
} from './suite.ts'

export interface OodSuiteOptions {
  /** Sets that the run was not trained on. */
  sets: readonly Dataset[]
  /** Compare equally many test and OOD images, chosen at random where one side has more: AUPR depends on the base rate.
   *  Default true. */
  equalSizes?: boolean
  /** Bootstrap resamples; 0: no intervals. Default 1000. */
  resamples?: number
}

/** Part of the bootstrap's metrics that an interval holds. */
const level = 0.95
/** Images whose mean log p(x) is the reference of typicality, where the run held none out. */
const typicalImages = 2000

/** Streams of the purpose `evaluation`: noise has stream 0, derived sets have those from 1000 on (`data/ood.ts`). */
const streams = { typicality: 1, firstSet: 100 }

export interface OodResult {
  /** The in-distribution images. */
  on: MeasuredOn
  /** Intervals: what a resampling of the images gives; null where none was asked for. */
  bootstrap: { resamples: number; level: number; method: 'percentile'; seed: number } | null
  equalSizes: boolean
  /** In-distribution images that typicality compares with, or why that score is missing. */
  typicality: { on: MeasuredOn } | { missing: string }
  sets: {
    on: MeasuredOn
    /** Test images compared with them. */
    inside: number
    models: { name: string; scores: Partial<Record<ScoreName, ScoreResult>> }[]
  }[]
  /** Of the judged run, test images first. */
  histograms: HistogramSets[]
}

export type ScoreResult = DetectionMetrics & { intervals: Record<keyof DetectionMetrics, Interval> | null }

/** How well each score of `scores.ts` tells the test images from each other set. Throws ConfigError without a set. */
export function ood(options: OodSuiteOptions): Suite<OodResult> {
  const check = () => {
    if (options.sets.length > 0) return
    throw new ConfigError('ood: no out-of-distribution sets', { hint: 'name some with --ood' })
  }
  return { name: 'ood', usesGradients: true, check, run: (context) => run(context, options), tables, notes, numbers }
}

async function run(
  context: SuiteContext,
  { sets, equalSizes = true, resamples = 1000 }: OodSuiteOptions,
): Promise<{ result: OodResult }> {
  const { test, seed } = context
  const reference = typicalSet(context)
  const candidates = candidatesOf(context)
  const judge = async ({ run, scores }: Candidate, data: Dataset): Promise<Scores> => {
    const meanF = 'missing' in reference ? Number.NaN : mean((await scores.outputs(reference.data)).f)
    return scoresOf(await scores.withGradients(data), run.model.options.classes, meanF)
  }
  const names = scoreNames.filter((name) => name !== 'typicality' || !('missing' in reference))
  const results: OodResult['sets'] = []
  const values: { name: string; scores: Scores }[] = [{ name: test.name, scores: await judge(candidates[0], test) }]
  for (const [i, whole] of sets.entries()) {
    const choice = new Generator(seed, 'evaluation', streams.firstSet + i)
    const data =
      equalSizes && whole.count > test.count ? takeImages(whole, firstOf(choice, whole.count, test.count)) : whole
    const inside = equalSizes ? Math.min(test.count, data.count) : test.count
    const places = inside < test.count ? firstOf(choice, test.count, inside) : undefined
    const models: OodResult['sets'][number]['models'] = []
    for (const candidate of candidates) {
      const [ours, others] = [await judge(candidate, test), await judge(candidate, data)]
      if (candidate === candidates[0]) values.push({ name: data.name, scores: others })
      const detections = Object.fromEntries(
        names.map((name) => [name, new Detection(at(ours[name], places), others[name])]),
      ) as Record<ScoreName, Detection>
      const intervals =
        resamples === 0
          ? undefined
          : await context.progress(`bootstrap ${data.name} with ${candidate.name}`, resamples, (onProgress) =>
              bootstrapIntervals(detections, { inside, outside: data.count }, choice, {
                resamples,
                level,
                onProgress,
                signal: context.signal,
              }),
            )
      const scores = names.map((name) => [
        name,
        { ...detections[name].metrics(), intervals: intervals?.[name] ?? null },
      ])
      models.push({ name: candidate.name, scores: Object.fromEntries(scores) })
    }
    results.push({ on: measuredOn(context, data), inside, models })
  }
  return {
    result: {
      on: measuredOn(context, test),
      bootstrap: resamples === 0 ? null : { resamples, level, method: 'percentile', seed },
      equalSizes,
      typicality:
        'missing' in reference ? reference : { on: { ...measuredOn(context, reference.data), split: reference.split } },
      sets: results,
      histograms: names.map((name) => scoreHistograms(name, values)),
    },
  }
}

/** What the run held out, else images that it was trained on. */
function typicalSet(context: SuiteContext): { data: Dataset; split: 'validation' | 'train' } | { missing: string } {
  try {
    const { run } = context.candidate
    if (run.config.validationSize > 0) return { data: context.validation(run), split: 'validation' }
    const training = context.training()
    const generator = new Generator(context.seed, 'evaluation', streams.typicality)
    const places = firstOf(generator, training.count, Math.min(training.count, typicalImages))
    return { data: takeImages(training, places), split: 'train' }
  } catch (error) {
    if (error instanceof DataError) return { missing: error.message }
    throw error
  }
}

/** `part` of `count` places at random. */
function firstOf(generator: Generator, count: number, part: number): Int32Array {
  return generator.permutation(count).slice(0, part)
}

function at(values: Numbers, places: Int32Array | undefined): Numbers {
  return places ? Float64Array.from(places, (place) => values[place]) : values
}

function mean(values: Float32Array): number {
  let sum = 0
  for (const value of values) sum += value
  return sum / values.length
}

/** As the released code's (`eval_wrn_ebm.py`, `--eval logp_hist`), which shows the gradient's norm as −log. */
function scoreHistograms(name: ScoreName, sets: readonly { name: string; scores: Scores }[]): HistogramSets {
  if (name !== 'mass') {
    return histogramSets(
      scoreLabels[name],
      sets.map(({ name: set, scores }) => ({ name: set, values: scores[name] })),
    )
  }
  return histogramSets(
    '−log ‖∂log p/∂x‖₂',
    sets.map(({ name: set, scores }) => ({
      name: set,
      values: Float64Array.from(scores.mass, (mass) => -Math.log(Math.max(-mass, Number.MIN_VALUE))),
    })),
  )
}

function tables({ on, sets }: OodResult): ResultTable[] {
  return sets.map(({ on: other, inside, models }) => ({
    caption: `Against ${describeMeasured(other)}; in-distribution: ${describeMeasured({ ...on, images: inside })}`,
    head: [other.data, 'AUROC', 'AUPR-in', 'AUPR-out', 'FPR at 95 % TPR'],
    rows: models.flatMap(({ name, scores }) =>
      (Object.entries(scores) as [ScoreName, ScoreResult][]).map(([score, result]) => [
        models.length > 1 ? `${name}: ${scoreLabels[score]}` : scoreLabels[score],
        ...detectionMetricNames.map((metric) => withInterval(result[metric], result.intervals?.[metric])),
      ]),
    ),
  }))
}

function notes({ bootstrap, equalSizes, typicality }: OodResult): string[] {
  const all = [
    'Positive class: in-distribution for AUROC, AUPR-in and FPR at 95 % TPR; out-of-distribution for AUPR-out. AUPR is ' +
      'average precision. A higher score means more in-distribution.',
    equalSizes
      ? 'Equally many images of both sides, chosen at random where one has more: AUPR depends on the base rate.'
      : 'All images of both sides: AUPR depends on their ratio.',
    'missing' in typicality
      ? `Typicality is missing: ${typicality.missing}.`
      : `Typicality is −|log p(x) − its mean over ${describeMeasured(typicality.on)}|.`,
  ]
  if (bootstrap) {
    all.push(
      `Ranges: ${percent(bootstrap.level, 0)} bootstrap intervals, percentiles of ${count(bootstrap.resamples)} ` +
        `resamples of the images (seed ${bootstrap.seed}).`,
    )
  }
  return all
}

function withInterval(value: number, interval: Interval | undefined): Cell {
  if (!interval) return value.toFixed(4)
  return { value: value.toFixed(4), spread: interval.map((end) => end.toFixed(3)).join('–') }
}

function numbers({ sets }: OodResult): NamedNumber[] {
  return sets.flatMap(({ on, models: [{ scores }] }) =>
    (Object.entries(scores) as [ScoreName, ScoreResult][]).map(([score, { auroc }]) => ({
      name: `AUROC of ${scoreLabels[score]} against ${on.data}`,
      value: auroc,
      unit: 'none' as const,
      on,
    })),
  )
}
