// Brings README.md, docs/kernels.md and docs/reproduce.md up to date between their markers, and the pictures in docs/images:
// from the prediction, and from the newest gpu.json in bench/results that a GPU made, or the one given.
// Usage: node bench/gpu/pages.mjs [--check] [FILE.json]
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { recipeConfig, recipeNames } from '../../dist/index.js'
import { root } from '../machine.mjs'
import { Pages, table } from '../pages/markdown.mjs'
import { distinctConvolutions, images, label, passesOf } from '../wide-resnet.mjs'
import { ratioBars, rooflinePlot } from './plots.mjs'
import { assumed, predictConvolution, predictIteration, predictStep } from './prediction.mjs'
import { predictRun } from './recipe-prediction.mjs'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false } },
})
const document = positionals[0] ? JSON.parse(readFileSync(positionals[0], 'utf8')) : newest()
const unmeasured = 'not measured on hardware'

function newest() {
  const folder = join(root, 'bench/results')
  return readdirSync(folder)
    .filter((name) => name.endsWith('gpu.json'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
    .filter(({ dry }) => !dry)
    .sort((a, b) => (a.date < b.date ? -1 : 1))
    .at(-1)
}

const number = (value) => Math.round(value).toLocaleString('en')
/** A prediction is no better than two digits. */
const about = (value) => `about ${Number(value.toPrecision(2)).toLocaleString('en')}`

/** Each convolution of WRN-28-10: shape as a product, what it must do, the floor, the prediction, the measurement. */
function convolutionsTable(batch) {
  const lines = []
  for (const layer of distinctConvolutions('wrn-28-10', images['wrn-28-10'])) {
    for (const pass of passesOf(layer)) {
      const p = predictConvolution(layer, pass, batch)
      const row = document?.convolutions?.rows.find(
        (candidate) => candidate.batch === batch && candidate.pass === pass && candidate.layer === label(layer),
      )
      const time = row?.langevin?.seconds
      lines.push([
        `${label(layer)}${layer.count > 1 ? ` (×${layer.count})` : ''}, ${pass}`,
        `${p.m} × ${p.n} × ${p.k}`,
        (p.operations / 1e9).toFixed(1),
        (p.bytes / 1e6).toFixed(0),
        (p.operations / p.bytes).toFixed(0),
        p.floor.toFixed(1),
        p.tile
          ? `${p.tile.pixels}×${p.tile.channels}, ${p.waves.toFixed(2)}, ${(100 * p.efficiency).toFixed(0)} %`
          : '–',
        `${p.microseconds.toFixed(1)} (${number(p.operations / p.microseconds / 1e6)})`,
        time ? `${(1e6 * time).toFixed(1)} (${number(row.langevin.tflops)})` : unmeasured,
        row?.pytorch?.seconds
          ? `${(1e6 * row.pytorch.seconds).toFixed(1)} (${number(row.pytorch.tflops)})`
          : unmeasured,
      ])
    }
  }
  return table(
    [
      ...[`batch ${batch}`, 'm × n × k', 'GFLOP', 'MB', 'FLOP/byte', 'floor, µs', 'tile, waves, used'],
      ...['predicted, µs (TFLOP/s)', 'measured', 'cuDNN'],
    ],
    lines,
  )
}

const nets = [
  ['wrn-28-10', 64, 'bf16'],
  ['wrn-28-10', 256, 'bf16'],
  ['wrn-16-2', 64, 'bf16'],
  ['wrn-10-1', 64, 'bf16'],
  ['wrn-28-10', 64, 'tf32'],
  ['wrn-28-10', 64, 'fp32'],
]

function stepsTable() {
  const lines = nets.map(([net, batch, precision]) => {
    const p = predictStep(net, batch, precision)
    const row = document?.sgld?.rows.find((r) => r.net === net && r.batch === batch && r.precision === precision)
    const speed = (side) => (side?.imageStepsPerSecond ? number(side.imageStepsPerSecond.median) : unmeasured)
    return [
      `SGLD, ${net.toUpperCase()}, batch ${batch}, ${precision}`,
      `${about(p.imageStepsPerSecond)} image-steps/s (${Number((p.microseconds / 1e3).toPrecision(2))} ms a step)`,
      speed(row?.langevin),
      row?.pytorch?.imageStepsPerSecond ? `${speed(row.pytorch)} (${row.pytorch.mode})` : unmeasured,
      row?.ratio ? `${row.ratio.median.toFixed(2)}×` : '–',
    ]
  })
  const iteration = document?.iteration?.rows.find(({ grows }) => grows === 'nothing')
  const milliseconds = (side) => (side?.seconds ? `${(1e3 * side.seconds).toFixed(1)} ms` : unmeasured)
  lines.push([
    'a JEM iteration, WRN-28-10, batch 64, 20 steps, bf16',
    `${predictIteration('wrn-28-10', 64).milliseconds.toFixed(0)} ms`,
    milliseconds(iteration?.langevin),
    milliseconds(iteration?.pytorch),
    iteration?.ratio ? `${iteration.ratio.toFixed(2)}×` : '–',
  ])
  return table(
    [`on one ${document?.gpu?.name ?? assumed.gpu}`, 'predicted', 'measured', 'fastest PyTorch', 'ratio'],
    lines,
  )
}

/** A run of each recipe at the paper's scale. */
function recipesTable() {
  const rows = recipeNames.map((name) => {
    const { iterationsPerEpoch, iterations, milliseconds, hours } = predictRun(recipeConfig(name))
    const [iteration, epoch, run] = [milliseconds, (milliseconds * iterationsPerEpoch) / 1e3, hours].map((value) =>
      Number(value.toPrecision(2)),
    )
    const predicted = [`${iteration} ms`, `${epoch} s`, `${run} h`]
    return [`\`${name}\``, number(iterationsPerEpoch), number(iterations), ...predicted, unmeasured]
  })
  const heads = ['an iteration', 'an epoch', 'the run'].map((head) => `${head}, predicted`)
  return table(['recipe', 'iterations an epoch', 'iterations', ...heads, 'the run, measured'], rows)
}

function provenance() {
  if (!document) return `No figure of a GPU has been measured yet; \`scripts/gpu.sh\` measures all of them.`
  const { gpu, date, commit, modified, convolutions, sgld, versions } = document
  const pytorch = convolutions?.pytorch ?? sgld?.pytorch
  return (
    `Measured ${date.slice(0, 10)} on ${gpu.name}, driver ${gpu.driver}, commit ${commit}${modified ? ' with changes' : ''}, ` +
    `Node ${versions.node}${pytorch ? `, PyTorch ${pytorch.version}, cuDNN ${pytorch.cudnn}` : ''}, by \`scripts/gpu.sh\`.`
  )
}

const pages = new Pages('bench/gpu/pages.mjs', options.check)
pages.put('docs/images/gpu-roofline.svg', `${rooflinePlot(document)}\n`)
const bars = document?.sgld && ratioBars(document)
if (bars) pages.put('docs/images/gpu-sgld.svg', `${bars}\n`)
const picture = bars ? '\n\n![SGLD against PyTorch](docs/images/gpu-sgld.svg)' : ''
pages.replaceParts('README.md', { gpu: `${stepsTable()}\n\n${provenance()}${picture}` })
pages.replaceParts('docs/kernels.md', {
  'gpu-steps': `${stepsTable()}\n\n${provenance()}`,
  'gpu-convolutions': [convolutionsTable(64), convolutionsTable(256)].join('\n\n'),
})
pages.replaceParts('docs/reproduce.md', { predicted: recipesTable() })
