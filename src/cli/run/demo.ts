import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadDataset } from '../../data/catalog.ts'
import type { Dataset } from '../../data/dataset.ts'
import { type Evaluation, judge, saveEvaluation } from '../../eval/evaluation.ts'
import { chains, filmStrip, type Images, noiseImages, pickImages, saveImages } from '../../eval/pictures.ts'
import type { TrainingPoint } from '../../eval/plots.ts'
import type { Section } from '../../eval/report/html.ts'
import { type AccuracyResult, accuracy } from '../../eval/suites/accuracy.ts'
import { type CalibrationResult, calibration } from '../../eval/suites/calibration.ts'
import { type OodResult, ood } from '../../eval/suites/ood.ts'
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
import { showProgress } from '../slow-progress.ts'
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

/** The same images on every machine. */
const digitsSource = 'bundled:mnist'

/** What the demo tells of its evaluation on the terminal. */
interface Headline {
  accuracy: AccuracyResult['models'][number]
  ece15: number
  /** Against Fashion-MNIST. */
  auroc: Record<'logpx' | 'maxprob' | 'mass', number>
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
  const digits = loadDataset(digitsSource, { split: 'train' })
  context.stderr.write(
    `training a JEM (${config.model}) on ${digits.count} handwritten digits, ${config.steps} steps, in ${out}\n`,
  )
  const training = await train(config, digits, out, device, limit, context)
  if (!training) return

  const run = openRun(out, device, context)
  try {
    context.stderr.write('judging and drawing …\n')
    const fashion = loadDataset('bundled:fashion-mnist', { split: 'test' })
    const suites = [accuracy(), calibration(), ood({ sets: [fashion] })]
    const { evaluation } = await judge(suites, {
      run,
      test: loadDataset(digitsSource, { split: 'test' }),
      training: () => digits,
      sigma: config.sigma,
      seed: config.seed,
      signal: context.signal,
      progress: showProgress(context.stderr),
    })
    const pictures = await draw(run, out)
    saveEvaluation(out, { evaluation, pictures: {} })
    const report = join(out, 'report.html')
    writeFileAtomic(report, await reportOf(run, out, training, evaluation, pictures))
    context.stdout.write(summary(headlineOf(evaluation), training, { ...pictures, report }))
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
      source: digitsSource,
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

function headlineOf({ suites }: Evaluation): Headline {
  const against = (suites.ood as OodResult).sets[0].models[0].scores
  return {
    accuracy: (suites.accuracy as AccuracyResult).models[0],
    ece15: (suites.calibration as CalibrationResult).models[0].asTrained.bins[0].ece,
    auroc: { logpx: against.logpx!.auroc, maxprob: against.maxprob!.auroc, mass: against.mass!.auroc },
  }
}

async function reportOf(
  run: LoadedRun,
  out: string,
  training: Training,
  evaluation: Evaluation,
  paths: Record<'samples' | 'classes' | 'chain', string>,
): Promise<string> {
  const [html, { evaluationSections }, { configurationSection, runSection, trainingSection }] = await Promise.all([
    import('../../eval/report/html.ts'),
    import('../../eval/report/sections.ts'),
    import('../../eval/report/run.ts'),
  ])
  const { config, data, model } = run
  const samples: Section = {
    title: 'Samples',
    html:
      html.pictures([
        {
          png: readFileSync(paths.samples),
          caption: `100 samples from the replay buffer, chosen at random, after ${settlingSteps} more steps`,
        },
        {
          png: readFileSync(paths.classes),
          caption: `The first ten samples of each class in the replay buffer, after ${settlingSteps} more steps given the class`,
          rowLabels: data.classNames,
        },
      ]) +
      html.picture({
        png: readFileSync(paths.chain),
        caption: 'Fresh chains from uniform noise, one for each class',
        columnLabels: filmSteps.map(String),
        room: 960,
      }),
  }
  return html.page({
    title: 'A joint energy-based model of handwritten digits',
    byline: [
      `${config.model} trained on ${data.count} MNIST digits: one network that classifies, samples and scores.`,
      evaluation.judgedAt.slice(0, 16).replace('T', ' '),
    ],
    sections: [
      samples,
      ...evaluationSections(evaluation, {}),
      trainingSection(metricsOf(out)),
      {
        title: 'Notes',
        html: html.paragraphs([
          `Images are judged under the noise they were trained with (sigma ${config.sigma}), as the released code does.`,
          `Weights are the moving average over training (decay ${config.ema}).`,
        ]),
      },
      runSection({
        model: config.model,
        data: `${data.name} (${data.count} images, ${data.height}×${data.width}×${data.channels})`,
        device: model.parameters()[0].device,
        recipe: 'langevin demo',
        parameters: model.parameterCount(),
        steps: training.steps,
        seconds: training.seconds,
        imageStepsPerSecond: training.imageSteps / training.seconds,
        peakBytes: training.peakBytes,
      }),
      configurationSection({ ...config }, { ...defaultConfig }),
    ],
  })
}

function metricsOf(out: string): TrainingPoint[] {
  const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as TrainingPoint)
}

function summary(
  { accuracy, ece15, auroc }: Headline,
  training: Training,
  paths: { samples: string; classes: string; chain: string; report: string },
): string {
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
  const table = formatTable([
    ['test accuracy', percent(accuracy.accuracy)],
    ['calibration error (15 bins)', percent(ece15)],
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
