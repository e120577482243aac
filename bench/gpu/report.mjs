// What gpu.json says, as a page for people: `node bench/gpu/report.mjs FILE.json`. scripts/gpu.sh writes the same.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const whole = (value) => Math.round(value).toLocaleString('en')
const fixed = (digits) => (value) => (Number.isFinite(value) ? value.toFixed(digits) : '–')
const one = fixed(1)
const times = (value) => (Number.isFinite(value) ? `${value.toFixed(2)}×` : '–')

/** A figure, or why there is none. */
const told = (side, format) => (side === undefined ? '–' : side.error ? 'failed' : format(side))

function table(heads, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

/** The whole page, Markdown; sections without results are left out. */
export function reportOf(document) {
  const { steps, convolutions, sgld, iteration, memory } = document
  const parts = [
    heading(document),
    stepsTable(steps),
    convolutions && convolutionsPart(convolutions),
    sgld && sgldPart(sgld),
    iteration && iterationPart(iteration),
    memory && memoryPart(memory),
  ]
  return `${parts.filter(Boolean).join('\n\n')}\n`
}

function heading({ dry, gpu, date, commit, modified, versions, convolutions, sgld, seconds }) {
  const pytorch = convolutions?.pytorch ?? sgld?.pytorch
  const facts = [
    gpu ? `${gpu.name} (${gpu.memory}, limit ${gpu.powerLimit}, up to ${gpu.maximalClock}), driver ${gpu.driver}` : '',
    pytorch ? `PyTorch ${pytorch.version}, CUDA ${pytorch.cuda ?? '–'}, cuDNN ${pytorch.cudnn ?? '–'}` : '',
    `langevin ${versions.langevin}, Node ${versions.node}`,
    `commit ${commit ?? 'unknown'}${modified ? ' with changes' : ''}, ${date.slice(0, 16).replace('T', ' ')} UTC`,
    seconds ? `${seconds} s in all` : '',
  ]
  const title = dry ? '# Dry run: no GPU, tiny sizes; no figure here means anything' : '# langevin on a GPU'
  return `${title}\n\n${facts.filter(Boolean).join('; ')}.`
}

function stepsTable(steps) {
  const clocks = (step) =>
    step.clockMHz ? `${whole(step.clockMHz.median)} (${whole(step.clockMHz.min)}–${whole(step.clockMHz.max)})` : '–'
  const power = (step) => (step.powerW ? `${whole(step.powerW.median)} (${whole(step.powerW.max)})` : '–')
  return table(
    ['step', 'result', 's', 'clock, MHz', 'power, W (most)', ''],
    steps.map((step) => [
      step.name,
      step.status,
      fixed(0)(step.seconds),
      clocks(step),
      power(step),
      (step.detail ?? '').replaceAll('|', '/'),
    ]),
  )
}

function convolutionsPart({ net, precision, level, matrixPeakTflops, rows }) {
  const peak = matrixPeakTflops
  const share = (side) => (peak && side?.tflops ? ` (${Math.round((100 * side.tflops) / peak)} %)` : '')
  const cell = (side) => told(side, ({ tflops }) => `${one(tflops)}${share(side)}`)
  const batches = [...new Set(rows.map(({ batch }) => batch))]
  const tables = batches.map((batch) => {
    const own = rows.filter((row) => row.batch === batch)
    const lines = [...new Set(own.map(({ layer }) => layer))].map((layer) => {
      const passes = ['forward', 'dgrad', 'wgrad'].map((pass) =>
        own.find((row) => row.layer === layer && row.pass === pass),
      )
      return [
        `${layer}${own.find((row) => row.layer === layer).count > 1 ? ` (×${own.find((row) => row.layer === layer).count})` : ''}`,
        ...passes.flatMap((row) => [cell(row?.langevin), cell(row?.pytorch), times(row?.ratio)]),
      ]
    })
    const heads = ['forward', 'to the input', 'to the weight'].flatMap((pass) => [pass, 'cuDNN', 'ratio'])
    return `Batch ${batch}:\n\n${table([`${net}, ${precision}`, ...heads], lines)}`
  })
  const limit = peak ? `, and per cent of the matrix peak, ${one(peak)} TFLOP/s for an 8192³ product of PyTorch's` : ''
  return `## Convolutions\n\nTFLOP/s${limit}. Kernels: ${level}.\n\n${tables.join('\n\n')}`
}

function sgldPart({ rows, chainSteps }) {
  const speed = (side) => told(side, (s) => `${whole(s.imageStepsPerSecond.median)} (${s.mode ?? '–'})`)
  const milliseconds = (side) => told(side, (s) => fixed(2)(s.msPerStep))
  const megabytes = (bytes) => (Number.isFinite(bytes) ? whole(bytes / 1e6) : '–')
  const lines = rows.map((row) => {
    const beyond = row.langevin && row.langevin.peakBytes + row.langevin.scratchBytes - row.langevin.weightBytes
    return [
      `${row.net}, ${row.precision}, batch ${row.batch}`,
      row.error ? 'failed' : speed(row.langevin),
      milliseconds(row.langevin),
      told(row.langevin, (s) => one(s.tflops)),
      speed(row.pytorch),
      milliseconds(row.pytorch),
      row.ratio ? times(row.ratio.median) : '–',
      megabytes(beyond),
    ]
  })
  const heads = ['net', 'image-steps/s', 'ms/step', 'TFLOP/s', 'PyTorch', 'ms/step', 'ratio', 'MB beyond weights']
  return `## SGLD\n\nChains of ${chainSteps} steps; in brackets the way to run it that was fastest.\n\n${table(heads, lines)}`
}

function iterationPart({ rows, precision }) {
  const milliseconds = (side) => told(side, (s) => one(1e3 * s.seconds))
  const lines = rows.map((row) => [
    `${row.net}, batch ${row.batch}, ${row.steps} steps`,
    milliseconds(row.langevin),
    milliseconds(row.pytorch),
    times(row.ratio),
  ])
  const heads = ['a JEM iteration', 'ms', 'PyTorch, ms', 'ratio']
  return `## Iterations\n\n${precision}; SGLD steps, then the train step on three batches.\n\n${table(heads, lines)}`
}

function memoryPart({ rows, copyGBs }) {
  const lines = rows.map((row) => [
    `${row.kernel}, ${row.dtype}`,
    row.error ? 'failed' : whole(row.gbs),
    copyGBs && row.gbs ? `${Math.round((100 * row.gbs) / copyGBs)} %` : '–',
  ])
  const limit = copyGBs ? `; a copy within the device reaches ${whole(copyGBs)} GB/s` : ''
  return `## Kernels bound by memory\n\nGB/s${limit}.\n\n${table(['kernel', 'GB/s', 'of the copy'], lines)}`
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.stdout.write(reportOf(JSON.parse(readFileSync(process.argv[2], 'utf8'))))
}
