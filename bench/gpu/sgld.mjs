// SGLD image-steps per second of the reference nets, ours against the fastest way to run PyTorch on the same GPU: eager,
// as a CUDA graph, with torch.compile, or both; channels_last, bf16 weights and activations with an f32 image state.
// Ours is the faster of eager and one
// graph of the whole chain. Both warm, then in turns. Ours is timed by the clock around chains that end with the device, PyTorch by CUDA events.
//
// The unit: images × SGLD steps / time; a step is forward, gradient to the images, noisy update.
import {
  capture,
  Generator,
  JemModel,
  keep,
  memory,
  resetPeakMemory,
  sgld,
  synchronize,
  uniform,
  withPrecision,
} from '../../dist/index.js'
import { attempt, log, Results } from '../document.mjs'
import { inTurns, spread } from '../figures.mjs'
import { Kernels } from '../kernels/device.mjs'
import { images, operationsPerImageStep } from '../wide-resnet.mjs'
import { benchOptions, startPyTorch } from './device.mjs'

const options = benchOptions()
const { device, tiny } = options
const rounds = tiny ? 2 : 5
const seconds = tiny ? 0.001 : 0.4
/** Steps of one chain, JEM's 20: what one captured graph holds. */
const chainSteps = tiny ? 2 : 20
const compiled = ['eager', 'graph', 'compile', 'compile, graph']
const plain = ['eager', 'graph']

// The most wanted first: a run that is cut off has them.
const rows = tiny
  ? [
      { net: 'wrn-10-1', batch: 2, precision: 'bf16', modes: ['eager', 'compile'] },
      { net: 'wrn-10-1', batch: 2, precision: 'fp32', modes: ['eager'] },
    ]
  : [
      { net: 'wrn-28-10', batch: 64, precision: 'bf16', modes: compiled },
      { net: 'wrn-28-10', batch: 256, precision: 'bf16', modes: plain },
      { net: 'wrn-16-2', batch: 64, precision: 'bf16', modes: compiled },
      { net: 'wrn-10-1', batch: 64, precision: 'bf16', modes: compiled },
      { net: 'wrn-28-10', batch: 64, precision: 'tf32', modes: plain },
      { net: 'wrn-28-10', batch: 64, precision: 'fp32', modes: plain },
      { net: 'wrn-16-2', batch: 64, precision: 'tf32', modes: plain },
      { net: 'wrn-16-2', batch: 64, precision: 'fp32', modes: plain },
      { net: 'wrn-10-1', batch: 64, precision: 'tf32', modes: plain },
      { net: 'wrn-10-1', batch: 64, precision: 'fp32', modes: plain },
    ]

/** A chain of ours, ready to run; `mode`: eager, or its steps as one graph. */
function openChain({ net, batch, precision, size, channels }) {
  const model = new JemModel({ model: net, classes: 10, channels, device, generator: new Generator(1, 'init') }).eval()
  const x = keep(uniform([batch, size, size, channels], new Generator(2), { low: -1, high: 1, device }))
  const generator = new Generator(3, 'sgld')
  const eager = () =>
    withPrecision(precision, () => sgld(model, x, generator, { steps: chainSteps, stepSize: 1, noiseStd: 0.01 }))
  eager() // makes the weights' copies in bf16, which stay
  synchronize(device)
  const weightBytes = memory(device).liveBytes
  resetPeakMemory(device)
  eager()
  synchronize(device)
  const { peakBytes, scratchBytes } = memory(device)
  let graph
  let chain = eager
  const run = (limit = seconds) => {
    let [done, elapsed] = [0, 0]
    const start = process.hrtime.bigint()
    do {
      chain()
      synchronize(device)
      done += chainSteps
      elapsed = Number(process.hrtime.bigint() - start) / 1e9
    } while (elapsed < limit)
    return { steps: done, seconds: elapsed }
  }
  return {
    run,
    memory: { peakBytes, weightBytes, scratchBytes },
    /** As PyTorch's: the faster of the ways to run it. */
    choose() {
      const times = {}
      const time = (mode) => {
        run(0)
        const { steps, seconds: taken } = run(seconds / 2)
        times[mode] = taken / steps
      }
      time('eager')
      graph = capture(eager, { device, generator })
      chain = () => graph.replay()
      time('graph')
      if (times.eager < times.graph) chain = eager
      return { mode: chain === eager ? 'eager' : 'graph', secondsPerStep: times }
    },
    close() {
      graph?.dispose()
      x.dispose()
      model.dispose()
    },
  }
}

async function measure({ modes, ...row }) {
  const image = tiny ? { size: 8, channels: 3 } : images[row.net]
  const result = { ...row, ...image, operationsPerImageStep: operationsPerImageStep(row.net, image) }
  const figures = (slices) => {
    const speed = spread(slices.map((slice) => (slice.steps * row.batch) / slice.seconds))
    return {
      imageStepsPerSecond: speed,
      msPerStep: (row.batch / speed.median) * 1e3,
      tflops: (speed.median * result.operationsPerImageStep) / 1e12,
    }
  }
  const chain = openChain({ ...row, ...image })
  try {
    let chosen
    if (pytorch) {
      chosen = await attempt(async () => {
        await pytorch.ask('open', { ...row, ...image })
        return pytorch.ask('choose', { seconds: seconds / 2, wanted: modes })
      })
    }
    const ourMode = chain.choose()
    const sides = [() => chain.run()]
    if (chosen && !chosen.error) sides.push(() => pytorch.ask('run', { seconds, steps: chainSteps }))
    const slices = await inTurns(sides, rounds, (side) => side())
    result.langevin = { ...ourMode, ...figures(slices[0]), ...chain.memory }
    if (slices[1]) {
      result.pytorch = { ...chosen, ...figures(slices[1]), ...(await attempt(() => pytorch.ask('peak'))) }
      result.ratio = spread(slices[0].map((s, i) => s.steps / s.seconds / (slices[1][i].steps / slices[1][i].seconds)))
    } else if (chosen) result.pytorch = chosen
  } finally {
    chain.close()
  }
  return result
}

const pytorch = await startPyTorch('sgld', options)
const results = new Results(options.out, { what: 'sgld', chainSteps, level: new Kernels(device).level() })
if (pytorch) results.set('pytorch', pytorch.about)
try {
  for (const row of rows) {
    const result = await attempt(() => measure(row))
    const { modes: _, ...asked } = row
    results.add({ ...asked, ...result })
    const speed = (side) => side?.imageStepsPerSecond?.median.toFixed(0) ?? 'failed'
    log(
      `${row.net}, batch ${row.batch}, ${row.precision}: ${speed(result.langevin)} image-steps/s` +
        (pytorch ? `, PyTorch (${result.pytorch?.mode ?? '–'}) ${speed(result.pytorch)}` : ''),
    )
  }
} finally {
  pytorch?.kill()
}
