import type { Command } from 'commander'
import type { ConvertOptions } from '../../data/convert.ts'
import { DERIVED_NAMES } from '../../data/derived.ts'
import { ConfigError, nearestName } from '../../errors.ts'
import type { CliContext } from '../context.ts'
import { numberFlag, wholeFlag } from '../range.ts'
import { addConversionOptions } from './conversion.ts'
import { addDeviceOptions, type DeviceOptions } from './device.ts'
import { addRobustnessOptions, type RobustnessFlags } from './robustness.ts'
import { addSamplesOptions, type SamplesFlags } from './samples.ts'

/** What `--suite` takes; `run/eval.ts` makes them. */
export const suiteNames = ['accuracy', 'calibration', 'ood', 'robustness', 'samples'] as const
export type SuiteName = (typeof suiteNames)[number]

/** Conversions are of --data and --ood; absent: images must fit. */
export interface EvalOptions extends DeviceOptions, ConvertOptions, RobustnessFlags, SamplesFlags {
  run: string
  /** Absent: those that need no further options. */
  suite?: SuiteName[]
  /** Absent: the test part of the data the run was trained on. */
  data?: string
  /** Names or paths of out-of-distribution sets; absent: those that `defaultOod` finds. */
  ood?: string[]
  /** Folder of a run to put beside this one. */
  baseline?: string
  /** Absent: the noise that the run was trained with. */
  sigma?: number
  seed?: number
  /** Judge at most this many images of each set. */
  images?: number
  equalSizes: boolean
  resamples: number
  /** Absent: the run's folder. */
  out?: string
  /** File for the JSON result, `-` for stdout; absent: a table. */
  json?: string
}

export function declareEval(program: Command, context: CliContext): void {
  const command = program
    .command('eval')
    .summary('judge a trained model')
    .description(
      'Judges a run by suites of measurements and writes eval.json and report.html into its folder; suites that are ' +
        'there already stay where they judge the same checkpoint, and each is saved when it is done. Every number says on which images and under which ' +
        'noise it was measured.',
    )
    .requiredOption('--run <dir>', 'run folder')
    .option(
      '--suite <names>',
      `comma-separated, of ${suiteNames.join(', ')} (default: accuracy,calibration,ood)`,
      suiteList,
    )
    .option('--data <name|path>', "test data (default: the test part of the run's data set)")
    .option(
      '--ood <name|path...>',
      `out-of-distribution sets, comma-separated or several; of the test data: ${DERIVED_NAMES.join(', ')} ` +
        '(default: the usual counterparts that are there, interpolation and uniform)',
      moreOf,
    )
    .option('--baseline <dir>', 'run folder of a plain classifier to put beside this run')
    .option('--sigma <std>', 'noise on all images (default: that of training)', numberFlag('--sigma', { min: 0 }))
    .option('--seed <n>', "of noise and choices at random (default: the run's)", wholeFlag('--seed'))
    .option(
      '--images <n>',
      'judge at most this many images of each set, chosen at random',
      wholeFlag('--images', { min: 1 }),
    )
    .option('--no-equal-sizes', 'compare all images, instead of equally many in- and out-of-distribution')
    .option(
      '--resamples <n>',
      'bootstrap resamples for the intervals of OOD metrics; 0: none',
      wholeFlag('--resamples'),
      1000,
    )
    .option('--out <dir>', "folder for eval.json and report.html (default: the run's)")
    .option('--json <file>', 'write the result as JSON here too; "-": to stdout, instead of the tables')
  addConversionOptions(addDeviceOptions(command))
  addRobustnessOptions(command)
  addSamplesOptions(command).action(async (flags: EvalOptions) => {
    const { runEval } = await import('../run/eval.ts')
    await runEval(flags, context)
  })
}

/** The names of a comma-separated list. */
function list(text: string): string[] {
  return text.split(',').filter((name) => name !== '')
}

/** Throws ConfigError with the nearest name. */
function suiteList(text: string): SuiteName[] {
  return list(text).map((name) => {
    const known = suiteNames.find((suite) => suite === name)
    if (known) return known
    const near = nearestName(name, suiteNames)
    throw new ConfigError(`--suite: unknown suite '${name}'; known are ${suiteNames.join(', ')}`, {
      hint: near && `did you mean ${near}?`,
    })
  })
}

function moreOf(text: string, before: string[] = []): string[] {
  return [...before, ...list(text)]
}
