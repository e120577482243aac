import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The compiled command line for a process of its own; compiled again where the sources are newer. */
export function builtCli(): string {
  const path = join(root, 'dist', 'cli', 'main.js')
  const names = readdirSync(join(root, 'src'), { recursive: true }) as string[]
  const newest = Math.max(...names.map((name) => statSync(join(root, 'src', name)).mtimeMs))
  if (!existsSync(path) || statSync(path).mtimeMs < newest) {
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.json'], {
      cwd: root,
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`cannot compile src:\n${stdout}`)
  }
  return path
}
