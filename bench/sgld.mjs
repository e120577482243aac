// SGLD image-steps per second of the reference nets, ours against PyTorch and against this machine's measured limits.
//
//   node bench/sgld.mjs [--quick] [--threads N] [--net NAME] [--rounds N] [--seconds S] [--out FILE.json]
//
// Both run in one go on the same cores with the same number of threads: both warm, then in turns (ours, theirs, ours,
// theirs …), a slice of some seconds each. A figure is the median over the slices, with the lowest and the highest; the
// ratio is the median of the pairs' ratios. Before that PyTorch loads our weights and checks our gradient, so that both
// compute the same. Peak memory: ours of memory() in one step; PyTorch's growth of the resident set.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { Competitor, findPyTorch, inTurns, pyTorchMissing, spread } from './competitors.mjs'
import { measureLimits } from './limits.mjs'
import { describeMachine, root } from './machine.mjs'
import { images, operationsPerImageStep } from './wide-resnet.mjs'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    threads: { type: 'string', default: String(availableParallelism()) },
    net: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    out: { type: 'string' },
  },
})
const threads = Number(options.threads)
const rounds = Number(options.rounds ?? (options.quick ? 3 : 7))
const seconds = Number(options.seconds ?? (options.quick ? 1.5 : 5))

/** The reference nets: no norm, 10 classes. `steps` is how many SGLD steps one call of the sampler makes here. */
const nets = [
  { net: 'wrn-10-1', batch: 64, steps: 20 },
  { net: 'wrn-16-2', batch: 64, steps: 5 },
  { net: 'wrn-28-10', batch: 8, steps: 1 },
]
  .map((row) => ({ ...row, ...images[row.net] }))
  .filter(({ net }) => !options.net || options.net === net)

const log = (line) => process.stderr.write(`${line}\n`)
const machine = describeMachine()
const python = findPyTorch()
if (!python) log(pyTorchMissing)
log(`measuring the limits of ${threads} thread${threads > 1 ? 's' : ''} …`)
const limitSeconds = options.quick ? 0.4 : 1
const limits = measureLimits(threads, limitSeconds)
if (limits) log(`  ${limits.gflops} GFLOP/s in ${limits.vectorBits}-bit registers, ${limits.copyGBs} GB/s copying`)

if (machine.loadAtStart > 0.5) {
  log(`  the machine is not quiet: load ${machine.loadAtStart} before the start; the ratio suffers least`)
}

const rows = []
for (const row of nets) rows.push(await measure(row))
// A limit is the best that was seen, before or after: clocks and neighbours change.
const after = limits && measureLimits(threads, limitSeconds)
if (limits) {
  for (const key of ['gflops', 'copyGBs']) limits[key] = Math.max(limits[key], after[key])
  for (const { langevin, pytorch } of rows) {
    for (const result of [langevin, pytorch]) {
      if (result.gflops) result.percentOfPeak = (result.gflops / limits.gflops) * 100
    }
  }
}

async function measure(row) {
  log(`${row.net}, ${row.size}×${row.size}×${row.channels}, batch ${row.batch} …`)
  const settings = { ...row, classes: 10, threads, stepSize: 1, noiseStd: 0.01 }
  const ours = new Competitor('langevin', [process.execPath, join(root, 'bench/sgld/langevin.mjs')], settings)
  const theirs = python && new Competitor('pytorch', [python, join(root, 'bench/pytorch/sgld.py')], settings)
  const competitors = theirs ? [ours, theirs] : [ours]
  try {
    const about = await Promise.all(competitors.map((c) => c.ready()))
    const result = { ...row, threads, flopsPerImageStep: operationsPerImageStep(row.net, row) }
    if (theirs) {
      const folder = mkdtempSync(join(tmpdir(), 'langevin-bench-'))
      try {
        await ours.ask('dump', { path: join(folder, 'weights.safetensors') })
        const { gradientError } = await theirs.ask('check', { path: join(folder, 'weights.safetensors') })
        if (!(gradientError < 1e-10)) throw new Error(`${row.net}: the gradients differ by ${gradientError}`)
        result.gradientError = gradientError
      } finally {
        rmSync(folder, { recursive: true })
      }
      about[1].layout = (await theirs.ask('choose', { seconds: seconds / 2 })).layout
    }
    const slice = (competitor) => competitor.ask('run', { seconds, steps: row.steps })
    await inTurns(competitors, 1, (c) => c.ask('run', { seconds: seconds / 2, steps: row.steps })) // warm-up
    const slices = await inTurns(competitors, rounds, slice)
    for (const [i, competitor] of competitors.entries()) {
      const imageSteps = slices[i].map((s) => (s.steps * row.batch) / s.seconds)
      const speed = spread(imageSteps)
      const gflops = (speed.median * result.flopsPerImageStep) / 1e9
      result[competitor.name] = {
        ...about[i],
        imageStepsPerSecond: speed,
        msPerStep: (row.batch / speed.median) * 1e3,
        gflops,
        ...(await competitor.ask('peak')),
      }
    }
    if (theirs) {
      const pairs = slices[0].map((s, i) => s.steps / s.seconds / (slices[1][i].steps / slices[1][i].seconds))
      result.ratio = spread(pairs)
    } else {
      result.pytorch = { skipped: pyTorchMissing }
    }
    const us = result.langevin
    log(
      `  ours ${us.imageStepsPerSecond.median.toFixed(0)} image-steps/s` +
        (limits ? ` (${((us.gflops / limits.gflops) * 100).toFixed(0)} % of the FMA peak)` : '') +
        (theirs
          ? `, PyTorch ${result.pytorch.imageStepsPerSecond.median.toFixed(0)}: ${result.ratio.median.toFixed(2)}×`
          : ''),
    )
    return result
  } finally {
    for (const competitor of competitors) competitor.close()
  }
}

const path =
  options.out ?? join(root, 'bench/results', `${machine.date.slice(0, 10)}-sgld${options.quick ? '-quick' : ''}.json`)
mkdirSync(dirname(path), { recursive: true })
const document = { what: 'sgld', quick: options.quick, rounds, secondsPerSlice: seconds, ...machine, limits, rows }
writeFileSync(path, `${JSON.stringify(document, null, 2)}\n`)
log(`written: ${path}`)
