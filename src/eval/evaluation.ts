import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Dataset, takeImages } from '../data/dataset.ts'
import { splitIndices } from '../data/loader.ts'
import { DataError } from '../errors.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { describeData } from '../jem/checkpoint.ts'
import type { LoadedRun } from '../jem/loadRun.ts'
import { ScoreCache } from './score-cache.ts'
import type { NamedNumber, Pictures, ShowProgress, Suite, SuiteContext } from './suites/suite.ts'

/** Raised whenever an eval.json of an older version could be misread. */
const version = 1

/** Which checkpoint of which run. */
export interface JudgedCheckpoint {
  recipe: string
  model: string
  data: string
  step: number
  weights: LoadedRun['weights']
  seed: number
}

/** What eval.json holds. */
export interface Evaluation {
  version: number
  /** The checkpoint that was judged. */
  run: JudgedCheckpoint
  /** The baseline of each suite that had one. */
  baselines: Record<string, JudgedCheckpoint>
  /** ISO 8601, of the newest suite. */
  judgedAt: string
  /** Results by suite. */
  suites: Record<string, object>
  /** Each suite's figures that comparisons show. */
  numbers: Record<string, NamedNumber[]>
  /** Names of each suite's PNG files in the folder `eval/` beside eval.json. */
  pictures: Record<string, string[]>
}

export interface JudgeOptions {
  run: LoadedRun
  baseline?: LoadedRun
  test: Dataset
  /** Loads the training set of `run`; asked only where a suite needs it. */
  training: () => Dataset
  /** Standard deviation of the noise on all images; the released code judges under its training noise. */
  sigma: number
  seed: number
  signal?: AbortSignal
  progress?: ShowProgress
  /** Given all that is judged so far after each suite, to be saved: what comes next may take hours or be stopped. */
  finished?: (judged: Judged) => Promise<void>
}

export interface Judged {
  evaluation: Evaluation
  pictures: Pictures
}

const silent: ShowProgress = (_label, _total, work) => work(() => {})

/** Runs suites, one after another, on a trained run. Throws DataError, ConfigError. */
export async function judge(suites: readonly Suite[], options: JudgeOptions): Promise<Judged> {
  const context = contextOf(suites, options)
  const evaluation: Evaluation = {
    version,
    run: checkpointOf(options.run),
    baselines: {},
    judgedAt: '',
    suites: {},
    numbers: {},
    pictures: {},
  }
  const all: Record<string, Uint8Array> = {}
  for (const suite of suites) suite.check?.(context)
  for (const suite of suites) {
    context.signal.throwIfAborted()
    const { result, pictures = {} } = await suite.run(context)
    evaluation.suites[suite.name] = result
    evaluation.numbers[suite.name] = suite.numbers?.(result) ?? []
    if (options.baseline) evaluation.baselines[suite.name] = checkpointOf(options.baseline)
    if (Object.keys(pictures).length > 0) evaluation.pictures[suite.name] = Object.keys(pictures)
    Object.assign(all, pictures)
    evaluation.judgedAt = new Date().toISOString()
    await options.finished?.({ evaluation, pictures: all })
  }
  return { evaluation, pictures: all }
}

function checkpointOf({ config, data, step, weights }: LoadedRun): JudgedCheckpoint {
  return { recipe: config.recipe, model: config.model, data: data.name, step, weights, seed: config.seed }
}

function contextOf(suites: readonly Suite[], options: JudgeOptions): SuiteContext {
  const { run, baseline, test, sigma, seed, progress = silent, signal = new AbortController().signal } = options
  const gradients = suites.some(({ usesGradients }) => usesGradients)
  const candidate = (name: string, run: LoadedRun) => ({
    name,
    run,
    scores: new ScoreCache(run.model, { name, gradients, sigma, seed, signal, progress }),
  })
  let loaded: Dataset | undefined
  const training = (): Dataset => (loaded ??= checkedTraining(options.training(), run))
  const held = new Map<number, Dataset>()
  return {
    candidate: candidate('run', run),
    baseline: baseline && candidate('baseline', baseline),
    test,
    training,
    validation(of) {
      const size = of.config.validationSize
      if (size === 0) throw new DataError('the run held no images out of training')
      const known = held.get(size)
      if (known) return known
      const data = training()
      if (of.data.crc32 !== run.data.crc32) throw new DataError('it was trained on other data than the run')
      const part = takeImages(data, splitIndices(data.labels, data.classes, size, -1).validation)
      held.set(size, part)
      return part
    },
    sigma,
    seed,
    signal,
    progress,
  }
}

/** Throws DataError unless these are the images that the run was trained on. */
export function checkedTraining(data: Dataset, { data: known }: Pick<LoadedRun, 'data'>): Dataset {
  if (describeData(known.source, data).crc32 === known.crc32) return data
  throw new DataError(`${known.source} is not what the run was trained on: its images have changed since`)
}

const pictureFolder = 'eval'

/** Adds an evaluation to the folder's eval.json: suites that are there already are replaced, others kept where they judge
 *  the same checkpoint and their pictures are still there. Returns what the file now holds, with all its pictures.
 *  Throws DataError. */
export function saveEvaluation(folder: string, { evaluation, pictures }: Judged): Judged {
  const path = join(folder, 'eval.json')
  const pathOf = (picture: string) => join(folder, pictureFolder, picture)
  const before = existsSync(path) ? readEvaluation(path) : undefined
  const merged = structuredClone(evaluation)
  const all: Record<string, Uint8Array> = { ...pictures }
  if (before && JSON.stringify(before.run) === JSON.stringify(evaluation.run)) {
    for (const name of Object.keys(before.suites)) {
      const its = before.pictures[name] ?? []
      if (name in evaluation.suites || !its.every((picture) => existsSync(pathOf(picture)))) continue
      for (const part of ['baselines', 'suites', 'numbers', 'pictures'] as const) {
        if (name in before[part]) Object.assign(merged[part], { [name]: before[part][name] })
      }
      for (const picture of its) all[picture] = readFileSync(pathOf(picture))
    }
  }
  if (Object.keys(pictures).length > 0) mkdirSync(join(folder, pictureFolder), { recursive: true })
  for (const [name, png] of Object.entries(pictures)) writeFileAtomic(pathOf(name), png)
  writeFileAtomic(path, `${JSON.stringify(merged, null, 2)}\n`)
  return { evaluation: merged, pictures: all }
}

/** Throws DataError where it is not an eval.json of this version. */
export function readEvaluation(path: string): Evaluation {
  const hint = 'move it away and judge the run again with langevin eval'
  let found: Partial<Evaluation>
  try {
    found = JSON.parse(readFileSync(path, 'utf8')) as Partial<Evaluation>
  } catch {
    throw new DataError(`${path} is not JSON`, { hint })
  }
  if (found?.version !== version) {
    const has = found?.version ?? 'none'
    throw new DataError(`${path} has evaluation version ${has}; this program reads ${version}`, { hint })
  }
  const missing = (['run', 'baselines', 'suites', 'numbers', 'pictures'] as const).find((part) => !found[part])
  if (missing) throw new DataError(`${path} has no ${missing}: it is not a whole eval.json`, { hint })
  return found as Evaluation
}
