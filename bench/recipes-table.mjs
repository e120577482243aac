// Brings docs/reproduce.md up to date between its markers: what an iteration of each recipe costs on a CPU, from the newest
// result of bench/recipes.mjs, or the one given. (What it should take on a GPU is bench/gpu/pages.mjs's.)
// Usage: node bench/recipes-table.mjs [--check] [FILE.json]
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './machine.mjs'
import { Pages, table } from './pages/markdown.mjs'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false } },
})

const number = (value) => Math.round(value).toLocaleString('en')

function newest() {
  const folder = join(root, 'bench/results')
  const name = readdirSync(folder)
    .filter((file) => file.endsWith('-recipes.json'))
    .sort()
    .at(-1)
  return name && join(folder, name)
}

function measured(path) {
  if (!path) return 'Not measured yet: `node bench/recipes.mjs`, then `node bench/recipes-table.mjs`.'
  const {
    rows,
    image,
    model,
    threads,
    rounds,
    secondsPerSlice,
    cpu,
    cores,
    date,
    commit,
    modified,
    loadAtStart,
    quick,
  } = JSON.parse(readFileSync(path, 'utf8'))
  const spread = ({ median, min, max }, format) => `${format(median)} (${format(min)}–${format(max)})`
  const lines = rows.map((row) => [
    `\`${row.recipe}\``,
    row.sgldSteps,
    `${row.lossPasses} × ${row.lossImages}`,
    row.norm,
    spread(row.msPerIteration, number),
    spread(row.timesClassifier, (ratio) => `${ratio.toFixed(1)}×`),
    `${number(row.workingBytes / 1e6)} MB`,
  ])
  const heads = [
    ...['recipe', 'gradients of f for 64 samples', 'passes of the loss × images', 'norm', 'an iteration, ms'],
    ...['of the classifier’s', 'working memory'],
  ]
  const source = relative(root, path)
  return [
    table(heads, lines),
    '',
    `Median (lowest–highest) of ${rounds} slices of ${secondsPerSlice} s in turns, ${model}, ${image.data} ` +
      `(${image.height}×${image.width}×${image.channels}), every recipe with its own batches and steps; ${threads} ` +
      `thread${threads > 1 ? 's' : ''}, ${cpu}, ${cores} cores, ${date.slice(0, 10)}, commit ${commit}` +
      `${modified ? ' with changes' : ''}${quick ? ', a quick run' : ''}` +
      `${loadAtStart > 0.5 ? `, on a machine that was not quiet (load ${loadAtStart})` : ''}. ` +
      `Data: [${source}](../${source}).`,
  ].join('\n')
}

const pages = new Pages('bench/recipes-table.mjs', options.check)
pages.replaceParts('docs/reproduce.md', { cost: measured(positionals[0] ?? newest()) })
