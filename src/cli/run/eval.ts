import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { hasTestPart, placeOf } from '../../data/catalog.ts'
import { conversionTo } from '../../data/convert.ts'
import { type Dataset, takeImages } from '../../data/dataset.ts'
import { checkSameSize } from '../../data/ood.ts'
import type { DatasetName } from '../../data/sources.ts'
import { ConfigError, DataError } from '../../errors.ts'
import { defaultEpsilons } from '../../eval/attacks/names.ts'
import { judge, readEvaluation, saveEvaluation } from '../../eval/evaluation.ts'
import type { TrainingPoint } from '../../eval/plots.ts'
import type { EvaluationReport } from '../../eval/report/evaluation.ts'
import { accuracy } from '../../eval/suites/accuracy.ts'
import { calibration } from '../../eval/suites/calibration.ts'
import { ood } from '../../eval/suites/ood.ts'
import { robustness } from '../../eval/suites/robustness.ts'
import { samples } from '../../eval/suites/samples.ts'
import { cellText, type Suite } from '../../eval/suites/suite.ts'
import { writeFileAtomic } from '../../io/atomic.ts'
import { discard } from '../../io/discard.ts'
import { fileError } from '../../io/file-error.ts'
import type { DataDescription } from '../../jem/checkpoint.ts'
import { defaultConfig } from '../../jem/config.ts'
import type { LoadedRun } from '../../jem/loadRun.ts'
import { Generator } from '../../random/generator.ts'
import type { EvalOptions, SuiteName } from '../commands/eval.ts'
import type { CliContext } from '../context.ts'
import { openDevice } from '../device.ts'
import { loadData, loadOodData } from '../load-data.ts'
import { openRun } from '../load-run.ts'
import { showProgress } from '../slow-progress.ts'
import { formatTable } from '../table.ts'

interface Inputs {
  run: LoadedRun
  test: Dataset
  options: EvalOptions
  seed: number
  context: CliContext
}

/** Those that take seconds. */
const defaultSuites: readonly SuiteName[] = ['accuracy', 'calibration', 'ood']

/** Makes each suite from the command's options. */
const suiteMakers: Record<SuiteName, (inputs: Inputs) => Suite> = {
  accuracy: () => accuracy(),
  calibration: () => calibration(),
  ood: (inputs) =>
    ood({
      sets: oodSets(inputs),
      equalSizes: inputs.options.equalSizes,
      resamples: inputs.options.resamples,
    }),
  robustness: ({ options }) =>
    robustness({
      images: options.attackImages,
      attacks: options.attacks,
      epsilons: { linf: options.epsilons ?? defaultEpsilons.linf, l2: options.epsilonsL2 ?? defaultEpsilons.l2 },
      steps: options.attackSteps,
      restarts: options.restarts,
      refinements: options.refine,
      draws: options.eotDraws,
      minimalDistance: options.minimalDistance,
    }),
  samples: ({ options }) =>
    samples({
      samples: options.samples,
      steps: options.sampleSteps,
      chains: options.chains,
      chainSteps: options.chainSteps,
    }),
}

export async function runEval(options: EvalOptions, context: CliContext): Promise<void> {
  const out = options.out ?? options.run
  const device = openDevice(options, context.stderr)
  const run = openRun(options.run, device, context)
  let baseline: LoadedRun | undefined
  try {
    // What could fail at the end is tried first: judging may take hours.
    refuseUnwritable(out)
    if (existsSync(join(out, 'eval.json'))) readEvaluation(join(out, 'eval.json'))
    const curves = readMetrics(join(options.run, 'metrics.jsonl'))
    baseline = options.baseline === undefined ? undefined : openBaseline(options.baseline, run, device, context)
    const seed = options.seed ?? run.config.seed
    const test = testSet(run, options, seed, context)
    const inputs = { run, test, options, seed, context }
    const suites = (options.suite ?? defaultSuites).map((name) => suiteMakers[name](inputs))
    const judged = await judge(suites, {
      run,
      baseline,
      test,
      training: () => loadData(run.data.source, { split: 'train', ...conversionTo(run.data) }, context),
      sigma: options.sigma ?? run.config.sigma,
      seed,
      signal: context.signal,
      progress: showProgress(context.stderr),
      finished: (judged) => save(out, { ...judged, run, folder: options.run, curves, defaults: defaultConfig }),
    })
    const json = `${JSON.stringify(judged.evaluation, null, 2)}\n`
    if (options.json === '-') {
      context.stdout.write(json)
      return
    }
    if (options.json !== undefined) writeFileAtomic(options.json, json)
    for (const suite of suites) context.stdout.write(asText(suite, judged.evaluation.suites[suite.name]))
    context.stdout.write(`${join(out, 'report.html')}\n`)
  } finally {
    run.model.dispose()
    baseline?.model.dispose()
  }
}

function asText(suite: Suite, result: object): string {
  const tables = suite.tables(result).map(
    ({ caption, head, rows }) =>
      `${caption}\n\n${formatTable(
        rows.map((row) => row.map(cellText)),
        head,
      )}\n`,
  )
  const notes = (suite.notes?.(result) ?? []).map((note) => `${note}\n`)
  return `${tables.join('')}${notes.join('')}${notes.length > 0 ? '\n' : ''}`
}

function openBaseline(folder: string, run: LoadedRun, device: Parameters<typeof openRun>[1], context: CliContext) {
  const baseline = openRun(folder, device, context)
  try {
    checkSameSize(baseline.data, run.data)
    if (baseline.data.classes !== run.data.classes) {
      throw new DataError(`${folder} has ${baseline.data.classes} classes, the run has ${run.data.classes}`, {
        hint: 'give a baseline that was trained on the same data',
      })
    }
    if (baseline.data.crc32 !== run.data.crc32) {
      context.stderr.write(`notice: the baseline was trained on other images than the run: ${baseline.data.source}\n`)
    }
    return baseline
  } catch (error) {
    baseline.model.dispose()
    throw error
  }
}

/** Throws DataError unless the folder can be written to, or made. */
function refuseUnwritable(folder: string): void {
  let place = resolve(folder)
  while (!existsSync(place)) place = dirname(place)
  try {
    if (!statSync(place).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' })
    accessSync(place, constants.W_OK)
  } catch (error) {
    throw fileError('write to', folder, error)
  }
}

/** Writes eval.json, its pictures, and the report made from both. */
async function save(out: string, judged: EvaluationReport): Promise<void> {
  const { renderEvaluation } = await import('../../eval/report/evaluation.ts')
  const created = mkdirSync(out, { recursive: true })
  try {
    const saved = saveEvaluation(out, judged)
    writeFileAtomic(join(out, 'report.html'), renderEvaluation({ ...judged, ...saved }))
  } catch (error) {
    if (created) discard(created)
    throw error
  }
}

/** The lines of a run's metrics.jsonl; none where it is missing. A last line that is being written is left out. Throws
 *  DataError. */
function readMetrics(path: string): TrainingPoint[] {
  if (!existsSync(path)) return []
  const text = readFileSync(path, 'utf8')
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  return lines
    .filter((line) => line !== '')
    .map((line, i) => {
      try {
        return JSON.parse(line) as TrainingPoint
      } catch {
        throw new DataError(`${path}: line ${i + 1} is not JSON`, {
          hint: 'move the file away to judge without curves',
        })
      }
    })
}

function testSet(run: LoadedRun, options: EvalOptions, seed: number, context: CliContext): Dataset {
  const { data, images, resize, channels } = options
  // The test part of the run's own data is converted as its training part was.
  const whole =
    data === undefined
      ? loadData(testSource(run.data), { split: 'test', ...conversionTo(run.data) }, context)
      : loadData(data, { split: 'test', resize, channels }, context)
  checkSameSize(whole, run.data)
  if (whole.classes > run.data.classes) {
    throw new DataError(`${whole.name} has ${whole.classes} classes, the run has ${run.data.classes}`, {
      hint: 'judge with a set of the same classes, or give this one as --ood',
    })
  }
  return limited(whole, images, seed)
}

/** Where the test part of what the run was trained on is. Throws ConfigError where there is none to tell apart. */
function testSource({ source }: DataDescription): string {
  if (hasTestPart(source)) return source
  throw new ConfigError(`the run was trained on ${source}, which has no test part`, {
    hint: 'give test data with --data',
  })
}

/** The natural images that are usually put against each data set. */
const counterparts: Record<string, DatasetName[]> = {
  mnist: ['fashion-mnist'],
  'fashion-mnist': ['mnist'],
  cifar10: ['svhn', 'cifar100'],
  cifar100: ['svhn', 'cifar10'],
  svhn: ['cifar10'],
}

/** What needs no files, and the counterparts that are on this machine. */
function defaultOod({ name }: DataDescription): string[] {
  const present = (counterparts[name] ?? []).filter((other) => placeOf(other, 'test') !== 'nowhere')
  return [...present, 'interpolation', 'uniform']
}

/** Each set under its own name, or under what was typed where two have the same. */
function oodSets({ run, test, options, seed, context }: Inputs): Dataset[] {
  const { images, resize, channels } = options
  // The usual counterparts are as large as the run's images, or else converted as those were.
  const conversion = options.ood ? { resize, channels } : conversionTo(run.data)
  const sets: Dataset[] = []
  for (const source of options.ood ?? defaultOod(run.data)) {
    const whole = loadOodData(source, test, { seed, ...conversion }, context)
    const name = sets.some((other) => other.name === whole.name) ? source : whole.name
    sets.push({ ...limited(whole, images, seed), name })
  }
  return sets
}

/** A stream of its own, beside those of noise (0), of the suites and of derived sets. */
const imagesStream = 2

/** At most `images` of the set, chosen at random. */
function limited(data: Dataset, images: number | undefined, seed: number): Dataset {
  if (images === undefined || images >= data.count) return data
  return takeImages(data, new Generator(seed, 'evaluation', imagesStream).permutation(data.count).slice(0, images))
}
