import { type Command, Option } from 'commander'
import type { ConvertOptions } from '../../data/convert.ts'
import { ConfigError } from '../../errors.ts'
import { defaultConfig, type JemConfig } from '../../jem/config.ts'
import { recipes } from '../../jem/recipes/index.ts'
import type { CliContext } from '../context.ts'
import { flagOf, type Setting, settings } from '../options.ts'
import { addConversionOptions } from './conversion.ts'

export interface TrainOptions {
  /** A name or a path; absent only with `resume`, which takes it from the run. */
  data?: string
  out: string
  resume: boolean
  conversion: ConvertOptions
  /** Flags before --config before --recipe before defaults. */
  config: JemConfig
  /** Only what flags and --config gave. With `resume`, the run's own configuration is the base instead. */
  given: Partial<JemConfig>
}

export function declareTrain(program: Command, context: CliContext): void {
  const command = program
    .command('train')
    .summary('train a joint energy-based model')
    .description(
      'Trains a WideResNet as a joint energy-based model. Defaults are those of the released code of the paper; ' +
        '--recipe takes those of a successor. ' +
        'Writes checkpoints, metrics.jsonl, TensorBoard events and sample pictures to the run folder. ' +
        'Ctrl-C saves and leaves; --resume continues exactly where the run stopped.',
    )
    .option(
      '--data <name|path>',
      'mnist, fashion-mnist, cifar10, cifar100, svhn (see langevin data), or a path to IDX, CIFAR or SVHN files or to a ' +
        'folder of PNG files for each class',
    )
    .requiredOption('--out <dir>', 'run folder; must not exist unless --resume is given')
    .option('--config <file.json>', 'settings as JSON, keys as below in camelCase; flags win over it, it over --recipe')
    .option('--resume', 'continue the run in --out')
    .addHelpText(
      'after',
      '\nA switch (a flag without a value) has a --no- form, to turn off what --config or a recipe turns on.' +
        `\n\nRecipes, each a file in src/jem/recipes:\n${recipeList()}` +
        '\n\nExamples:\n  langevin train --data mnist --model wrn-10-1 --out runs/mnist --steps 1000 --sigma 0.1 --lr 1e-3' +
        '\n  langevin train --recipe sada-jem --data cifar10 --out runs/sada --sgld-steps 10',
    )
  addConversionOptions(command)
  for (const [key, setting] of Object.entries(settings)) {
    const off = new Option(flagOf(key).replace('--', '--no-')).hideHelp()
    command.addOption(optionOf(key as keyof JemConfig, setting))
    if (setting.kind === 'switch') command.addOption(off)
  }
  command.action(async (flags: Record<string, unknown>) => {
    const { data, out, config: file, resume = false, verbose: _, resize, channels, ...given } = flags
    if (data === undefined && !resume) {
      throw new ConfigError('train: --data is missing', {
        hint: 'for example --data mnist; only --resume goes without',
      })
    }
    const { readConfigFile, resolveConfig } = await import('../config.ts')
    const resolved = resolveConfig(given, file === undefined ? undefined : readConfigFile(file as string))
    const { runTrain } = await import('../run/train.ts')
    await runTrain({ data, out, resume, conversion: { resize, channels }, ...resolved } as TrainOptions, context)
  })
}

function recipeList(): string {
  const width = Math.max(...Object.keys(recipes).map((name) => name.length))
  return Object.entries(recipes)
    .map(([name, { title }]) => `  ${name.padEnd(width)}  ${title}`)
    .join('\n')
}

function optionOf(key: keyof JemConfig, setting: Setting): Option {
  const value = defaultConfig[key]
  const text = Array.isArray(value) ? value.join(' ') : typeof value === 'boolean' ? (value ? 'on' : 'off') : value
  const about = [setting.unit, `default: ${text}`].filter((part) => part !== undefined).join('; ')
  const option = new Option(`${flagOf(key)}${placeholder(setting)}`, `${setting.help} (${about})`)
  return option.helpGroup(`${setting.group}:`)
}

function placeholder(setting: Setting): string {
  switch (setting.kind) {
    case 'switch':
      return ''
    case 'model':
      return ' <wrn-D-W>'
    case 'choice':
      return ` <${setting.choices.join('|')}>`
    case 'wholeList':
      return ' <n...>'
    default:
      return ' <n>'
  }
}
