// The same seed gives the same bits: SGLD chains and whole JEM iterations, each run twice from the start, in every
// precision; and a chain that was captured as a graph gives those of the eager one.
// Usage: node scripts/gpu/determinism.mjs [--device cuda] [--tiny]
import { createHash } from 'node:crypto'
import { parseArgs } from 'node:util'
import {
  capture,
  defaultConfig,
  Generator,
  JemModel,
  JemTrainer,
  keep,
  sgld,
  uniform,
  withPrecision,
} from '../../dist/index.js'

const { values: options } = parseArgs({
  options: { device: { type: 'string', default: 'cuda' }, tiny: { type: 'boolean', default: false } },
})
const { device, tiny } = options

const size = tiny ? 8 : 32
const nets = tiny ? ['wrn-10-1'] : ['wrn-10-1', 'wrn-16-2', 'wrn-28-10']
const batch = tiny ? 2 : 16
const precisions = ['fp32', 'tf32', 'bf16']

async function digest(tensors) {
  const hash = createHash('sha256')
  for (const x of tensors) hash.update(new Uint8Array((await x.data()).buffer))
  return hash.digest('hex').slice(0, 16)
}

/** Where twice three SGLD steps lead, eager or replayed from a graph. */
async function chainOf(net, precision, captured) {
  const model = new JemModel({
    model: net,
    classes: 10,
    channels: 3,
    device,
    generator: new Generator(1, 'init'),
  }).eval()
  const x = keep(uniform([batch, size, size, 3], new Generator(2), { low: -1, high: 1, device }))
  const generator = new Generator(3, 'sgld')
  const steps = () =>
    withPrecision(precision, () => sgld(model, x, generator, { steps: 3, stepSize: 1, noiseStd: 0.01 }))
  const graph = captured ? capture(steps, { device, generator }) : { replay: steps, dispose: () => {} }
  graph.replay()
  graph.replay()
  const result = await digest([x])
  graph.dispose()
  x.dispose()
  model.dispose()
  return result
}

/** All parameters and the replay buffer after two iterations. */
async function trainingOf(precision) {
  const count = 64
  const images = Uint8Array.from({ length: count * size * size * 3 }, (_, i) => (i * 2_654_435_761) >>> 24)
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10)
  const data = {
    ...{ name: 'made', split: 'train', images, labels, classNames: [...'0123456789'] },
    ...{ count, height: size, width: size, channels: 3, classes: 10 },
  }
  const config = {
    ...defaultConfig,
    ...{ model: 'wrn-10-1', batch: 8, sgldSteps: 3, bufferSize: 40, validationSize: 20, cropPadding: 2, device },
    ...{ precision, samplerPrecision: precision },
  }
  const trainer = new JemTrainer(config, data, device)
  await trainer.iterate()
  await trainer.iterate()
  const result = await digest(trainer.tensors().values())
  trainer.dispose()
  return result
}

let [passed, failed] = [0, 0]
function demand(what, first, second) {
  if (first === second) passed++
  else {
    failed++
    process.stdout.write(`${what}: ${first} and ${second}\n`)
  }
}

for (const precision of precisions) {
  for (const net of nets) {
    const first = await chainOf(net, precision, false)
    demand(`${net}, ${precision}: a chain twice`, first, await chainOf(net, precision, false))
    demand(`${net}, ${precision}: eager and as a graph`, first, await chainOf(net, precision, true))
  }
  demand(`${precision}: training twice`, await trainingOf(precision), await trainingOf(precision))
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exit(failed > 0 ? 1 : 0)
