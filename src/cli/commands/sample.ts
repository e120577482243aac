import type { Command } from 'commander'
import { ConfigError } from '../../errors.ts'
import type { CliContext } from '../context.ts'
import { wholeFlag } from '../range.ts'
import { addDeviceOptions, type DeviceOptions } from './device.ts'

export interface SampleOptions extends DeviceOptions {
  run: string
  n: number
  /** Index of the class to sample given; absent: unconditional. */
  class?: number
  /** Langevin steps; absent: the command's default for `source`. */
  steps?: number
  /** Where the chains start: U(-1, 1) or the run's replay buffer (which is only read). */
  source: 'fresh' | 'buffer'
  seed: number
  out: string
}

export function declareSample(program: Command, context: CliContext): void {
  const command = program
    .command('sample')
    .summary('draw images from a trained model')
    .description('Draws images from a run by SGLD and writes them as one grid. The run itself is not changed.')
    .requiredOption('--run <dir>', 'run folder')
    .requiredOption('--out <file.png>', 'picture to write')
    .option('--n <n>', 'number of images', wholeFlag('--n', { min: 1 }), 100)
    .option('--class <k>', 'sample given this class (index from 0; default: unconditional)', wholeFlag('--class'))
    .option(
      '--steps <n>',
      "Langevin steps (default: with --buffer the run's own number, with --fresh 1000)",
      wholeFlag('--steps'),
    )
    .option('--fresh', 'start where the chains of training start: uniform noise, or Gaussians of the training images')
    .option('--buffer', "start from the run's replay buffer (default)")
    .option('--seed <n>', 'of every random number (whole number)', wholeFlag('--seed'), 1)
  addDeviceOptions(command).action(async (flags: SampleOptions & { fresh?: boolean; buffer?: boolean }) => {
    const { fresh = false, buffer = false, ...options } = flags
    if (fresh && buffer) throw new ConfigError('sample: --fresh and --buffer exclude each other')
    const { runSample } = await import('../run/sample.ts')
    await runSample({ ...options, source: fresh ? 'fresh' : 'buffer' }, context)
  })
}
