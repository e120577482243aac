// Brings README.md, docs/bench.md and their pictures up to date from the newest complete result of bench/run.mjs (*-cpu.json
// in bench/results), or the one given. Usage: node bench/pages.mjs [--check] [FILE.json]
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

function newest() {
  const folder = join(root, 'bench/results')
  const name = readdirSync(folder)
    .filter((file) => file.endsWith('-cpu.json'))
    .sort()
    .at(-1)
  if (!name) throw new Error('no result in bench/results: run npm run bench')
  return join(folder, name)
}

const path = positionals[0] ?? newest()
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
  scaling: paragraphs(scalingTable(document), shown('cpu-scaling', 'docs')),
})
