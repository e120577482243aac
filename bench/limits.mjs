// The physical limits that results are held against: measured on this machine, in this run.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Peer } from '../dist/cli/peer.js'
import { onCores, root } from './machine.mjs'

const program = join(root, 'build-bench/limits')

/** Compiles the program that measures; false with a line on stderr where there is no compiler. */
function built() {
  mkdirSync(dirname(program), { recursive: true })
  const source = join(root, 'bench/native/limits.cc')
  const compiler = process.env.CXX ?? 'g++'
  const done = spawnSync(compiler, ['-std=c++17', '-O3', '-march=native', '-pthread', source, '-o', program], {
    encoding: 'utf8',
  })
  if (done.status === 0) return true
  process.stderr.write(`the limits are not measured: ${done.error?.message ?? done.stderr}\n`)
  return false
}

/** { vectorBits, gflops, copyGBs }, or undefined with a line on stderr where there is no compiler. */
export function measureLimits(threads, seconds) {
  if (!built()) return undefined
  const [command, ...args] = onCores(threads, [program, String(threads), String(seconds)])
  // The best of three: a limit is what was reached undisturbed.
  const runs = [1, 2, 3].map(() => JSON.parse(spawnSync(command, args, { encoding: 'utf8' }).stdout))
  const best = (key) => Math.max(...runs.map((run) => run[key]))
  return { vectorBits: runs[0].vectorBits, gflops: best('gflops'), copyGBs: best('copyGBs') }
}

/** A competitor whose every answer is { copyGBs }, a copy of `seconds`; undefined where there is no compiler. */
export function startCopy(threads, seconds) {
  return built() ? new Peer('copy', onCores(threads, [program, String(threads), String(seconds)]), 'copy') : undefined
}
