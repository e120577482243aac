import type { Command } from 'commander'
import type { CliContext } from '../context.ts'

export interface CompareOptions {
  runs: string[]
  /** File for the comparison as JSON, `-` for stdout instead of the tables. */
  json?: string
  /** File for it as a page. */
  html?: string
}

export function declareCompare(program: Command, context: CliContext): void {
  program
    .command('compare')
    .summary('put trained runs side by side')
    .description(
      'Groups runs by everything but the seed; for each group, mean and standard deviation over its runs of what ' +
        'langevin eval found, how many rolled back or gave up, and the time an epoch takes. The runs are only read.',
    )
    .argument('<run...>', 'run folders')
    .option('--json <file>', 'write the comparison as JSON; "-": to stdout, instead of the tables')
    .option('--html <file>', 'write it as a page of its own')
    .action(async (runs: string[], flags: Omit<CompareOptions, 'runs'>) => {
      const { runCompare } = await import('../run/compare.ts')
      runCompare({ runs, ...flags }, context)
    })
}
