import type { Command } from 'commander'
import { wholeFlag } from '../range.ts'

/** What is absent has the suite's default (`eval/suites/samples.ts`). */
export interface SamplesFlags {
  samples?: number
  sampleSteps?: number
  chains?: number
  chainSteps?: number
}

/** They make a group of the help text: options added later join it. */
export function addSamplesOptions(command: Command): Command {
  const whole = (flag: string) => wholeFlag(flag, { min: 1 })
  return command
    .optionsGroup('Options of the samples suite:')
    .option('--samples <n>', 'samples of each grid without classes (default: 64)', whole('--samples'))
    .option('--sample-steps <n>', 'SGLD steps of fresh samples (default: 1000)', whole('--sample-steps'))
    .option('--chains <n>', 'chains of the long run (default: 16)', whole('--chains'))
    .option('--chain-steps <n>', 'their steps (default: 10000)', whole('--chain-steps'))
}
