// Brings docs/reproduce.md up to date between its markers: what an iteration of each recipe costs on a CPU, from the newest
// result of bench/recipes.mjs, or the one given. (What it should take on a GPU is bench/gpu/pages.mjs's.)
// Usage: node bench/recipes-table.mjs [--check] [FILE.json]
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './machine.mjs'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false } },
})

const number = (value) => Math.round(value).toLocaleString('en')
function table(heads, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

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

function between(text, name, content) {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/reproduce.md has no ${begin} … ${end}`)
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}

const page = join(root, 'docs/reproduce.md')
const before = readFileSync(page, 'utf8')
const after = between(before, 'cost', measured(positionals[0] ?? newest()))
if (after === before) {
  process.stdout.write('docs/reproduce.md is up to date\n')
} else if (options.check) {
  process.stderr.write('docs/reproduce.md is not up to date: run node bench/recipes-table.mjs\n')
  process.exitCode = 1
} else {
  writeFileSync(page, after)
  process.stdout.write('docs/reproduce.md\n')
}
