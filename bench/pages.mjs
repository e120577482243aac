// Brings README.md, docs/bench.md and their pictures up to date from the newest complete results of bench/run.mjs (*-cpu.json
// in bench/results), or the one given, and of bench/eval.mjs (*-eval.json). Usage: node bench/pages.mjs [--check] [FILE.json]
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './machine.mjs'
import { Pages } from './pages/markdown.mjs'
import { ratioBars, rooflinePlot, scalingPlot } from './pages/plots.mjs'
import {
  avx2Table,
  convolutionsTable,
  elementwiseTable,
  judgingTable,
  judgingTimes,
  mainTable,
  memoryLine,
  provenance,
  scalingTable,
  threadsTable,
} from './pages/tables.mjs'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false } },
})

function newest(ending) {
  const folder = join(root, 'bench/results')
  const name = readdirSync(folder)
    .filter((file) => file.endsWith(ending))
    .sort()
    .at(-1)
  return name && join(folder, name)
}

const path = positionals[0] ?? newest('-cpu.json')
if (!path) throw new Error('no result in bench/results: run npm run bench')
const document = JSON.parse(readFileSync(path, 'utf8'))
const pages = new Pages('bench/pages.mjs', options.check)
const told = (folder) =>
  provenance(document, relative(root, path)).replace(
    'PATH',
    relative(join(root, folder), join(root, relative(root, path))),
  )

const pictures = [
  ['cpu-ratios.svg', 'Speed as a multiple of PyTorch’s', ratioBars(document)],
  ['cpu-roofline.svg', 'Roofline of the convolutions', document.kernels && document.limits && rooflinePlot(document)],
  ...(document.scaling?.curves ?? []).map((curve) => [
    `cpu-scaling-${curve.grows.replaceAll(' ', '-')}.svg`,
    `SGLD as ${curve.grows} grows`,
    scalingPlot(curve, document),
  ]),
].filter(([, , svg]) => svg)
for (const [file, , svg] of pictures) pages.put(`docs/images/${file}`, `${svg}\n`)
/** The pictures whose files start so, as a page in `folder` shows them. */
const shown = (start, folder) =>
  pictures
    .filter(([file]) => file.startsWith(start))
    .map(([file, alt]) => `![${alt}](${relative(join(root, folder), join(root, 'docs/images', file))})`)

function judging(path) {
  if (!path) return 'Not measured yet: `node bench/eval.mjs`.'
  const document = JSON.parse(readFileSync(path, 'utf8'))
  const source = relative(root, path)
  return paragraphs(judgingTable(document), `${judgingTimes(document)} Data: [${source}](../${source}).`)
}

const paragraphs = (...parts) => parts.flat().join('\n\n')
pages.replaceParts('README.md', {
  bench: paragraphs(mainTable(document), memoryLine(document), told('.'), shown('cpu-ratios', '.')),
})
pages.replaceParts('docs/bench.md', {
  main: paragraphs(mainTable(document), told('docs'), shown('cpu-ratios', 'docs')),
  memory: memoryLine(document),
  threads: threadsTable(document),
  avx2: avx2Table(document),
  convolutions: paragraphs(convolutionsTable(document), shown('cpu-roofline', 'docs')),
  elementwise: elementwiseTable(document),
  judging: judging(newest('-eval.json')),
  scaling: paragraphs(scalingTable(document), shown('cpu-scaling', 'docs')),
})
