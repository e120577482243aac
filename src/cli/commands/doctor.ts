import type { Command } from 'commander'
import type { CliContext } from '../context.ts'

export interface DoctorOptions {
  json: boolean
}

export function declareDoctor(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .summary('what is built, what this machine has, and whether the kernels are right')
    .description(
      'Prints what is built, the instruction set and threads in use, which GPUs and drivers there are (and why not), ' +
        'and checks the kernels. Exit code 1 if something is broken.',
    )
    .option('--json', 'print JSON instead of text')
    .action(async (flags: Partial<DoctorOptions>) => {
      const { runDoctor } = await import('../run/doctor.ts')
      await runDoctor({ json: flags.json ?? false }, context)
    })
}
