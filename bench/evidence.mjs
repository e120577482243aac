// The evidence of the README: every recipe trained on digits and on clothes, judged, and put side by side.
//
//   node bench/evidence.mjs [--out runs/evidence] [--recipe NAMES] [--data NAMES] [--threads N] [--quick] [--plan]
//
// Four recipes × three seeds on MNIST and one on Fashion-MNIST, each with the small network and the settings below, on the
// bundled subsets. An iteration takes at most about a second of one core's time, so that a run is made to end within five
// minutes on two quiet cores. Stopped at any moment, by Ctrl-C or kill -9, the same command goes on where it was: finished
// runs stay, interrupted ones are resumed to the same bits, suites of `langevin eval` that are done are kept. A run that diverges for good is reported and left for `langevin compare` to count; the others go on. `--plan` only
// tells what is there and what is to be done; `--quick` trains four steps each, to see that everything runs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readCheckpoint, readEvaluation } from '../dist/index.js'
import { recordOf } from './evidence/record.mjs'
import { chainSteps, ofData, recipes, settingsOf, shared } from './evidence/settings.mjs'
import { root } from './machine.mjs'

const { values: options } = parseArgs({
  options: {
    out: { type: 'string', default: 'runs/evidence' },
    recipe: { type: 'string' },
    data: { type: 'string' },
    threads: { type: 'string' },
    quick: { type: 'boolean', default: false },
    plan: { type: 'boolean', default: false },
  },
})

const iterations = options.quick ? 4 : shared.steps

// The bundled subsets, also where the whole sets are installed.
const plan = [
  { data: 'mnist', source: 'bundled:mnist', seeds: [1, 2, 3] },
  { data: 'fashion-mnist', source: 'bundled:fashion-mnist', seeds: [1] },
]

const wanted = (list, name) => list === undefined || list.split(',').includes(name)
/** The first seed of everything first. */
const allRuns = plan
  .flatMap(({ data, source, seeds }) =>
    seeds.flatMap((seed) =>
      Object.keys(recipes).map((recipe) => {
        return { data, source, seed, recipe, folder: join(options.out, `${data}-${recipe}-${seed}`) }
      }),
    ),
  )
  .sort((a, b) => a.seed - b.seed)
const runs = allRuns.filter(({ data, recipe }) => wanted(options.data, data) && wanted(options.recipe, recipe))

/** Samples of one seed are enough, and of what was trained to give some: their long chains take longer than a run. */
const suitesOf = ({ seed, recipe }) => {
  const drawn = seed === 1 && recipe !== 'classifier'
  return ['accuracy', 'calibration', 'ood', 'robustness', ...(drawn ? ['samples'] : [])]
}

/** Suites that are yet to be done for a run that is trained. */
function missingSuites(run) {
  const path = join(run.folder, 'eval.json')
  const judged = existsSync(path) ? readEvaluation(path) : undefined
  return suitesOf(run).filter((name) => judged?.run.step !== iterations || !(name in judged.suites))
}

/** Iterations that a run has behind it; undefined where it has not begun. */
function stepsOf(folder) {
  if (!existsSync(join(folder, 'config.json'))) return undefined
  try {
    return readCheckpoint(folder).meta.trainer.step
  } catch {
    return 0 // killed before its first checkpoint
  }
}

// Ctrl-C reaches the command as well, which saves and leaves; this script then leaves, too.
let interrupted = false
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => (interrupted = true))

/** Runs a command in this terminal; false where it failed. */
async function langevin(...args) {
  process.stderr.write(`\n$ langevin ${args.join(' ')}\n`)
  const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...args], { stdio: 'inherit' })
  const [status, signal] = await once(child, 'exit')
  if (interrupted || signal) process.exit(130)
  return status === 0
}

/** The settings of a run as a file for --config, which a reader can use as well. */
function configOf(recipe, data) {
  const path = join(options.out, `${data}-${recipe}.json`)
  const text = `${JSON.stringify({ recipe, ...settingsOf(recipe, data), steps: iterations }, null, 2)}\n`
  if (!existsSync(path)) writeFileSync(path, text)
  else if (readFileSync(path, 'utf8') !== text) {
    process.stderr.write(`${path} has other settings than this script: delete ${options.out}, or give another --out\n`)
    process.exit(2)
  }
  return path
}

if (options.plan) {
  for (const run of runs) {
    const steps = stepsOf(run.folder)
    const missing = missingSuites(run).join(', ')
    const judged = missing ? `, to be judged: ${missing}` : ', judged'
    const done = steps === undefined ? 'to do' : `${steps} of ${iterations} steps${steps === iterations ? judged : ''}`
    process.stdout.write(`${run.folder}: ${done}\n`)
  }
  process.exit(0)
}

mkdirSync(options.out, { recursive: true })
const threads = options.threads === undefined ? [] : ['--threads', options.threads]
const failed = []
for (const run of runs) {
  const { data, source, seed, recipe, folder } = run
  const steps = stepsOf(folder)
  const begun = steps === undefined ? ['--data', source] : ['--resume']
  const settings = ['--config', configOf(recipe, data), '--seed', String(seed), ...threads]
  const trained = steps === iterations || (await langevin('train', ...begun, '--out', folder, ...settings))
  const baseline = join(options.out, `${data}-classifier-${seed}`)
  const beside = recipe !== 'classifier' && stepsOf(baseline) === iterations ? ['--baseline', baseline] : []
  const missing = missingSuites(run)
  // Without noise for all, whatever each was trained with: else their numbers could not be put side by side.
  // Attacks take long, and the baseline is attacked where it is a run of its own.
  const judgements = [
    [missing.filter((name) => name !== 'robustness'), beside],
    [missing.filter((name) => name === 'robustness'), []],
  ]
  let judged = trained
  for (const [suites, flags] of judgements) {
    if (!judged || suites.length === 0) continue
    const protocol = ['--sigma', '0', '--chain-steps', String(chainSteps(recipe))]
    judged = await langevin('eval', '--run', folder, '--suite', suites.join(), ...protocol, ...flags)
  }
  if (!judged) failed.push(folder)
}
for (const { data } of plan) {
  const begun = runs.filter((run) => run.data === data && stepsOf(run.folder) !== undefined)
  if (begun.length < 2) continue
  const files = ['json', 'html'].flatMap((kind) => [`--${kind}`, join(options.out, `${data}.${kind}`)])
  if (!(await langevin('compare', ...begun.map(({ folder }) => folder), ...files))) failed.push(`compare ${data}`)
}
if (!options.quick) {
  const known = allRuns.filter(
    (run) => missingSuites(run).length === 0 || existsSync(join(run.folder, 'diverged.json')),
  )
  const path = join(options.out, 'evidence.json')
  const settings = { ...shared, recipes, ofData }
  writeFileSync(path, `${JSON.stringify(recordOf(known, allRuns.length, settings), null, 2)}\n`)
  process.stderr.write(
    `${path} written, ${known.length} of ${allRuns.length} runs; node bench/evidence-pages.mjs ${options.out} puts it into ` +
      'the pages\n',
  )
}
if (failed.length > 0) {
  process.stderr.write(`\nfailed: ${failed.join(', ')}\n`)
  process.exit(1)
}
