// What the sampler gains and loses in bf16 on the CPU: SGLD steps and single convolutions beside f32 in turns, and the
// errors of energies, gradients and final samples of a trained run.
//
//   node bench/bf16.mjs [sgld] [layers] [errors] [--run FOLDER] [--rounds N] [--seconds S] [--out FILE.json]
//
// Without names all parts are measured. --run is the folder of a trained run, whose checkpoint is only read: errors need
// one. --out keeps the other parts that the file has.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import {
  Generator,
  inputGradient,
  instructionSet,
  JemModel,
  loadDataset,
  loadRun,
  noGrad,
  predict,
  scope,
  setInstructionSet,
  setThreads,
  sgld,
  synchronize,
  tensor,
  uniform,
  withPrecision,
} from '../dist/index.js'
import { inTurns, spread } from './figures.mjs'
import { prepareConvolution } from './kernels/convolution.mjs'
import { Kernels } from './kernels/device.mjs'
import { describeMachine } from './machine.mjs'
import { distinctConvolutions, images, label, passesOf, passOf } from './wide-resnet.mjs'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    run: { type: 'string' },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '1' },
    out: { type: 'string' },
  },
})
const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)]
const log = (line) => process.stderr.write(`${line}\n`)
const best = instructionSet()
const sampling = { stepSize: 1, noiseStd: 0.01 }

/** f32; bf16 with its products; bf16 widened to f32 before it is multiplied, as on a CPU without such products. */
const kinds = [
  { kind: 'f32', precision: 'fp32', dtype: 'f32', isa: best },
  { kind: 'bf16', precision: 'bf16', dtype: 'bf16', isa: best },
  ...(best === 'avx512bf16' ? [{ kind: 'bf16 widened', precision: 'bf16', dtype: 'bf16', isa: 'avx512' }] : []),
]
const using = ({ isa }, fn) => {
  setInstructionSet(isa)
  try {
    return fn()
  } finally {
    setInstructionSet(best)
  }
}
const named = (values) => Object.fromEntries(kinds.map(({ kind }, i) => [kind, values[i]]))

/** Image-steps per second of chains, the kinds in turns. */
async function speed(net, batch, steps) {
  const generator = new Generator(1)
  const { size, channels } = images[net]
  const model = new JemModel({ model: net, classes: 10, channels, generator }).eval()
  const x = uniform([batch, size, size, channels], generator, { low: -1, high: 1 })
  const chain = (kind) =>
    using(kind, () => {
      sgld(model, x, generator, { ...sampling, steps, precision: kind.precision })
      synchronize()
    })
  kinds.forEach(chain)
  const slices = await inTurns(kinds, rounds, (kind) => {
    const start = performance.now()
    let chains = 0
    do {
      chain(kind)
      chains++
    } while (performance.now() - start < 1000 * seconds)
    return (1000 * chains * steps * batch) / (performance.now() - start)
  })
  x.dispose()
  model.dispose()
  const ratio = spread(slices[1].map((value, i) => value / slices[0][i]))
  log(`${net}: bf16 ${ratio.median.toFixed(2)} times f32 (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`)
  return { net, batch, imageStepsPerSecond: named(slices.map(spread)), ratio }
}

/** Milliseconds of every distinct convolution, forward and to the input, on one thread. */
async function layers(net, batch) {
  const kernels = new Kernels('cpu')
  setThreads(1)
  const rows = []
  for (const layer of distinctConvolutions(net, images[net])) {
    for (const pass of passesOf(layer).filter((name) => name !== 'wgrad')) {
      const calls = kinds.map((kind) => ({
        ...kind,
        ...prepareConvolution(kernels, layer, { batch, pass, dtype: kind.dtype }),
      }))
      const slices = await inTurns(calls, 2, (made) =>
        using(made, () => Math.min(...kernels.repeated(made.call, 0.03))),
      )
      for (const { handles } of calls) kernels.free(...handles)
      const milliseconds = named(slices.map((times) => 1000 * Math.min(...times)))
      const gigaflops = passOf(layer, pass, batch).operations / milliseconds.bf16 / 1e6
      rows.push({ net, layer: label(layer), pass, count: layer.count, milliseconds, gigaflops })
    }
  }
  setThreads(0)
  return rows
}

const norm = (values) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0))
const difference = (a, b) => a.map((v, i) => v - b[i])
const rms = (values) => norm(values) / Math.sqrt(values.length)
const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length
const deviation = (values) => rms(values.map((v) => v - mean(values)))

/** f of test images, its gradient, and chains of 20 and 100 steps: how far each kind is from f32, and how far another seed is. */
async function errors(folder) {
  const { model, data, step } = loadRun(folder)
  const test = loadDataset(data.source.replace(/:train$/, ''), { split: 'test' })
  const shape = [256, test.height, test.width, test.channels]
  const indices = Int32Array.from({ length: Math.min(1000, test.count) }, (_, i) => i)
  const energies = (kind) => {
    setInstructionSet(kind.isa)
    return predict(model, test, (x) => withPrecision(kind.precision, () => ({ f: model.forward(x).f })), {
      sigma: 0,
      indices,
    })
  }
  const pixels = Float32Array.from(
    test.images.subarray(
      0,
      shape.reduce((a, b) => a * b),
    ),
    (v) => v / 127.5 - 1,
  )
  const gradient = (kind) =>
    using(kind, () =>
      scope(() => {
        const x = tensor(pixels, { shape })
        return withPrecision(kind.precision, () => model.frozen(() => inputGradient(model, x).dataSync().slice()))
      }),
    )
  const chains = (kind, steps, seed) => {
    const x = uniform(shape, new Generator(3), { low: -1, high: 1 })
    using(kind, () => sgld(model, x, new Generator(seed, 'sgld'), { ...sampling, steps, precision: kind.precision }))
    const f = scope(() => noGrad(() => model.forward(x).f.dataSync().slice()))
    const samples = x.dataSync().slice()
    x.dispose()
    return { samples, f }
  }
  const exact = { f: (await energies(kinds[0])).f, gradient: gradient(kinds[0]) }
  const result = { run: { model: model.options.model, data: data.name, step }, spreadOfF: deviation(exact.f) }
  for (const kind of kinds.slice(1)) {
    const off = difference((await energies(kind)).f, exact.f)
    const gradientError = norm(difference(gradient(kind), exact.gradient)) / norm(exact.gradient)
    result[kind.kind] = {
      f: { rms: rms(off), mean: mean(off), ofSpread: rms(off) / result.spreadOfF },
      gradient: gradientError,
    }
  }
  setInstructionSet(best)
  result.samples = [20, 100].map((steps) => {
    const reference = chains(kinds[0], steps, 5)
    const compared = [...kinds.slice(1).map((kind) => [kind.kind, kind, 5]), ['f32, another seed', kinds[0], 6]]
    return {
      steps,
      f: { mean: mean(reference.f), deviation: deviation(reference.f) },
      ...Object.fromEntries(
        compared.map(([name, kind, seed]) => {
          const { samples, f } = chains(kind, steps, seed)
          const pixelRms = 127.5 * rms(difference(samples, reference.samples))
          return [
            name,
            { pixelRms, f: { mean: mean(f), deviation: deviation(f) }, fRms: rms(difference(f, reference.f)) },
          ]
        }),
      ),
    }
  })
  model.dispose()
  return result
}

/** Net, batch, and the steps of a chain: many for small nets, of which a core then keeps a few images. */
const nets = [
  ['wrn-10-1', 64, 20],
  ['wrn-16-2', 64, 10],
  ['wrn-28-10', 8, 2],
]
const parts = {
  async sgld() {
    const rows = []
    for (const row of nets) rows.push(await speed(...row))
    return { rounds, seconds, rows }
  },
  async layers() {
    const rows = []
    for (const [net, batch] of nets) rows.push(...(await layers(net, batch)))
    return { threads: 1, rows }
  },
  errors: () => errors(options.run),
}
const wanted = positionals.length > 0 ? positionals : options.run ? Object.keys(parts) : ['sgld', 'layers']
const unknown = wanted.find((name) => !(name in parts))
if (unknown) throw new Error(`no part ${unknown}: ${Object.keys(parts).join(', ')}`)
if (wanted.includes('errors') && !options.run) throw new Error('errors are measured on a trained run: --run FOLDER')

const document = options.out && existsSync(options.out) ? JSON.parse(readFileSync(options.out, 'utf8')) : {}
for (const part of wanted) {
  document[part] = { machine: describeMachine(), instructionSet: best, ...(await parts[part]()) }
}
const text = `${JSON.stringify(document, null, 2)}\n`
if (options.out) {
  mkdirSync(dirname(options.out), { recursive: true })
  writeFileSync(options.out, text)
} else {
  process.stdout.write(text)
}
