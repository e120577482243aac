// `npm run bench`: ours against PyTorch and tfjs, and against what this machine can do at most, in one run on the same cores.
//
//   node bench/run.mjs [--quick] [--only PART,…] [--threads N] [--rounds N] [--seconds S] [--out FILE.json]
//
// Parts: comparisons (SGLD of three nets, a JEM iteration, inference, one thread, AVX2), memory, kernels, scaling. Sides are
// warm, then measured in turns (ours, theirs, ours, theirs …), a slice of some seconds each. A figure is the median over the
// slices, with the lowest and the highest; a ratio is the median of the pairs' ratios. Before that the competitors load our
// weights and check our gradient. A complete run brings README.md and docs/bench.md up to date. --quick: fewer and shorter
// slices, fewer rows, neither memory nor scaling. --tiny: the smallest sizes, which prove the program and measure
// nothing.
import { spawnSync } from 'node:child_process'
import { mkdirSync, renameSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { Peer } from '../dist/cli/peer.js'
import { compare, comparisons, summary } from './comparisons.mjs'
import { missing, oneDnnIsa } from './competitors.mjs'
import { attempt, log, Results } from './document.mjs'
import { median } from './figures.mjs'
import { measureLimits, startCopy } from './limits.mjs'
import { describeMachine, onCores, root } from './machine.mjs'
import { measureMemory } from './memory.mjs'
import { measureScaling } from './scaling.mjs'
import { images } from './wide-resnet.mjs'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    only: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    out: { type: 'string' },
  },
})
const parts = ['comparisons', 'memory', 'kernels', 'scaling']
const wanted = options.only?.split(',') ?? (options.quick ? ['comparisons', 'kernels'] : parts)
const { quick, tiny } = options
const threads = Number(options.threads)
const rounds = Number(options.rounds ?? (tiny ? 1 : quick ? 3 : 7))
const seconds = Number(options.seconds ?? (tiny ? 0.001 : quick ? 0.6 : 2.5))
refuse(!wanted.every((part) => parts.includes(part)), `--only takes ${parts.join(', ')}, got ${options.only}`)
refuse(!(Number.isInteger(threads) && threads > 0), `--threads must be a whole number >= 1, got ${options.threads}`)
refuse(!(Number.isInteger(rounds) && rounds > 0), `--rounds must be a whole number >= 1, got ${options.rounds}`)
refuse(!(seconds > 0), `--seconds must be above 0, got ${options.seconds}`)

function refuse(wrong, message) {
  if (!wrong) return
  log(`bench: ${message}`)
  process.exit(2)
}

const limitSeconds = tiny ? 0.01 : quick ? 0.3 : 1
const started = Date.now()

const machine = describeMachine()
if (machine.loadAtStart > 0.5) log(`the machine is not quiet: load ${machine.loadAtStart}; the ratios suffer least`)
for (const line of missing()) log(line)
// What is not complete never takes the place of what is.
const kind = tiny ? '-tiny' : quick ? '-quick' : options.only ? '-part' : ''
const path = options.out ?? join(root, 'bench/results', `${machine.date.slice(0, 10)}-cpu${kind}.json`)
mkdirSync(dirname(path), { recursive: true })
// Under another name until it is whole: pages are made of the newest file.
const results = new Results(`${path}.unfinished`, {
  ...{ what: 'cpu', quick, tiny, rounds, secondsPerSlice: seconds, threads, ...machine, missing: missing() },
  oneDnnIsa: { usual: oneDnnIsa(), avx2: oneDnnIsa('avx2') },
})

log(`measuring the limits of ${threads} thread${threads > 1 ? 's' : ''} …`)
let limits = measureLimits(threads, limitSeconds)
if (limits) log(`  ${limits.gflops} GFLOP/s in ${limits.vectorBits}-bit registers, ${limits.copyGBs} GB/s copying`)
let failed = 0

/** What a part gives, or, where it fails, undefined: the rest is measured all the same. */
async function part(what, measure) {
  const answer = await attempt(measure)
  if (!answer.error) return answer
  log(`${what} failed`)
  failed++
  return undefined
}

const rows = []
if (wanted.includes('comparisons')) {
  for (const row of comparisons({ threads, quick, tiny })) {
    const name = `${row.group}: ${row.net}, batch ${row.batch}`
    log(`${name} …`)
    // One thread and AVX2 are besides; a pass without gradients is short.
    const effort = {
      rounds: row.group === 'one thread' || row.group === 'avx2' ? Math.min(rounds, 4) : rounds,
      seconds: row.group === 'sgld' || row.group === 'iteration' ? seconds : seconds / 2,
      threads,
    }
    const result = await part(name, () => compare(row, effort))
    if (!result) continue
    log(`  ${summary(result)}`)
    rows.push(result)
    results.add(result)
  }
}
if (wanted.includes('memory')) {
  log('peak memory of an SGLD step …')
  const chosen = rows.find(({ group, net }) => group === 'sgld' && net === 'wrn-28-10')?.sides
  const mode = chosen?.find(({ name }) => name === 'pytorch')?.mode
  const memory = await part('memory', () => measureMemory({ threads, tiny, mode }))
  if (memory) results.set('memory', memory)
}
if (wanted.includes('kernels')) {
  log('kernels one by one …')
  const kernels = await part('kernels', measureKernels)
  if (kernels) results.set('kernels', kernels)
}
if (wanted.includes('scaling')) {
  log('scaling …')
  const slice = { rounds: Math.min(rounds, 3), seconds: seconds / 6 }
  const scaling = await part('scaling', () => measureScaling({ threads, ...slice, tiny, log }))
  if (scaling) results.set('scaling', scaling)
}

async function measureKernels() {
  const program = join(root, 'bench/kernels/peer.mjs')
  const peer = new Peer('kernels', onCores(threads, [process.execPath, program]), { threads })
  const slice = tiny ? 0.001 : quick ? 0.05 : 0.25
  const nets = tiny
    ? [{ net: 'wrn-10-2', size: 8, channels: 3, batch: 1 }]
    : [
        { net: 'wrn-16-2', ...images['wrn-16-2'], batch: 64 },
        ...(quick ? [] : [{ net: 'wrn-28-10', ...images['wrn-28-10'], batch: 8 }]),
      ]
  try {
    const about = await peer.ready()
    const convolutions = []
    for (const net of nets) convolutions.push(...(await peer.ask('convolutions', { ...net, seconds: slice })))
    const elementwise = await measureElementwise(peer, slice / 3)
    return { ...about, secondsPerKernel: slice, convolutions, elementwise }
  } finally {
    peer.kill()
  }
}

/** The kernels bound by memory, each in turns with a copy: memory is faster at one time than at another. */
async function measureElementwise(peer, seconds) {
  // As the copy's arrays: 128 MiB of f32, far more than any cache holds.
  const elements = tiny ? 2 ** 15 : 2 ** 25
  const copy = startCopy(threads, seconds)
  await copy?.ready()
  const rows = []
  try {
    for (;;) {
      const kernel = await peer.ask('next', { elements })
      if (kernel.done) return rows
      const taken = []
      const copies = []
      for (let turn = 0; turn < 3; turn++) {
        if (copy) copies.push((await copy.ask('copy')).copyGBs)
        taken.push((await peer.ask('time', { seconds })).seconds)
      }
      rows.push({ ...kernel, seconds: median(taken), ...(copy && { copyGBs: median(copies) }) })
    }
  } finally {
    copy?.kill()
  }
}

// A limit is the best that was seen, before or after: clocks and neighbours change.
if (limits) {
  const after = measureLimits(threads, limitSeconds)
  limits = {
    ...limits,
    gflops: Math.max(limits.gflops, after.gflops),
    copyGBs: Math.max(limits.copyGBs, after.copyGBs),
  }
  results.set('limits', limits)
}
results.set('totalSeconds', Math.round((Date.now() - started) / 1000))
renameSync(`${path}.unfinished`, path)
log(`written: ${path}${failed > 0 ? `; ${failed} failed` : ''}`)
if (kind === '' && !options.out) {
  const made = spawnSync(process.execPath, [join(root, 'bench/pages.mjs'), path], { stdio: 'inherit' })
  if (made.status !== 0) failed++
}
if (failed > 0) process.exitCode = 1
