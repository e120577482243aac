import { type RunOptions, run } from '../../src/cli/main.ts'

/** Runs the command line in this process and collects what it wrote. */
export async function langevin(line: string | readonly string[], options: Partial<RunOptions> = {}) {
  const out: string[] = []
  const err: string[] = []
  const argv = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line
  const code = await run(argv, {
    stdout: { write: (text) => out.push(text), columns: 100 },
    stderr: { write: (text) => err.push(text), columns: 100 },
    ...options,
  })
  return { code, stdout: out.join(''), stderr: err.join('') }
}
