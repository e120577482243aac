// What the demo reaches over several seeds: runs its recipe to the end for each, without the time limit, and writes
// accuracy, calibration and AUROC to bench/results. Usage: node bench/demo-seeds.mjs [seed …]   (default: 1 2 3)
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { runDemo } from '../dist/cli/run/demo.js'

const seeds = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1, 2, 3]
const context = {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: new AbortController().signal,
  verbose: false,
  exitCode: 0,
}
const runs = []
for (const seed of seeds) {
  const out = `runs/demo-seed-${seed}`
  const started = performance.now()
  await runDemo({ out, seed, minutes: 8 }, context, Number.POSITIVE_INFINITY)
  const { suites } = JSON.parse(readFileSync(`${out}/eval.json`, 'utf8'))
  const [{ accuracy, nll }] = suites.accuracy.models
  const [{ scores }] = suites.ood.sets[0].models
  runs.push({
    seed,
    seconds: Math.round((performance.now() - started) / 1000),
    accuracy,
    nll,
    ece15: suites.calibration.models[0].asTrained.bins[0].ece,
    auroc: { logpx: scores.logpx.auroc, maxprob: scores.maxprob.auroc, mass: scores.mass.auroc },
  })
}
const date = new Date().toISOString().slice(0, 10)
const result = {
  what: 'langevin demo, MNIST against Fashion-MNIST',
  date,
  cpu: cpus()[0].model,
  node: process.version,
  runs,
}
mkdirSync('bench/results', { recursive: true })
const name = seeds.join('-')
writeFileSync(`bench/results/${date}-demo-seeds-${name}.json`, `${JSON.stringify(result, null, 2)}\n`)
