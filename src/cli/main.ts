#!/usr/bin/env node
import { readFileSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { declareBench } from './commands/bench.ts'
import { declareCompare } from './commands/compare.ts'
import { declareData } from './commands/data.ts'
import { declareDemo } from './commands/demo.ts'
import { declareDoctor } from './commands/doctor.ts'
import { declareEval } from './commands/eval.ts'
import { declareSample } from './commands/sample.ts'
import { declareTrain } from './commands/train.ts'
import { declareVerify } from './commands/verify.ts'
import type { CliContext, Output } from './context.ts'
import { reportFailure } from './failure.ts'

export interface RunOptions {
  stdout: Output
  stderr: Output
  /** Aborted to stop the command in good order. */
  signal?: AbortSignal
}

/** Runs the command line `argv` (without node and script) and returns the exit code: 0 done, 1 failed, 2 wrong input,
 *  130 stopped by `signal`. Never throws, never ends the process. */
export async function run(argv: readonly string[], { stdout, stderr, signal }: RunOptions): Promise<number> {
  const end = argv.indexOf('--')
  const verbose = argv.slice(0, end < 0 ? undefined : end).includes('--verbose')
  const context: CliContext = { stdout, stderr, signal: signal ?? new AbortController().signal, verbose, exitCode: 0 }
  const program = declareProgram(context)
  try {
    if (argv.length === 0) program.outputHelp()
    else await program.parseAsync([...argv], { from: 'user' })
  } catch (error) {
    const stopped = context.signal.aborted && (error as Error)?.name === 'AbortError'
    if (!stopped) context.exitCode = reportFailure(error, stderr, verbose, flagsOf(program, argv))
  }
  return context.signal.aborted ? 130 : context.exitCode
}

function declareProgram(context: CliContext): Command {
  const { stdout, stderr } = context
  const width = Math.min(120, stdout.columns ?? 100)
  const program = new Command('langevin')
    .description('Joint energy-based models (JEM) on hand-written kernels: train, sample, judge, measure.')
    .version(version(), '--version', 'print the version')
    .option('--verbose', 'show the stack of an error')
    .helpOption('--help', 'show the help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      // run() prints errors, all in the same form.
      outputError: () => {},
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
    })
    .addHelpText(
      'after',
      '\nlangevin <command> --help explains a command. Exit codes: 0 done, 1 failed, 2 wrong input.',
    )
  declareDemo(program, context)
  declareData(program, context)
  declareTrain(program, context)
  declareSample(program, context)
  declareEval(program, context)
  declareCompare(program, context)
  declareVerify(program, context)
  declareBench(program, context)
  declareDoctor(program, context)
  return program
}

function version(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
}

/** The flags that the command named by `argv` takes. */
function flagsOf(program: Command, argv: readonly string[]): string[] {
  let command = program
  for (const word of argv) {
    const next = command.commands.find((candidate) => candidate.name() === word)
    if (next) command = next
  }
  return [...command.options, ...program.options].map(({ long }) => long ?? '').concat('--help')
}

/** The process: streams, Ctrl-C, exit code. */
async function main(): Promise<void> {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      // Asked twice: at once.
      if (controller.signal.aborted) process.exit(130)
      process.stderr.write('\nlangevin: stopping in good order; once more to stop at once\n')
      controller.abort()
    })
  }
  // A reader that went away (`langevin ... | head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  const { stdout, stderr } = process
  process.exitCode = await run(process.argv.slice(2), { stdout, stderr, signal: controller.signal })
}

// npm starts this file through a link.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main()
