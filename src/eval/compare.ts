import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError, ConfigError, DataError } from '../errors.ts'
import { readEventTimes } from '../io/tensorboard.ts'
import { type CheckpointMeta, type DataDescription, readCheckpoint } from '../jem/checkpoint.ts'
import type { JemConfig } from '../jem/config.ts'
import { type Evaluation, readEvaluation } from './evaluation.ts'
import { quantile } from './metrics.ts'
import { describeMeasured, type NamedNumber } from './suites/suite.ts'

/** What a run folder tells without its tensors being used. */
export interface RunRecord {
  folder: string
  config: JemConfig
  data: DataDescription
  step: number
  /** null where the folder is of a version that did not write it. */
  totalSteps: number | null
  rollbacks: number
  /** Training gave up after its last roll-back. */
  gaveUp: boolean
  /** Mean time between iterations; null where fewer than two were logged. */
  secondsPerIteration: number | null
  secondsPerEpoch: number | null
  /** null where the run was not judged. */
  evaluation: Evaluation | null
}

/** Settings that change neither what is learnt nor what is measured. */
const indifferent: readonly (keyof JemConfig)[] = [
  ...(['seed', 'device', 'threads'] as const),
  ...(['checkpointEvery', 'evalEvery', 'sampleEvery', 'logEvery'] as const),
]

/** An interval between two lines that is longer than this many medians is an interruption, not an iteration. */
const interruption = 10

/** Reads a run folder. Throws CheckpointError, DataError. */
export function readRunRecord(folder: string): RunRecord {
  if (!existsSync(folder)) throw new CheckpointError(`${folder}: no such run folder`, { hint: 'give run folders' })
  const { meta } = readCheckpoint(folder)
  const path = join(folder, 'eval.json')
  const { stepsPerEpoch, totalSteps } = lengths(folder)
  const secondsPerIteration = iterationTime(folder, meta)
  return {
    folder,
    config: meta.config,
    data: meta.data,
    step: meta.trainer.step,
    totalSteps,
    rollbacks: meta.rollbacks,
    gaveUp: existsSync(join(folder, 'diverged.json')),
    secondsPerIteration,
    secondsPerEpoch:
      secondsPerIteration === null || stepsPerEpoch === null ? null : secondsPerIteration * stepsPerEpoch,
    evaluation: existsSync(path) ? readEvaluation(path) : null,
  }
}

function lengths(folder: string): { stepsPerEpoch: number | null; totalSteps: number | null } {
  const path = join(folder, 'config.json')
  if (!existsSync(path)) return { stepsPerEpoch: null, totalSteps: null }
  try {
    const { stepsPerEpoch = null, totalSteps = null } = JSON.parse(readFileSync(path, 'utf8'))
    return { stepsPerEpoch, totalSteps }
  } catch {
    throw new DataError(`${path} is not JSON`, { hint: 'put it back as langevin train wrote it, or move it away' })
  }
}

/** From the wall times of the event file: checkpoints and validation are in it, interruptions are not. */
function iterationTime(folder: string, { trainer: { step } }: CheckpointMeta): number | null {
  const path = join(folder, 'events.out.tfevents.langevin')
  if (!existsSync(path)) return null
  const times = readEventTimes(path).filter((time) => time.step <= step)
  const intervals: { seconds: number; steps: number }[] = []
  for (let i = 1; i < times.length; i++) {
    const steps = times[i].step - times[i - 1].step
    if (steps > 0) intervals.push({ seconds: times[i].wallTime - times[i - 1].wallTime, steps })
  }
  if (intervals.length === 0) return null
  const each = intervals.map(({ seconds, steps }) => seconds / steps)
  const limit = interruption * quantile(each, 0.5)
  const kept = intervals.filter((_, i) => each[i] <= limit)
  const total = (key: 'seconds' | 'steps') => kept.reduce((sum, interval) => sum + interval[key], 0)
  return total('seconds') / total('steps')
}

/** Of one number over several runs. */
export interface Statistic {
  mean: number
  /** Sample standard deviation (n − 1); null for a single run. */
  std: number | null
  n: number
}

/** Runs that differ in nothing but their seeds. */
export interface RunGroup {
  /** The recipe, and the settings in which it differs from other groups. */
  name: string
  runs: string[]
  seeds: number[]
  /** Runs that rolled back at least once, all roll-backs, and runs that gave up. */
  divergence: { rolledBack: number; rollbacks: number; gaveUp: number }
  /** Runs that have not reached their last iteration. */
  unfinished: number
  secondsPerIteration: Statistic | null
  secondsPerEpoch: Statistic | null
  /** By name; absent where no run of the group has it. */
  numbers: Record<string, Statistic & Pick<NamedNumber, 'unit'>>
}

export interface Comparison {
  groups: RunGroup[]
  /** What stands in the way of a fair comparison. */
  warnings: string[]
}

/** Groups runs by everything but the seed, and gives mean and standard deviation over the runs of each group, in the
 *  order in which the runs are given. Throws ConfigError where a run is given twice. */
export function compareRuns(records: readonly RunRecord[]): Comparison {
  const seen = new Set<string>()
  for (const { folder } of records) {
    const place = existsSync(folder) ? realpathSync(folder) : folder
    if (seen.has(place)) throw new ConfigError(`${folder} is given twice`, { hint: 'name each run once' })
    seen.add(place)
  }
  const members = new Map<string, RunRecord[]>()
  for (const record of records) {
    const key = JSON.stringify([sharedSettings(record), record.data.name, record.data.crc32])
    members.set(key, [...(members.get(key) ?? []), record])
  }
  const groups = [...members.values()]
  const names = namesOf(groups.map(([first]) => first))
  return { groups: groups.map((group, i) => summarise(names[i], group)), warnings: warningsOf(records) }
}

function sharedSettings({ config }: RunRecord): [string, unknown][] {
  return Object.entries(config).filter(([key]) => !(indifferent as readonly string[]).includes(key))
}

/** Recipe and data, and the settings in which groups of the same recipe and data differ. */
function namesOf(firsts: readonly RunRecord[]): string[] {
  const base = firsts.map(({ config, data }) => `${config.recipe}, ${data.name}`)
  return firsts.map((first, i) => {
    const rivals = firsts.filter((_, j) => base[j] === base[i])
    const differing = sharedSettings(first).filter(([key, value]) =>
      rivals.some(({ config }) => JSON.stringify(config[key as keyof JemConfig]) !== JSON.stringify(value)),
    )
    return [base[i], ...differing.map(([key, value]) => `${key} ${[value].flat().join(' ')}`)].join(', ')
  })
}

function summarise(name: string, runs: readonly RunRecord[]): RunGroup {
  const found = new Map<string, NamedNumber[]>()
  for (const { evaluation } of runs) {
    for (const number of Object.values(evaluation?.numbers ?? {}).flat()) {
      found.set(number.name, [...(found.get(number.name) ?? []), number])
    }
  }
  const numbers = [...found].map(([key, all]) => [
    key,
    { ...statistic(all.map(({ value }) => value))!, unit: all[0].unit },
  ])
  return {
    name,
    runs: runs.map(({ folder }) => folder),
    seeds: runs.map(({ config }) => config.seed),
    divergence: {
      rolledBack: runs.filter(({ rollbacks, gaveUp }) => rollbacks > 0 || gaveUp).length,
      rollbacks: runs.reduce((sum, { rollbacks }) => sum + rollbacks, 0),
      gaveUp: runs.filter(({ gaveUp }) => gaveUp).length,
    },
    unfinished: runs.filter(({ step, totalSteps }) => totalSteps !== null && step < totalSteps).length,
    secondsPerIteration: statistic(runs.map((run) => run.secondsPerIteration).filter((value) => value !== null)),
    secondsPerEpoch: statistic(runs.map((run) => run.secondsPerEpoch).filter((value) => value !== null)),
    numbers: Object.fromEntries(numbers),
  }
}

/** null of no values. */
export function statistic(values: readonly number[]): Statistic | null {
  const n = values.length
  if (n === 0) return null
  const mean = values.reduce((sum, value) => sum + value, 0) / n
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, std: n > 1 ? Math.sqrt(squares / (n - 1)) : null, n }
}

function warningsOf(records: readonly RunRecord[]): string[] {
  const warnings: string[] = []
  const protocols = new Map<string, Set<string>>()
  for (const { folder, step, evaluation } of records) {
    if (!evaluation) {
      warnings.push(`${folder} was not judged: langevin eval --run ${folder}`)
      continue
    }
    if (evaluation.run.step !== step) {
      warnings.push(`${folder} was judged at step ${evaluation.run.step} and has gone on to ${step}`)
    }
    for (const { name, on } of Object.values(evaluation.numbers).flat()) {
      // The seed may differ: that is what is averaged over.
      const protocol = describeMeasured(on).replace(/, seed \d+$/, '')
      protocols.set(name, (protocols.get(name) ?? new Set()).add(protocol))
    }
  }
  const mixed = [...protocols].filter(([, all]) => all.size > 1)
  if (mixed.length > 0) {
    const [name, all] = mixed[0]
    warnings.push(`${mixed.length} numbers were not measured alike in all runs, first ${name}: ${[...all].join(' | ')}`)
  }
  return warnings
}
