import { statSync } from 'node:fs'
import { loadDataset } from '../../data/catalog.ts'
import type { Dataset } from '../../data/dataset.ts'
import { ConfigError, DataError } from '../../errors.ts'
import { type Evaluation, evaluate } from '../../eval/scores.ts'
import { writeFileAtomic } from '../../io/atomic.ts'
import type { DataDescription } from '../../jem/checkpoint.ts'
import type { LoadedRun } from '../../jem/loadRun.ts'
import type { EvalOptions } from '../commands/eval.ts'
import type { CliContext } from '../context.ts'
import { openDevice } from '../device.ts'
import { openRun } from '../load-run.ts'
import { slowProgress } from '../slow-progress.ts'
import { formatTable } from '../table.ts'

export async function runEval(options: EvalOptions, context: CliContext): Promise<void> {
  const device = openDevice(options, context.stderr)
  const run = openRun(options.run, device, context)
  try {
    const test = fitting(loadDataset(options.data ?? testSource(run.data), { split: 'test' }), run.data)
    if (test.classes > run.data.classes) {
      throw new DataError(`${test.name} has ${test.classes} classes, the run has ${run.data.classes}`, {
        hint: 'judge with a set of the same classes, or give this one as --ood',
      })
    }
    const ood = oodSets(options.ood, run.data)
    const total = Object.values(ood).reduce((n, { count }) => n + count, test.count)
    const progress = slowProgress({ stream: context.stderr, total, label: 'judge' })
    const results = await evaluate(run.model, test, {
      ood,
      sigma: run.config.sigma,
      seed: run.config.seed,
      signal: context.signal,
      onProgress: progress.update,
    }).finally(progress.finish)
    const json = `${JSON.stringify(asJson(results, run, options, test), null, 2)}\n`
    if (options.json === '-') {
      context.stdout.write(json)
      return
    }
    if (options.json !== undefined) writeFileAtomic(options.json, json)
    context.stdout.write(asText(results, run, test))
  } finally {
    run.model.dispose()
  }
}

/** The test part of what the run was trained on. Throws ConfigError where there is none to tell apart. */
function testSource({ source }: DataDescription): string {
  const path = source.replace(/^[a-z0-9-]+:/, '')
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new ConfigError(`the run was trained on the single file ${path}, which has no test part`, {
      hint: 'give test data with --data',
    })
  }
  return source
}

/** Each set under its own name, or under what was typed where two have the same. */
function oodSets(sources: readonly string[], data: DataDescription): Record<string, Dataset> {
  const sets: Record<string, Dataset> = {}
  for (const source of sources) {
    const set = fitting(loadDataset(source, { split: 'test' }), data)
    sets[Object.hasOwn(sets, set.name) ? source : set.name] = set
  }
  return sets
}

/** Throws DataError unless the images have the size that the run was trained on: scores of other sizes do not compare. */
function fitting(set: Dataset, run: DataDescription): Dataset {
  const size = ({ height, width, channels }: Pick<Dataset, 'height' | 'width' | 'channels'>) =>
    `${height}×${width}×${channels}`
  if (size(set) === size(run)) return set
  throw new DataError(`${set.name}: images must be ${size(run)}, as those the run was trained on, got ${size(set)}`, {
    hint: 'choose a set of that size, or write this one as IDX or CIFAR files of that size first',
  })
}

function asJson(results: Evaluation, run: LoadedRun, options: EvalOptions, test: Dataset): object {
  const { n, accuracy, nll, ece15, ece20, ood, brier, reliability } = results
  const { config, step, weights } = run
  const about = { run: options.run, step, weights, data: test.name, sigma: config.sigma }
  return { n, accuracy, nll, ece15, ece20, ood, brier, ...about, reliability }
}

function asText(results: Evaluation, run: LoadedRun, test: Dataset): string {
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`
  const rows = [
    ['accuracy', percent(results.accuracy)],
    ['NLL', `${results.nll.toFixed(4)} nats`],
    ['ECE, 15 bins', percent(results.ece15)],
    ['ECE, 20 bins', percent(results.ece20)],
  ]
  const ood = Object.entries(results.ood)
  const noise =
    run.config.sigma > 0 ? `with noise of standard deviation ${run.config.sigma} on all images` : 'without noise'
  const head = `${test.name}, ${results.n} test images, ${noise}; step ${run.step}, ${run.weights} weights\n\n`
  if (ood.length === 0) return head + formatTable(rows)
  const table = ood.map(([name, { n, logpx, maxprob, mass }]) => [
    name,
    n,
    ...[logpx, maxprob, mass].map(({ auroc }) => auroc.toFixed(4)),
  ])
  return `${head}${formatTable(rows)}\n${formatTable(table, ['AUROC against', 'n', 'log p(x)', 'max p(y|x)', '−‖∂log p/∂x‖₂'])}`
}
