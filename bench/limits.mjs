// The physical limits that results are held against: measured on this machine, in this run.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { onCores, root } from './machine.mjs'

/** { vectorBits, gflops, copyGBs }, or undefined with a line on stderr where there is no compiler. */
export function measureLimits(threads, seconds) {
  const folder = join(root, 'build-bench')
  const program = join(folder, 'limits')
  mkdirSync(folder, { recursive: true })
  const source = join(root, 'bench/native/limits.cc')
  const compiler = process.env.CXX ?? 'g++'
  const built = spawnSync(compiler, ['-std=c++17', '-O3', '-march=native', '-pthread', source, '-o', program], {
    encoding: 'utf8',
  })
  if (built.status !== 0) {
    process.stderr.write(`the limits are not measured: ${built.error?.message ?? built.stderr}\n`)
    return undefined
  }
  const [command, ...args] = onCores(threads, [program, String(threads), String(seconds)])
  // The best of three: a limit is what was reached undisturbed.
  const runs = [1, 2, 3].map(() => JSON.parse(spawnSync(command, args, { encoding: 'utf8' }).stdout))
  const best = (key) => Math.max(...runs.map((run) => run[key]))
  return { vectorBits: runs[0].vectorBits, gflops: best('gflops'), copyGBs: best('copyGBs') }
}
