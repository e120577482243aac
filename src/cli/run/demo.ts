import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadDataset } from '../../data/catalog.ts'
import type { Dataset } from '../../data/dataset.ts'
import { type ClassificationMetrics, classificationMetrics, auroc as rocArea } from '../../eval/metrics.ts'
import { chains, filmStrip, type Images, noiseImages, pickImages, saveImages } from '../../eval/pictures.ts'
import type { TrainingPoint } from '../../eval/plots.ts'
import type { ReportData } from '../../eval/report.ts'
import { type Scores, scoreImages } from '../../eval/scores.ts'
import { writeFileAtomic } from '../../io/atomic.ts'
import { defaultConfig, type JemConfig } from '../../jem/config.ts'
import type { LoadedRun } from '../../jem/loadRun.ts'
import { trainRun } from '../../jem/run.ts'
import type { Device } from '../../native/contract.ts'
import { Generator } from '../../random/generator.ts'
import { memory, resetPeakMemory } from '../../tensor/memory.ts'
import type { DemoOptions } from '../commands/demo.ts'
import type { CliContext } from '../context.ts'
import { demoRecipe, recipeMinutes } from '../demo-recipe.ts'
import { openDevice } from '../device.ts'
import { openRun } from '../load-run.ts'
import { createProgress } from '../progress.ts'
import { formatTable } from '../table.ts'

/** Share of the time limit that is kept for judging, drawing and the report. */
const judgingShare = 0.12

/** Steps that shown chains run on with the judged weights: of the buffer's chains, many were begun only lately. */
const settlingSteps = [100]

/** Columns of the film strip: steps from noise. */
const filmSteps = [0, 5, 10, 20, 40, 80, 120, 160, 200, 250, 300, 400]

interface Training {
  seconds: number
  imageSteps: number
  steps: number
  peakBytes: number
}

interface Judgement {
  classification: ClassificationMetrics
  auroc: Record<'logpx' | 'maxprob' | 'mass', number>
  test: Scores
  ood: Scores
}

/** Trains, draws, judges and reports; see `declareDemo`. `limit`: seconds after which training stops. */
export async function runDemo(
  options: DemoOptions,
  context: CliContext,
  limit = options.minutes * 60 * (1 - judgingShare),
): Promise<void> {
  const out = folderFor(options.out)
  const device = openDevice(options, context.stderr)
  const config = recipeFor(options)
  const digits = loadDataset('mnist', { split: 'train', bundled: true })
  context.stderr.write(
    `training a JEM (${config.model}) on ${digits.count} handwritten digits, ${config.steps} steps, in ${out}\n`,
  )
  const training = await train(config, digits, out, device, limit, context)
  if (!training) return

  const run = openRun(out, device, context)
  try {
    context.stderr.write('judging and drawing …\n')
    const test = loadDataset('mnist', { split: 'test', bundled: true })
    const fashion = loadDataset('fashion-mnist', { split: 'test', bundled: true })
    const judgement = await judge(run, test, fashion)
    const pictures = await draw(run, out)
    const { renderReport } = await import('../../eval/report.ts')
    const report = join(out, 'report.html')
    writeFileAtomic(report, renderReport(reportOf(run, out, training, judgement, pictures, test, fashion)))
    writeFileAtomic(join(out, 'eval.json'), `${JSON.stringify(evaluationOf(judgement, fashion), null, 2)}\n`)
    context.stdout.write(summary(judgement, training, { ...pictures, report }))
  } finally {
    run.model.dispose()
  }
}

/** The default folder, or the next free one beside it: an earlier demo is never overwritten. */
function folderFor(out: string): string {
  if (out !== 'runs/demo') return out
  const taken = (folder: string): boolean => existsSync(folder) && readdirSync(folder).length > 0
  let folder = out
  for (let n = 2; taken(folder); n++) folder = `${out}-${n}`
  return folder
}

/** A shorter or longer demo is the same recipe with fewer or more steps. */
function recipeFor({ seed, minutes }: DemoOptions): JemConfig {
  const scale = minutes / recipeMinutes
  const steps = (recipe: number): number => Math.max(1, Math.round(recipe * scale))
  return { ...demoRecipe, seed, steps: steps(demoRecipe.steps), pxStart: steps(demoRecipe.pxStart) }
}

/** undefined where Ctrl-C stopped it. */
async function train(
  config: JemConfig,
  data: Dataset,
  folder: string,
  device: Device,
  limit: number,
  context: CliContext,
): Promise<Training | undefined> {
  const started = performance.now()
  const elapsed = (): number => (performance.now() - started) / 1000
  const progress = createProgress({ stream: context.stderr, total: config.steps, label: 'train' })
  const imageStepsAt = (step: number): number => Math.max(0, step - config.pxStart) * config.batch * config.sgldSteps
  resetPeakMemory(device)
  try {
    const result = await trainRun({
      config,
      data,
      source: 'mnist',
      folder,
      device,
      signal: context.signal,
      stop: () => elapsed() > limit,
      onStep: ({ step, loss, fData, fSample, accuracy }) =>
        progress.update({
          step,
          imageSteps: imageStepsAt(step),
          loss,
          fData: fData ?? undefined,
          fSample: fSample ?? undefined,
          accuracy: accuracy ?? undefined,
        }),
      onMessage: progress.print,
    })
    progress.finish()
    if (context.signal.aborted) {
      context.stderr.write(
        `stopped at step ${result.steps}, saved; continue with: langevin train --resume --out ${folder}\n`,
      )
      return undefined
    }
    if (!result.finished) {
      context.stderr.write(
        `notice: the time was up at step ${result.steps} of ${config.steps}; judging what there is\n`,
      )
    }
    const { peakBytes } = memory(device)
    return { seconds: elapsed(), imageSteps: imageStepsAt(result.steps), steps: result.steps, peakBytes }
  } finally {
    progress.finish()
  }
}

async function judge(run: LoadedRun, test: Dataset, fashion: Dataset): Promise<Judgement> {
  const options = { sigma: run.config.sigma, seed: run.config.seed }
  const inside = await scoreImages(run.model, test, options)
  const outside = await scoreImages(run.model, fashion, options)
  return {
    classification: classificationMetrics(inside.logits, test.labels, test.classes),
    auroc: {
      logpx: rocArea(inside.logpx, outside.logpx),
      maxprob: rocArea(inside.maxprob, outside.maxprob),
      mass: rocArea(inside.mass, outside.mass),
    },
    test: inside,
    ood: outside,
  }
}

/** Writes samples.png, classes.png and chain.png; returns their paths. */
async function draw(run: LoadedRun, out: string): Promise<{ samples: string; classes: string; chain: string }> {
  const { model, config, data } = run
  const size = { height: data.height, width: data.width, channels: data.channels }
  const generator = new Generator(config.seed, 'picture')
  const sampler = { stepSize: config.stepSize, noiseStd: config.noiseStd }
  const each = size.height * size.width * size.channels
  const buffer: Images = { pixels: run.buffer, count: run.buffer.length / each, ...size }

  // Class k's chains live in the k-th segment of the buffer.
  const segment = buffer.count / data.classes
  const labels = Int32Array.from({ length: 100 }, (_, i) => Math.floor(i / 10))
  const places = labels.map((k, i) => k * segment + (i % 10))
  const [rows] = await chains(model, pickImages(buffer, places), settlingSteps, generator, { ...sampler, labels })
  const shuffled = generator.permutation(buffer.count).slice(0, 100)
  const [grid] = await chains(model, pickImages(buffer, shuffled), settlingSteps, generator, sampler)
  const starts = await noiseImages(data.classes, size, generator)
  const classes = Int32Array.from({ length: data.classes }, (_, k) => k)
  const frames = await chains(model, starts, filmSteps, generator, { ...sampler, labels: classes })

  const paths = {
    samples: join(out, 'samples.png'),
    classes: join(out, 'classes.png'),
    chain: join(out, 'chain.png'),
  }
  saveImages(paths.samples, grid, 10)
  saveImages(paths.classes, rows, 10)
  saveImages(paths.chain, filmStrip(frames), filmSteps.length)
  return paths
}

function evaluationOf({ classification, auroc }: Judgement, fashion: Dataset): object {
  const { n, accuracy, nll, ece15, ece20, brier } = classification
  const { logpx, maxprob, mass } = auroc
  const ood = {
    [fashion.name]: { n: fashion.count, logpx: { auroc: logpx }, maxprob: { auroc: maxprob }, mass: { auroc: mass } },
  }
  return { n, accuracy, nll, ece15, ece20, brier, ood }
}

function reportOf(
  run: LoadedRun,
  out: string,
  training: Training,
  { classification, auroc, test: inside, ood: outside }: Judgement,
  pictures: { samples: string; classes: string; chain: string },
  test: Dataset,
  fashion: Dataset,
): ReportData {
  const { config, data, model } = run
  const { reliability, ...results } = classification
  const histogram = (label: string, score: 'logpx' | 'maxprob' | 'mass') => ({
    label,
    sets: [
      { name: test.name, values: inside[score] },
      { name: fashion.name, values: outside[score] },
    ],
  })
  return {
    title: 'A joint energy-based model of handwritten digits',
    subtitle: `${config.model} trained on ${data.count} MNIST digits: one network that classifies, samples and scores.`,
    createdAt: new Date().toISOString().slice(0, 16).replace('T', ' '),
    results,
    ood: [{ name: fashion.name, n: fashion.count, ...auroc }],
    training: {
      model: config.model,
      data: `${data.name} (${data.count} images, ${data.height}×${data.width}×${data.channels})`,
      device: run.model.parameters()[0].device,
      recipe: 'langevin demo',
      parameters: model.parameterCount(),
      steps: training.steps,
      seconds: training.seconds,
      imageStepsPerSecond: training.imageSteps / training.seconds,
      peakBytes: training.peakBytes,
    },
    curves: metricsOf(out),
    samples: [
      {
        png: pictures.samples,
        caption: `100 samples from the replay buffer, chosen at random, after ${settlingSteps} more steps`,
      },
    ],
    classSamples: {
      png: pictures.classes,
      caption: `The first ten samples of each class in the replay buffer, after ${settlingSteps} more steps given the class`,
      rowLabels: data.classNames,
    },
    chain: {
      png: pictures.chain,
      caption: 'Fresh chains from uniform noise, one for each class',
      columnLabels: filmSteps.map(String),
    },
    scores: [
      histogram('log p(x) + constant', 'logpx'),
      histogram('max p(y|x)', 'maxprob'),
      histogram('−‖∂log p(x)/∂x‖₂', 'mass'),
    ],
    reliability,
    config: { ...config },
    defaults: { ...defaultConfig },
    notes: [
      `Images are judged under the noise they were trained with (sigma ${config.sigma}), as the released code does.`,
      `Weights are the moving average over training (decay ${config.ema}).`,
    ],
  }
}

function metricsOf(out: string): TrainingPoint[] {
  const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as TrainingPoint)
}

function summary(
  { classification, auroc }: Judgement,
  training: Training,
  paths: { samples: string; classes: string; chain: string; report: string },
): string {
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
  const table = formatTable([
    ['test accuracy', percent(classification.accuracy)],
    ['calibration error (15 bins)', percent(classification.ece15)],
    ['AUROC against Fashion-MNIST: log p(x)', auroc.logpx.toFixed(4)],
    ['                             max p(y|x)', auroc.maxprob.toFixed(4)],
    ['                             −‖∂log p/∂x‖', auroc.mass.toFixed(4)],
    ['training time', `${training.seconds.toFixed(0)} s, ${training.steps} steps`],
    ['SGLD speed, training included', `${(training.imageSteps / training.seconds).toFixed(0)} image-steps/s`],
    ['samples', paths.samples],
    ['one row per class', paths.classes],
    ['from noise to digit', paths.chain],
    ['report', paths.report],
  ])
  return `${table}\n`
}
