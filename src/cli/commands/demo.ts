import type { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { numberFlag, wholeFlag } from '../range.ts'
import { addDeviceOptions, type DeviceOptions } from './device.ts'

export interface DemoOptions extends DeviceOptions {
  out: string
  seed: number
  /** Minutes for the whole demo, evaluation and report included. */
  minutes: number
}

export function declareDemo(program: Command, context: CliContext): void {
  const command = program
    .command('demo')
    .summary('train on real handwritten digits, draw samples, judge the model, write a report')
    .description(
      'Trains a small JEM on the bundled MNIST digits, draws samples (a grid, one row per class, a film strip from ' +
        'noise to digit), judges it (accuracy, calibration, detection of Fashion-MNIST) and writes everything, with ' +
        'report.html, to a folder.',
    )
    .option('--out <dir>', 'folder to write', 'runs/demo')
    .option('--seed <n>', 'of every random number (whole number)', wholeFlag('--seed'), 1)
    .option('--minutes <m>', 'time limit for the whole demo (minutes)', numberFlag('--minutes', { above: 0 }), 8)
  addDeviceOptions(command).action(async (options: DemoOptions) => {
    const { runDemo } = await import('../run/demo.ts')
    await runDemo(options, context)
  })
}
