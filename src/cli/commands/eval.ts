import type { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { addDeviceOptions, type DeviceOptions } from './device.ts'

export interface EvalOptions extends DeviceOptions {
  run: string
  /** Absent: the test part of the data the run was trained on. */
  data?: string
  /** Names or paths of out-of-distribution sets. */
  ood: string[]
  /** File for the JSON result, `-` for stdout; absent: a table. */
  json?: string
}

export function declareEval(program: Command, context: CliContext): void {
  const command = program
    .command('eval')
    .summary('judge a trained model')
    .description(
      'Accuracy, negative log likelihood (nats) and expected calibration error (15 and 20 equal bins) on test data; ' +
        'for each out-of-distribution set the AUROC of log p(x), of max p(y|x) and of −‖∂log p/∂x‖₂, the ' +
        'in-distribution data being positive.',
    )
    .requiredOption('--run <dir>', 'run folder')
    .option('--data <name|path>', "test data (default: the test part of the run's data set)")
    .option('--ood <name|path...>', 'out-of-distribution sets (default: none)')
    .option('--json <file>', 'write the result as JSON; "-": to stdout, instead of the table')
  addDeviceOptions(command).action(async (flags: Omit<EvalOptions, 'ood'> & { ood?: string[] }) => {
    const { runEval } = await import('../run/eval.ts')
    await runEval({ ...flags, ood: flags.ood ?? [] }, context)
  })
}
