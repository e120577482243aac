import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { lastingSource } from '../../data/catalog.ts'
import { type ConvertOptions, conversionTo } from '../../data/convert.ts'
import { CheckpointError, ConfigError } from '../../errors.ts'
import { type CheckpointMeta, hasCheckpoint, readCheckpoint } from '../../jem/checkpoint.ts'
import { defaultConfig, type JemConfig } from '../../jem/config.ts'
import { recipeConfig, recipes } from '../../jem/recipes/index.ts'
import { trainRun } from '../../jem/run.ts'
import type { TrainOptions } from '../commands/train.ts'
import type { CliContext } from '../context.ts'
import { openDevice } from '../device.ts'
import { loadData } from '../load-data.ts'
import { flagOf } from '../options.ts'
import { createProgress } from '../progress.ts'

/** Settings that a resumed run may change: they leave what it has computed so far true. */
const changeable: readonly (keyof JemConfig)[] = [
  'steps',
  'epochs',
  'device',
  'threads',
  'checkpointEvery',
  'evalEvery',
  'sampleEvery',
  'logEvery',
  'maxRollbacks',
  'rollbackLrFactor',
]

export async function runTrain(options: TrainOptions, context: CliContext): Promise<void> {
  const { out, resume } = options
  const { config, source, conversion } = resume
    ? resumed(options)
    : { config: options.config, source: lastingSource(options.data!), conversion: options.conversion }
  const data = loadData(source, { split: 'train', ...conversion }, context)
  const device = openDevice(config, context.stderr)
  const chains = config.batch * (Number(config.pxWeight > 0) + Number(config.pxyWeight > 0))
  let progress: ReturnType<typeof createProgress> | undefined
  let first: number | undefined
  try {
    const result = await trainRun({
      config,
      data,
      source,
      folder: out,
      device,
      resume,
      signal: context.signal,
      onStep: ({ step, loss, fData, fSample, accuracy, validationAccuracy }, total) => {
        first ??= step - 1
        if (!progress) {
          progress = createProgress({ stream: context.stderr, total, label: 'train' })
          progress.print(describeRecipe(config))
        }
        progress.update({
          step,
          imageSteps: chains > 0 ? (step - first) * chains * config.sgldSteps : undefined,
          loss,
          fData: fData ?? undefined,
          fSample: fSample ?? undefined,
          accuracy: accuracy ?? undefined,
        })
        if (validationAccuracy !== undefined) {
          progress.print(`step ${step}: validation accuracy ${(100 * validationAccuracy).toFixed(2)} %`)
        }
      },
      onMessage: (message) => (progress ? progress.print(message) : context.stderr.write(`${message}\n`)),
    })
    progress?.finish()
    context.stderr.write(
      result.finished
        ? `done: ${result.steps} steps in ${out}; next: langevin sample --run ${out} --out samples.png, langevin eval --run ${out}\n`
        : `stopped at step ${result.steps}, saved; continue with: langevin train --resume --out ${out}\n`,
    )
  } finally {
    progress?.finish()
  }
}

/** The recipe of a run and what was changed of it, in one line. */
function describeRecipe(config: JemConfig): string {
  const published = recipeConfig(config.recipe)
  const changed = (Object.keys(published) as (keyof JemConfig)[])
    .filter((key) => JSON.stringify(config[key]) !== JSON.stringify(published[key]))
    .map((key) => `${key} ${[config[key]].flat().join(' ')}`)
  const { title } = recipes[config.recipe]
  return `recipe ${config.recipe}: ${title}${changed.length > 0 ? `; changed: ${changed.join(', ')}` : ''}`
}

/** The configuration of the run in the folder, with what may be changed. Throws CheckpointError, ConfigError. */
function resumed({ out, data, given, conversion }: TrainOptions): {
  config: JemConfig
  source: string
  conversion: ConvertOptions
} {
  const saved = hasCheckpoint(out) ? readCheckpoint(out).meta : readRunConfig(out)
  for (const [key, value] of Object.entries(given)) {
    const before = saved.config[key as keyof JemConfig]
    if (!changeable.includes(key as keyof JemConfig) && JSON.stringify(before) !== JSON.stringify(value)) {
      throw new ConfigError(
        `${flagOf(key)} is ${JSON.stringify(before)} in this run, and cannot become ${JSON.stringify(value)}`,
        { hint: 'resume without it, or start a new run' },
      )
    }
  }
  const config = { ...saved.config, ...given }
  if (given.epochs !== undefined) config.steps = 0
  const trained = conversionTo(saved.data)
  for (const key of ['resize', 'channels'] as const) {
    if (conversion[key] === undefined || conversion[key] === trained[key]) continue
    const { height, width, channels } = saved.data
    throw new ConfigError(
      `--${key} ${conversion[key]} does not fit this run, whose images are ${height}×${width}×${channels}`,
      {
        hint: 'resume without it, or start a new run',
      },
    )
  }
  return { config, source: data === undefined ? saved.data.source : lastingSource(data), conversion: trained }
}

/** What a run that was stopped before its first checkpoint was to become. */
function readRunConfig(out: string): Pick<CheckpointMeta, 'config' | 'data'> {
  const path = join(out, 'config.json')
  if (!existsSync(path)) {
    throw new CheckpointError(`there is no run in ${out} to resume`, { hint: 'start it without --resume' })
  }
  try {
    const { config, data } = JSON.parse(readFileSync(path, 'utf8'))
    return { config: { ...defaultConfig, ...config }, data }
  } catch (cause) {
    throw new CheckpointError(`${path} cannot be read, and there is no checkpoint: ${(cause as Error).message}`, {
      hint: 'delete the folder and start again without --resume',
      cause,
    })
  }
}
