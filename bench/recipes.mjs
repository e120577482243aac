// What an iteration of each recipe costs: milliseconds, beside the plain classifier's, on the same network and digits.
//
//   node bench/recipes.mjs [--quick] [--evidence] [--threads N] [--model NAME] [--rounds N] [--seconds S] [--out FILE.json]
//
// Every recipe with its own constants (src/jem/recipes), batch sizes and steps included; only the network is another, for
// all the same one. In one process on the same cores, all warm, then in turns, a slice of some seconds each. A figure is
// the median over the slices, with the lowest and the highest; a ratio the median of the rounds' ratios. Then
// `node bench/recipes-table.mjs` puts the table into docs/reproduce.md. `--evidence`: the settings of bench/evidence.mjs
// instead, for `node bench/evidence-pages.mjs`.
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  JemTrainer,
  loadDataset,
  memory,
  recipeConfig,
  recipeNames,
  resetPeakMemory,
  setThreads,
} from '../dist/index.js'
import { recipes, shared } from './evidence/settings.mjs'
import { inTurns, spread } from './figures.mjs'
import { describeMachine, root } from './machine.mjs'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    evidence: { type: 'boolean', default: false },
    threads: { type: 'string', default: String(availableParallelism()) },
    model: { type: 'string', default: 'wrn-10-1' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    out: { type: 'string' },
  },
})
const threads = Number(options.threads)
const rounds = Number(options.rounds ?? (options.quick ? 3 : 7))
const seconds = Number(options.seconds ?? (options.quick ? 1 : 3))
const log = (line) => process.stderr.write(`${line}\n`)

const machine = describeMachine()
if (machine.loadAtStart > 0.5) log(`the machine is not quiet: load ${machine.loadAtStart} before the start`)
setThreads(threads)
const data = loadDataset('bundled:mnist', { split: 'train' })
const baseline = 'classifier'

/** What is changed of a recipe. */
const changes = (name) => (options.evidence ? { ...shared, ...recipes[name] } : { model: options.model })
const names = options.evidence ? Object.keys(recipes) : recipeNames
const contenders = names.map((name) => {
  // The whole of p(x) from the first iteration on: what an iteration costs once the schedules have run.
  const config = recipeConfig(name, { ...changes(name), pxStart: 0, pxRamp: 0, validationSize: 0, device: 'cpu' })
  return { name, config, trainer: new JemTrainer(config, data, 'cpu') }
})

/** Whole iterations for about `duration` seconds: milliseconds of one. */
async function slice({ trainer }, duration = seconds) {
  const start = performance.now()
  let iterations = 0
  do {
    await trainer.iterate()
    iterations++
  } while (performance.now() - start < 1000 * duration)
  return (performance.now() - start) / iterations
}

const peaks = new Map()
for (const contender of contenders) {
  log(`warming up ${contender.name} …`)
  const { liveBytes } = memory()
  resetPeakMemory()
  await slice(contender, seconds / 2)
  peaks.set(contender.name, memory().peakBytes - liveBytes)
}
log(`${rounds} rounds of ${seconds} s each …`)
const slices = await inTurns(contenders, rounds, slice)
const base = slices[names.indexOf(baseline)]
const rows = contenders.map(({ name, config }, i) => {
  const { sgldSteps, innerSteps, norm, batch, labelledBatch, samRho, pxWeight } = config
  return {
    recipe: name,
    ...{ sgldSteps, innerSteps, norm, batch, labelledBatch: labelledBatch || batch },
    /** Passes forward and back of the loss, and the images of one. */
    ...{ lossPasses: samRho > 0 ? 2 : 1, lossImages: (pxWeight > 0 ? 2 * batch : 0) + (labelledBatch || batch) },
    msPerIteration: spread(slices[i]),
    timesClassifier: spread(slices[i].map((ms, round) => ms / base[round])),
    workingBytes: peaks.get(name),
  }
})
for (const { trainer } of contenders) trainer.dispose()
for (const { recipe, msPerIteration, timesClassifier } of rows) {
  log(
    `  ${recipe.padEnd(10)} ${msPerIteration.median.toFixed(0)} ms, ${timesClassifier.median.toFixed(1)} × the classifier`,
  )
}

const kind = options.evidence ? 'evidence-cost' : 'recipes'
const name = `${machine.date.slice(0, 10)}-${kind}${options.quick ? '-quick' : ''}.json`
const path = options.out ?? join(root, 'bench/results', name)
mkdirSync(dirname(path), { recursive: true })
const { height, width, channels, count } = data
const image = { data: data.name, height, width, channels, count }
const document = {
  ...{
    what: kind,
    quick: options.quick,
    model: contenders[0].config.model,
    image,
    threads,
    rounds,
    secondsPerSlice: seconds,
  },
  ...machine,
  rows,
}
writeFileSync(path, `${JSON.stringify(document, null, 2)}\n`)
log(`written: ${path}`)
