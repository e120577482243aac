import { CommanderError } from 'commander'
import { LangevinError, nearestName } from '../errors.ts'
import type { Output } from './context.ts'
import { flagOf, settingOfReleasedName } from './options.ts'

/** Exit codes: 2 where the user (or the machine's disk or memory) can put it right, 1 for all else. */
const userCodes = new Set(['CONFIG', 'DATA', 'SHAPE', 'DTYPE', 'DEVICE', 'CHECKPOINT', 'OUT_OF_MEMORY'])

/** What the operating system says of a file, in words. */
const systemErrors: Record<string, string> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EEXIST: 'already exists',
  EISDIR: 'is a folder, expected a file',
  ENOTDIR: 'is not a folder',
  ENOTEMPTY: 'folder is not empty',
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'disk quota is used up',
  EROFS: 'file system is read-only',
  EFBIG: 'file would be too large',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'name is too long',
}

interface Failure {
  exitCode: number
  message: string
  hint?: string
}

/** Prints one line (and a hint), the stack only if `verbose`, and returns the exit code. */
export function reportFailure(error: unknown, stderr: Output, verbose: boolean, flags: readonly string[] = []): number {
  const { exitCode, message, hint } = describeFailure(error, flags)
  if (message !== '') stderr.write(`langevin: ${message}\n`)
  if (hint) stderr.write(`  hint: ${hint}\n`)
  if (verbose && !(error instanceof CommanderError)) stderr.write(`${stackOf(error)}\n`)
  return exitCode
}

function describeFailure(error: unknown, flags: readonly string[]): Failure {
  if (error instanceof CommanderError) return describeUsage(error, flags)
  if (error instanceof LangevinError) {
    return { exitCode: userCodes.has(error.code) ? 2 : 1, message: oneLine(error.message), hint: error.hint }
  }
  const { code, path, message } = (error ?? {}) as NodeJS.ErrnoException
  if (code !== undefined && code in systemErrors) {
    return { exitCode: 2, message: `${path === undefined ? '' : `${path}: `}${systemErrors[code]} (${code})` }
  }
  return {
    exitCode: 1,
    message: `internal error: ${oneLine(message ?? String(error))}`,
    hint: 'run again with --verbose for the stack',
  }
}

/** Commander's errors: "error: unknown option '--stps'\n(Did you mean --steps?)". */
function describeUsage(error: CommanderError, flags: readonly string[]): Failure {
  // Help and version were printed already.
  if (error.exitCode === 0) return { exitCode: 0, message: '' }
  if (error.code === 'commander.help') return { exitCode: 2, message: '' }
  const [first, ...rest] = error.message.split('\n')
  const message = first.replace(/^error: /, '').replace(/^option '(.*?)' argument missing$/, '$1: the value is missing')
  const suggestion = /\((Did you mean .*\?)\)/.exec(rest.join(' '))?.[1]
  const hint =
    suggestion?.replace(/^D/, 'd') ?? 'langevin --help lists the commands, langevin <command> --help its options'
  const unknown = error.code === 'commander.unknownOption' ? /'([^']*)'/.exec(first)?.[1] : undefined
  const near = unknown === undefined ? undefined : nearestFlag(unknown, flags)
  return { exitCode: 2, message, hint: near ?? hint }
}

function nearestFlag(unknown: string, flags: readonly string[]): string | undefined {
  const name = unknown.replace(/=.*$/, '')
  const released = settingOfReleasedName(name)
  if (released && flags.includes(flagOf(released))) return `the released code's ${name} is ${flagOf(released)} here`
  const near = nearestName(name, flags)
  return near === undefined ? undefined : `did you mean ${near}?`
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ')
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const stack = error.stack ?? String(error)
  return error.cause === undefined ? stack : `${stack}\ncaused by ${stackOf(error.cause)}`
}
