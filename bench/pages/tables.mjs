// Tables of a result of bench/run.mjs. A part that was not measured says so.
import { table } from './markdown.mjs'
import { figure, longName, megabytes, percent, sideOf, speed, times, withSpread } from './rows.mjs'

const unmeasured = (what) => `${what} not measured in this run: \`npm run bench\` does.`
const own = (row) => row.sides[0]

/** SGLD, an iteration and inference: ours, PyTorch's, tfjs's, and the limit. */
export function mainTable({ rows, limits }) {
  const wanted = rows.filter(({ group }) => ['sgld', 'iteration', 'inference'].includes(group))
  const lines = wanted.map((row) => {
    const [pytorch, tfjs] = [sideOf(row, 'pytorch'), sideOf(row, 'tfjs')]
    return [
      longName(row),
      speed(row, own(row)),
      speed(row, pytorch),
      pytorch?.ratio ? times(pytorch.ratio) : '–',
      tfjs ? `${speed(row, tfjs)}` : '–',
      percent(own(row).gflops, limits?.gflops),
      percent(pytorch?.gflops, limits?.gflops),
    ]
  })
  const heads = ['', 'langevin', 'PyTorch', 'ratio', 'tfjs (wasm)', 'langevin, of FMA peak', 'PyTorch, of FMA peak']
  return lines.length > 0 ? table(heads, lines) : unmeasured('Rows were')
}

/** One thread, ours and PyTorch's, and what the other cores bring to ours. */
export function threadsTable({ rows, threads }) {
  const lines = rows
    .filter(({ group }) => group === 'one thread')
    .map((row) => {
      const pytorch = sideOf(row, 'pytorch')
      const all = row.sides.find(({ name, threads: count }) => name === 'langevin' && count > 1)
      // The ratio of one thread to all, turned over.
      const gain = all && { median: 1 / all.ratio.median, min: 1 / all.ratio.max, max: 1 / all.ratio.min }
      return [
        longName(row),
        speed(row, own(row)),
        speed(row, pytorch),
        pytorch ? times(pytorch.ratio) : '–',
        speed(row, all),
        gain ? times(gain) : '–',
      ]
    })
  const heads = ['one thread', 'langevin', 'PyTorch', 'ratio', `langevin, ${threads} threads`, 'as fast as with one']
  return lines.length > 0 ? table(heads, lines) : unmeasured('One thread was')
}

export function avx2Table({ rows }) {
  const lines = rows
    .filter(({ group }) => group === 'avx2')
    .map((row) => {
      const pytorch = sideOf(row, 'pytorch')
      return [longName(row), speed(row, own(row)), speed(row, pytorch), pytorch ? times(pytorch.ratio) : '–']
    })
  return lines.length > 0 ? table(['both held to AVX2', 'langevin', 'PyTorch', 'ratio'], lines) : unmeasured('AVX2 was')
}

/** A sentence: the most that is resident in one step. */
export function memoryLine({ memory }) {
  if (!memory) return unmeasured('Memory was')
  const { net, batch, langevin, pytorch, ratio } = memory
  const sentence =
    `Peak memory of an SGLD step of ${net.toUpperCase()}, batch ${batch}, beyond the parameters ` +
    `(${megabytes(langevin.parameterBytes)}): langevin ${megabytes(langevin.beyondBytes)}`
  return pytorch
    ? `${sentence}, PyTorch ${megabytes(pytorch.beyondBytes)}, ${ratio.toFixed(1)} times as much.`
    : `${sentence}.`
}

/** GFLOP/s and per cent of the FMA peak of every convolution with at least 32 channels on both sides. */
export function convolutionsTable({ kernels, limits }) {
  if (!kernels) return unmeasured('Kernels were')
  const wide = kernels.convolutions.filter(({ cin, cout }) => Math.min(cin, cout) >= 32)
  const cell = (row) => {
    if (!row) return '–' // a shortcut's forward pass is part of its convolution's
    const gflops = row.operations / row.seconds / 1e9
    return `${figure(gflops)}${limits ? ` (${percent(gflops, limits.gflops)})` : ''}`
  }
  const nameOf = ({ net, batch, layer }) => `${net.toUpperCase()}, batch ${batch}: ${layer}`
  const lines = [...new Set(wide.map(nameOf))].map((name) => [
    name,
    ...['forward', 'dgrad', 'wgrad'].map((pass) => cell(wide.find((row) => nameOf(row) === name && row.pass === pass))),
  ])
  return table(['GFLOP/s (of FMA peak)', 'forward', 'to the input', 'to the weight'], lines)
}

/** GB/s of every kernel that is bound by memory, and of a copy that took turns with it. */
export function elementwiseTable({ kernels }) {
  if (!kernels) return unmeasured('Kernels were')
  const lines = kernels.elementwise.map(({ kernel, bytes, seconds, copyGBs }) => {
    const gbs = bytes / seconds / 1e9
    return [kernel, figure(gbs), copyGBs ? figure(copyGBs) : '–', percent(gbs, copyGBs)]
  })
  return table(['f32', 'GB/s', 'a copy in turns', 'of the copy'], lines)
}

/** The OOD suite's passes (logits, f and its gradient's norm), of bench/eval.mjs. */
export function judgingTable({ rows }) {
  const seconds = (side) => {
    if (!side || side.skipped) return '–'
    const { median, min, max } = side.secondsPerPass
    return `${figure(median)} s (${figure(min)}–${figure(max)})`
  }
  return table(
    ['logits, log p(x) and ‖∂log p/∂x‖ of', 'langevin', 'PyTorch', 'ratio'],
    rows.map(({ net, size, channels, images, ratio, ...sides }) => [
      `${images.toLocaleString('en')} images of ${size}×${size}×${channels}, ${net.toUpperCase()}`,
      seconds(sides.langevin),
      seconds(sides.pytorch),
      ratio ? `**${ratio.median.toFixed(2)}×** (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})` : '–',
    ]),
  )
}

/** What the metrics and the report take, and where all of it was measured. */
export function judgingTimes({ numbers, rows, rounds, cpu, date, commit, loadAtStart }) {
  const times = Object.entries(numbers).map(([what, { median }]) => `${what}: ${figure(median)} s`)
  const pytorch = rows.find((row) => row.pytorch?.version)?.pytorch
  return (
    `${times.join('; ')}. Median (lowest–highest) of ${rounds} rounds in turns, ${rows[0].threads} threads, ${cpu}, ` +
    `${date.slice(0, 10)}, commit ${commit}, load ${loadAtStart} before the start` +
    `${pytorch ? `; PyTorch ${pytorch.version}, the faster of its layouts` : ''}.`
  )
}

export function scalingTable({ scaling }) {
  if (!scaling) return unmeasured('Scaling was')
  const speedOf = (side) => (side ? withSpread(side) : '–')
  const lines = scaling.curves.flatMap(({ grows, points }) =>
    points.map(({ value, langevin, pytorch }) => [
      `${grows} ${value}`,
      speedOf(langevin),
      speedOf(pytorch),
      pytorch ? `${(langevin.median / pytorch.median).toFixed(2)}×` : '–',
    ]),
  )
  return table(['image-steps/s', 'langevin', 'PyTorch', 'ratio'], lines)
}

/** Machine, versions, date, commit, method. */
export function provenance(document, path) {
  const { rows, limits, cpu, cores, threads, date, commit, modified, versions, rounds, secondsPerSlice } = document
  const { quick, loadAtStart, missing, oneDnnIsa, totalSeconds } = document
  const sides = rows.flatMap((row) => row.sides)
  const version = (name) => sides.find((side) => side.name === name && side.version)?.version
  const [pytorch, tfjs] = [version('pytorch'), version('tfjs')]
  const parts = [
    `Median (lowest–highest) of ${rounds} slices of ${secondsPerSlice} s in turns, ${threads} threads${tfjs ? ' (tfjs: 1)' : ''}, ` +
      `${date.slice(0, 10)}, commit ${commit}${modified ? ' with changes' : ''}` +
      `${quick ? ', a quick run' : ''}` +
      `${loadAtStart > 0.5 ? `, on a machine that was not quiet (load ${loadAtStart})` : ''}.`,
    `${cpu}, ${cores} cores; langevin ${versions.langevin} (${sides[0]?.isa}), Node ${versions.node}, g++ ${versions.gxx}` +
      `${pytorch ? `; PyTorch ${pytorch}${oneDnnIsa?.usual ? ` (oneDNN: ${oneDnnIsa.usual})` : ''}, the fastest of its modes` : ''}` +
      `${tfjs ? `; tfjs ${tfjs}` : ''}.`,
    limits &&
      `FMA peak ${limits.gflops} GFLOP/s and copy ${limits.copyGBs} GB/s (bytes read and written), measured in the same run; ` +
        'operations are counted as direct convolutions do them.',
    ...(missing ?? []).map((line) => `${line}.`),
    `${totalSeconds ? `${Math.round(totalSeconds / 60)} minutes in all. ` : ''}Data: [${path}](PATH).`,
  ]
  return parts.filter(Boolean).join(' ')
}
