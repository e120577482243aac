// Guards the CPU kernels' speed where no clock can be trusted: counts the instructions of three kernels at fixed sizes
// (bench/native/instruction_counts.cc), on one thread, with AVX2 (valgrind knows no AVX-512), and fails where one needs
// over 10 % more than bench/instruction-counts.json says. The kernels are those that the build made for the addon.
// Usage: node scripts/instruction-counts.mjs [--update]
// --update writes the counts as they are now: after a change that is meant to cost them, or that saves some.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const kernels = ['conv2d', 'conv2dBackwardInput', 'sgldUpdate']
const baselinePath = join(root, 'bench/instruction-counts.json')
const compiler = process.env.CXX ?? 'g++'
const percent = 10

/** A line for each kernel, and whether all are within the tolerance of their baseline. */
export function compare(counts, baseline) {
  const lines = Object.entries(counts).map(([kernel, count]) => {
    const expected = baseline[kernel]
    if (!(expected > 0))
      return { ok: false, text: `FAILED ${kernel}: ${count} instructions, no baseline; see --update` }
    const change = count / expected - 1
    const text = `${kernel}: ${count} instructions, ${change < 0 ? '' : '+'}${(100 * change).toFixed(1)} % against ${expected}`
    if (100 * count > (100 + percent) * expected) return { ok: false, text: `FAILED ${text}` }
    return {
      ok: true,
      text: `ok     ${text}${100 * count < (100 - percent) * expected ? '; --update keeps the gain' : ''}`,
    }
  })
  return { ok: lines.every(({ ok }) => ok), text: lines.map(({ text }) => `${text}\n`).join('') }
}

function run(command, ...args) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (done.error?.code === 'ENOENT') throw new Error(`${command} is not installed: apt-get install valgrind g++`)
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}\n${done.stderr}`)
  return done.stdout + done.stderr
}

/** Instructions of each kernel: from entry to return of measured(). */
function count() {
  const program = join(root, 'build-bench/instruction_counts')
  mkdirSync(dirname(program), { recursive: true })
  const sources = ['bench/native/instruction_counts.cc', 'native/core/fault.cc', 'native/cpu/stream.cc']
  const archive = 'build/Release/kernels_avx2.a'
  run(compiler, '-std=c++17', '-O2', '-pthread', ...sources, archive, '-o', program)
  const callgrind = ['--tool=callgrind', '--callgrind-out-file=/dev/null', '--toggle-collect=measured']
  return Object.fromEntries(
    kernels.map((kernel) => {
      const collected = /Collected : (\d+)/.exec(run('valgrind', ...callgrind, program, kernel))
      if (!(Number(collected?.[1]) > 0)) throw new Error(`callgrind counted nothing in ${kernel}`)
      return [kernel, Number(collected[1])]
    }),
  )
}

function main() {
  const { values: options } = parseArgs({ options: { update: { type: 'boolean', default: false } } })
  const counts = count()
  const version = run(compiler, '-dumpfullversion').trim()
  if (options.update) {
    writeFileSync(baselinePath, `${JSON.stringify({ isa: 'avx2', gxx: version, counts }, null, 2)}\n`)
    process.stdout.write(`written: ${baselinePath}\n`)
    return
  }
  const baseline = JSON.parse(readFileSync(baselinePath, 'utf8'))
  const { ok, text } = compare(counts, baseline.counts)
  process.stdout.write(text)
  if (ok) return
  if (version !== baseline.gxx) process.stdout.write(`the baseline is g++ ${baseline.gxx}'s, this is ${version}\n`)
  process.exitCode = 1
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    main()
  } catch (error) {
    process.stderr.write(`instruction-counts: ${error.message}\n`)
    process.exitCode = 1
  }
}
