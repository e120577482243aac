import type { Command } from 'commander'
import { ConfigError, nearestName } from '../../errors.ts'
import { type AttackName, attackNames } from '../../eval/attacks/names.ts'
import type { CliContext } from '../context.ts'
import { choiceFlag, numberFlag, wholeFlag } from '../range.ts'
import { addDeviceOptions, type DeviceOptions } from './device.ts'

/** What `--suite` takes; `run/eval.ts` makes them. */
export const suiteNames = ['accuracy', 'calibration', 'ood', 'robustness'] as const
export type SuiteName = (typeof suiteNames)[number]

export interface EvalOptions extends DeviceOptions {
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
  /** Convert test and out-of-distribution images to this size or number of channels; absent: they must fit. */
  resize?: number
  channels?: 1 | 3
  equalSizes: boolean
  resamples: number
  /** Of the robustness suite; absent: its defaults (`eval/suites/robustness.ts`). */
  attackImages?: number
  attacks?: AttackName[]
  epsilons?: number[]
  epsilonsL2?: number[]
  attackSteps?: number
  restarts?: number
  refine?: number[]
  eotDraws?: number
  minimalDistance?: boolean
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
        'there already stay where they judge the same checkpoint. Every number says on which images and under which ' +
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
      'out-of-distribution sets, comma-separated or several (default: the usual counterparts that are there)',
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
    .option(
      '--resize <n>',
      'resize test and out-of-distribution images to n×n; the scores then tell the resizing, too',
      wholeFlag('--resize', { min: 1 }),
    )
    .option('--channels <1|3>', 'turn them grey or into RGB, likewise', channelsFlag)
    .option('--no-equal-sizes', 'compare all images, instead of equally many in- and out-of-distribution')
    .option(
      '--resamples <n>',
      'bootstrap resamples for the intervals of OOD metrics; 0: none',
      wholeFlag('--resamples'),
      1000,
    )
    .option('--out <dir>', "folder for eval.json and report.html (default: the run's)")
    .option('--json <file>', 'write the result as JSON here too; "-": to stdout, instead of the tables')
  addRobustnessOptions(command)
  addDeviceOptions(command).action(async (flags: EvalOptions) => {
    const { runEval } = await import('../run/eval.ts')
    await runEval(flags, context)
  })
}

function addRobustnessOptions(command: Command): void {
  const epsilons = (flag: string) => listOf(numberFlag(flag, { min: 0 }))
  command
    .optionsGroup('Options of the robustness suite:')
    .option(
      '--attack-images <n>',
      'attack the first n test images (default: 100)',
      wholeFlag('--attack-images', { min: 1 }),
    )
    .option(
      '--attacks <names>',
      `of ${attackNames.join(', ')} (default: all)`,
      listOf(choiceFlag('--attacks', attackNames)),
    )
    .option('--epsilons <list>', 'L∞ budgets in 1/255 of [0, 1]; none: no L∞', epsilons('--epsilons'))
    .option('--epsilons-l2 <list>', 'L2 budgets, likewise', epsilons('--epsilons-l2'))
    .option('--attack-steps <n>', 'steps of each attack (default: 40)', wholeFlag('--attack-steps', { min: 1 }))
    .option('--restarts <n>', 'random starts of each attack (default: 1)', wholeFlag('--restarts', { min: 1 }))
    .option(
      '--refine <list>',
      'attack JEM-n, too, for these n; none: no (default: 1)',
      listOf(wholeFlag('--refine', { min: 1 })),
    )
    .option(
      '--eot-draws <n>',
      'gradients averaged in attacks on JEM-n (default: 1)',
      wholeFlag('--eot-draws', { min: 1 }),
    )
    .option('--minimal-distance', 'search the nearest adversarial images, too, as the released code does')
}

function channelsFlag(text: string): 1 | 3 {
  return choiceFlag('--channels', ['1', '3'])(text) === '1' ? 1 : 3
}

/** The names of a comma-separated list. */
function list(text: string): string[] {
  return text.split(',').filter((name) => name !== '')
}

/** A parser of comma-separated values, or of `none`. */
function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => (text === 'none' ? [] : list(text).map(parse))
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
