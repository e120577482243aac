// How long judging takes: the OOD suite's pass over 10,000 images against the same in PyTorch, AUROC of a million scores,
// bootstrap intervals, and a report once the scores exist.
//
//   node bench/eval.mjs [--quick] [--threads N] [--net NAME] [--rounds N] [--out FILE.json]
//
// Both sides pass over the same number of images of the same size in batches of 100, on the same cores, in turns, after
// a warm-up. A figure is the median over the rounds, with the lowest and the highest; the ratio is the median of the
// pairs' ratios. Before that PyTorch loads our weights and checks our f and ‖∂f/∂x‖, so that both compute the same.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { findPyTorch, pyTorchMissing } from '../dist/cli/peer.js'
import { Competitor } from './competitors.mjs'
import { measureNumbers } from './eval/numbers.mjs'
import { inTurns, spread } from './figures.mjs'
import { describeMachine, root } from './machine.mjs'
import { images as imageSizes } from './wide-resnet.mjs'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    threads: { type: 'string', default: String(availableParallelism()) },
    net: { type: 'string' },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
})
const threads = Number(options.threads)
const rounds = Number(options.rounds ?? (options.quick ? 1 : 5))
const images = options.quick ? 500 : 10_000
const batch = 100
const nets = ['wrn-10-1', 'wrn-16-2'].filter((net) => !options.net || net === options.net)

const log = (line) => process.stderr.write(`${line}\n`)
const machine = describeMachine()
const python = findPyTorch()
if (!python) log(pyTorchMissing)
const rows = []
for (const net of nets) rows.push(await measure(net))

async function measure(net) {
  const { size, channels } = imageSizes[net]
  log(`${net}, ${images} images of ${size}×${size}×${channels} …`)
  const settings = { net, size, channels, classes: 10, threads, images, batch, sigma: 0.03 }
  const ours = new Competitor('langevin', [process.execPath, join(root, 'bench/eval/langevin.mjs')], settings)
  const theirs = python && new Competitor('pytorch', [python, join(root, 'bench/pytorch/eval.py')], settings)
  const competitors = theirs ? [ours, theirs] : [ours]
  try {
    const about = await Promise.all(competitors.map((c) => c.ready()))
    const result = { net, size, channels, images, batch, threads }
    if (theirs) {
      Object.assign(result, await checked(ours, theirs))
      about[1].layout = (await theirs.ask('choose', { count: 5 * batch })).layout
    }
    await inTurns(competitors, 1, (c) => c.ask('run', { count: 5 * batch })) // warm-up
    const slices = await inTurns(competitors, rounds, (c) => c.ask('run', { count: images }))
    for (const [i, { name }] of competitors.entries()) {
      result[name] = { ...about[i], secondsPerPass: spread(slices[i].map(({ seconds }) => seconds)) }
    }
    if (theirs) result.ratio = spread(slices[0].map(({ seconds }, i) => slices[1][i].seconds / seconds))
    else result.pytorch = { skipped: pyTorchMissing }
    const seconds = (name) => `${result[name].secondsPerPass.median.toFixed(2)} s`
    log(
      `  ours ${seconds('langevin')}` +
        (theirs ? `, PyTorch ${seconds('pytorch')}: ${result.ratio.median.toFixed(2)}×` : ''),
    )
    return result
  } finally {
    for (const competitor of competitors) competitor.close()
  }
}

/** Throws where the two do not compute the same. */
async function checked(ours, theirs) {
  const folder = mkdtempSync(join(tmpdir(), 'langevin-bench-'))
  try {
    await ours.ask('dump', { path: join(folder, 'weights.safetensors') })
    const errors = await theirs.ask('check', { path: join(folder, 'weights.safetensors') })
    // float32: rounding turns a few LeakyReLU signs, and the gradients with them.
    if (!(errors.fError < 1e-5 && errors.gradientNormError < 1e-3)) {
      throw new Error(`the two differ: ${JSON.stringify(errors)}`)
    }
    return errors
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const numbers = await measureNumbers(options.quick ? 1 : 5)
for (const [what, { median }] of Object.entries(numbers)) log(`${what}: ${median.toFixed(3)} s`)

const name = `${machine.date.slice(0, 10)}-eval${options.quick ? '-quick' : ''}.json`
const path = options.out ?? join(root, 'bench/results', name)
mkdirSync(dirname(path), { recursive: true })
writeFileSync(
  path,
  `${JSON.stringify({ what: 'eval', quick: options.quick, rounds, ...machine, rows, numbers }, null, 2)}\n`,
)
log(`written: ${path}`)
