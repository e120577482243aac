/** Where a command writes: a stream, or a collector in tests. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

/** What every command is given beside its options. A command that fails softly (a check that does not pass) sets
 *  `exitCode`; anything else throws. */
export interface CliContext {
  /** Results only: what a program would read. */
  readonly stdout: Output
  /** Progress, notices and errors. */
  readonly stderr: Output
  /** Aborted by the first Ctrl-C (or SIGTERM): save, leave the files whole, return. The exit code is then set for you. */
  readonly signal: AbortSignal
  readonly verbose: boolean
  exitCode: number
}
