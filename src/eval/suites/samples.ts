import type { JemConfig } from '../../jem/config.ts'
import type { LoadedRun } from '../../jem/loadRun.ts'
import type { SamplerOptions } from '../../jem/sampler.ts'
import { samplerOptions } from '../../jem/trainer.ts'
import { Generator } from '../../random/generator.ts'
import { count, percent } from '../format.ts'
import { chains, filmStrip, type Images, pickImages, pngGrid } from '../pictures.ts'
import { type ChainTrace, type ChainVerdict, judgeChains, longChains, pixelShares } from '../samples/longChains.ts'
import { outputsOf } from '../samples/outputs.ts'
import {
  classRows,
  type ExtremeRow,
  extremeSamples,
  notFiniteImages,
  type SamplePool,
  samplePool,
} from '../samples/pool.ts'
import { startingImages, startNames } from '../samples/startingImages.ts'
import { type NamedImages, type NeighbourResult, neighboursOf } from './samples-neighbours.ts'
import {
  describeMeasured,
  type MeasuredOn,
  measuredOn,
  type NamedNumber,
  type ResultTable,
  type Suite,
  type SuiteContext,
  type SuiteOutput,
} from './suite.ts'

export interface SamplesOptions {
  /** Samples of each unconditional grid; default 64. */
  samples?: number
  /** SGLD steps of fresh samples; default 1000, the least that the released code's README advises. */
  steps?: number
  /** Chains of the long run, and its steps; default 16 and 10,000. */
  chains?: number
  chainSteps?: number
}

/** Samples of each class, and of each row of the best and worst. */
const rowLength = 10
/** Frames of the film strip, and the chains that it shows. */
const film = { frames: 11, chains: 6 }
/** Streams of the purpose `picture`. */
const streams = { fresh: 1, classes: 2, buffer: 3, chains: 4 }

/** A grid and what its samples are. */
export interface SampleGrid {
  picture: string
  source: 'fresh' | 'buffer'
  rows: string[]
  samples: number
  /** Those with NaN or infinite values, which the picture shows as black. */
  notFinite: number
}

export interface SamplesResult {
  /** Seed and step of the sampler, for all that is fresh. */
  sampler: Pick<SamplerOptions, 'stepSize' | 'noiseStd'> & {
    start: JemConfig['chainStart']
    steps: number
    seed: number
  }
  /** Samples in the replay buffer; 0: the run kept none. */
  bufferSize: number
  grids: SampleGrid[]
  /** Of the fresh samples given a class, those that the baseline, a network of its own, takes for that class; null without
   *  a baseline. */
  recognised: { samples: number; share: number } | null
  /** Samples with the highest and lowest log p(x) and max p(y|x), of the whole buffer, else of the fresh ones; null where
   *  the model's output is finite for none. */
  extremes: { picture: string; source: 'fresh' | 'buffer'; samples: number; rows: ExtremeRow[] } | null
  longChains: {
    chains: number
    picture: string
    frames: number[]
    trace: ChainTrace[]
    verdict: ChainVerdict
    /** Of the test images, for comparison: f(x) under the evaluation's noise, pixel values without. */
    data: { on: MeasuredOn; fMean: number; fStd: number; extreme: number }
  }
  /** Distances in L2 of images in [0, 1] to the nearest training image, or why they are missing. */
  neighbours: NeighbourResult | { missing: string }
}

/** What the model's samples look like, what becomes of long chains, and whether samples repeat the training images. */
export function samples(options: SamplesOptions = {}): Suite<SamplesResult> {
  return { name: 'samples', run: (context) => run(context, options), tables, notes, numbers }
}

async function run(context: SuiteContext, options: SamplesOptions): Promise<SuiteOutput<SamplesResult>> {
  const { samples: wanted = 64, steps = 1000 } = options
  const { run } = context.candidate
  const { stepSize, noiseStd } = samplerOptions(run.config)
  const pictures: Record<string, Uint8Array> = {}
  const grids: SampleGrid[] = []
  const addGrid = (
    source: SampleGrid['source'],
    name: string,
    images: Images,
    columns: number,
    rows: string[] = [],
  ) => {
    const picture = `samples-${name}.png`
    pictures[picture] = pngGrid(images, columns)
    grids.push({ picture, source, rows, samples: images.count, notFinite: notFiniteImages(images) })
  }

  const fresh = await freshSamples(context, wanted, steps, streams.fresh)
  addGrid('fresh', 'fresh', fresh, Math.ceil(Math.sqrt(wanted)))
  const labels = Int32Array.from({ length: run.data.classes * rowLength }, (_, i) => Math.floor(i / rowLength))
  const byClass = await freshSamples(context, labels.length, steps, streams.classes, labels)
  addGrid('fresh', 'fresh-classes', byClass, rowLength, run.data.classNames)

  const recognised = context.baseline ? await recognisedBy(context.baseline.run, byClass, labels, context) : null

  const freshPool = await samplePool(run.model, fresh, { signal: context.signal })
  const shown: NamedImages[] = [{ name: 'fresh samples', images: freshPool.images }]
  const buffer = await bufferPool(context)
  if (buffer) {
    const order = new Generator(context.seed, 'picture', streams.buffer).permutation(buffer.images.count)
    const some = pickImages(buffer.images, order.slice(0, wanted))
    addGrid('buffer', 'buffer', some, Math.ceil(Math.sqrt(some.count)))
    const rows = classRows(buffer, order, run.data.classes, rowLength)
    addGrid('buffer', 'buffer-classes', rows, rowLength, run.data.classNames)
    shown.push({ name: 'buffer samples', images: some })
  }
  const ranked = buffer ?? freshPool
  const extremes = extremeSamples(ranked, rowLength)
  if (extremes) pictures['samples-extremes.png'] = pngGrid(extremes.images, extremes.columns)
  const long = await traceChains(context, options)
  pictures['chains.png'] = pngGrid(long.strip, film.frames)
  const neighbours = await neighboursOf(
    context,
    shown.filter(({ images }) => images.count > 0),
  )
  if ('strip' in neighbours) pictures['neighbours.png'] = pngGrid(neighbours.strip, neighbours.strip.count / 2)
  return {
    result: {
      sampler: { stepSize, noiseStd, start: run.config.chainStart, steps, seed: context.seed },
      bufferSize: buffer?.images.count ?? 0,
      grids,
      recognised,
      extremes: extremes && {
        picture: 'samples-extremes.png',
        source: buffer ? 'buffer' : 'fresh',
        samples: ranked.images.count,
        rows: extremes.rows,
      },
      longChains: { ...long.result, picture: 'chains.png' },
      neighbours: 'strip' in neighbours ? neighbours.result : neighbours,
    },
    pictures,
  }
}

/** Options of the sampler as the run trained with, which leave the model as it is. */
function sampling({ candidate: { run } }: SuiteContext): Omit<SamplerOptions, 'steps' | 'labels'> {
  const { steps: _, ...options } = samplerOptions(run.config)
  return { ...options, keepStatistics: true }
}

async function freshSamples(
  context: SuiteContext,
  samples: number,
  steps: number,
  stream: number,
  labels?: Int32Array,
): Promise<Images> {
  const { run } = context.candidate
  const generator = new Generator(context.seed, 'picture', stream)
  const start = await startingImages(run, context.training, samples, generator, labels)
  const what = labels ? 'fresh samples by class' : 'fresh samples'
  const [last] = await context.progress(what, steps, (onProgress) =>
    chains(run.model, start, [steps], generator, { ...sampling(context), labels, signal: context.signal, onProgress }),
  )
  return last
}

/** How many of the images a run takes for what they should be; those that are not finite for nothing. */
async function recognisedBy(
  { model }: LoadedRun,
  images: Images,
  labels: Int32Array,
  { signal }: SuiteContext,
): Promise<{ samples: number; share: number }> {
  const { logits } = await outputsOf(model, images, { signal })
  const { classes } = model.options
  const right = labels.filter((label, i) => {
    const row = logits.subarray(i * classes, (i + 1) * classes)
    return row.every((value) => value <= row[label]) // false for NaN
  })
  return { samples: images.count, share: right.length / images.count }
}

/** The whole replay buffer; undefined where the run kept none, or none that is finite. */
async function bufferPool(context: SuiteContext): Promise<SamplePool | undefined> {
  const { run } = context.candidate
  const { height, width, channels } = run.data
  const size = run.buffer.length / (height * width * channels)
  if (size === 0) return undefined
  const images = { pixels: run.buffer, count: size, height, width, channels }
  const pool = await context.progress('judge the replay buffer', size, (onProgress) =>
    samplePool(run.model, images, { signal: context.signal, onProgress }),
  )
  return pool.images.count > 0 ? pool : undefined
}

async function traceChains(
  context: SuiteContext,
  { chains: wanted = 16, chainSteps = 10_000 }: SamplesOptions,
): Promise<{ strip: Images; result: Omit<SamplesResult['longChains'], 'picture'> }> {
  const { test, seed, signal, candidate } = context
  const generator = new Generator(seed, 'picture', streams.chains)
  const start = await startingImages(candidate.run, context.training, wanted, generator)
  const { trace, frames } = await context.progress(`${wanted} chains`, chainSteps, (onProgress) =>
    longChains(candidate.run.model, start, generator, { ...sampling(context), steps: chainSteps, signal, onProgress }),
  )
  const shown = Array.from({ length: film.frames }, (_, i) => Math.round((i * (frames.length - 1)) / (film.frames - 1)))
  const first = Int32Array.from({ length: Math.min(film.chains, wanted) }, (_, i) => i)
  const strip = filmStrip(shown.map((i) => pickImages(frames[i], first)))
  const { f } = await candidate.scores.outputs(test)
  const mean = f.reduce((sum, v) => sum + v, 0) / f.length
  const std = Math.sqrt(f.reduce((sum, v) => sum + (v - mean) ** 2, 0) / f.length)
  const { extreme } = pixelShares(Float32Array.from(test.images, (byte) => byte / 127.5 - 1))
  return {
    strip,
    result: {
      ...{ chains: wanted, frames: shown.map((i) => trace[i].step), trace },
      verdict: judgeChains(trace, { fStd: std, extreme }),
      data: { on: measuredOn(context, test), fMean: mean, fStd: std, extreme },
    },
  }
}

function tables({ longChains, neighbours }: SamplesResult): ResultTable[] {
  const { chains, trace, verdict, data } = longChains
  const last = trace[trace.length - 1]
  const state = (bad: boolean, text: string) => (bad ? text : 'no')
  const all: ResultTable[] = [
    {
      caption: `${chains} chains of ${count(last.step)} steps; data: ${describeMeasured(data.on)}`,
      head: ['at the end', 'chains', 'data'],
      rows: [
        ['mean f(x), log p(x) up to a constant', last.f ? last.f.mean.toFixed(2) : 'not finite', data.fMean.toFixed(2)],
        ['values beyond [-1, 1]', percent(last.outside, 1), '–'],
        ['values shown as black or white', percent(last.extreme, 1), percent(data.extreme, 1)],
        ['blew up', state(verdict.blewUp, 'YES'), ''],
        ['saturated', state(verdict.saturated, 'YES'), ''],
        [
          'drift of mean f, in standard deviations over data',
          verdict.drift === null
            ? 'not finite'
            : `${verdict.drift.toFixed(2)}${verdict.drifts ? ' (NOT SETTLED)' : ''}`,
          '',
        ],
      ],
    },
  ]
  if (!('missing' in neighbours)) {
    all.push({
      caption: `Nearest training images, L2 of images in [0, 1]; ${describeMeasured(neighbours.training)}`,
      head: ['images', 'number', 'median distance', 'least', 'nearer than 99 % of test images'],
      rows: neighbours.sets.map(({ name, images, median, nearest, nearerThanTest }) => [
        name,
        count(images),
        median.toFixed(3),
        nearest.toFixed(3),
        percent(nearerThanTest, 1),
      ]),
    })
  }
  return all
}

function numbers({ recognised, longChains, sampler }: SamplesResult): NamedNumber[] {
  if (!recognised) return []
  const on = {
    ...longChains.data.on,
    split: 'sampled',
    images: recognised.samples,
    sigma: 0,
    seed: sampler.seed,
  } as const
  return [{ name: 'fresh samples that the baseline recognises', value: recognised.share, unit: 'percent', on }]
}

function notes({ sampler, bufferSize, grids, recognised, neighbours }: SamplesResult): string[] {
  const { start, steps, stepSize, noiseStd, seed } = sampler
  const broken = grids.filter(({ notFinite }) => notFinite > 0)
  return [
    `Fresh samples: chains from ${startNames[start]}, ${count(steps)} SGLD steps of size ${stepSize} with noise of standard ` +
      `deviation ${noiseStd}, seed ${seed}. ` +
      (bufferSize > 0 ? `The replay buffer holds ${count(bufferSize)} samples.` : 'The run kept no replay buffer.'),
    ...(recognised
      ? [
          `The baseline takes ${percent(recognised.share, 1)} of the ${recognised.samples} fresh samples given a class for ` +
            'that class.',
        ]
      : []),
    'Blew up: a value that is not finite, or an rms above 2. Saturated: at least 20 % more of the values at black or white ' +
      'than in data. Drift: mean f of the last tenth of the trace less that of the tenth after its middle.',
    ...broken.map(
      ({ picture, notFinite, samples }) => `${picture}: ${notFinite} of ${samples} images hold NaN or infinity.`,
    ),
    ...('missing' in neighbours ? [`Nearest training images are missing: ${neighbours.missing}.`] : []),
  ]
}
