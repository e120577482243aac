// Ours, as a competitor of bench/sgld.mjs (protocol: src/cli/peer.ts).
import { createInterface } from 'node:readline'
import {
  Generator,
  inputGradient,
  JemModel,
  keep,
  memory,
  normal,
  resetPeakMemory,
  scope,
  setThreads,
  sgld,
  synchronize,
  toPyTorch,
  uniform,
  writeSafetensors,
} from '../../dist/index.js'
import { nativeDevice } from '../../dist/native/device.js'

const { net, batch, size, channels, classes, threads, stepSize, noiseStd } = JSON.parse(process.argv[2])
setThreads(threads)
const model = new JemModel({ model: net, classes, channels, generator: new Generator(1, 'init') })
const x = keep(uniform([batch, size, size, channels], new Generator(2), { low: -1, high: 1 }))
const generator = new Generator(3, 'sgld')

const commands = {
  /** Weights, an image batch and what we make of it, in PyTorch's layouts: for the check that both compute the same. In
   *  float64: in float32 rounding alone turns a few LeakyReLU signs of a deep net, and the gradients with them. */
  async dump({ path }) {
    const tensors = new Map()
    const exact = new JemModel({ model: net, classes, channels, dtype: 'f64', generator: new Generator(1, 'init') })
    for (const [name, parameter] of exact.stateDict()) tensors.set(name, await toPyTorch(name, parameter))
    const sample = keep(normal([4, size, size, channels], new Generator(4), { dtype: 'f64' }))
    const gradient = scope(() => keep(exact.frozen(() => inputGradient(exact, sample))))
    const host = async (t) => ({ dtype: 'F64', shape: [...t.shape], data: await t.data() })
    tensors.set('check.x', await host(sample)) // NHWC
    tensors.set('check.gradient', await host(gradient))
    writeSafetensors(path, tensors)
    sample.dispose()
    gradient.dispose()
    exact.dispose()
    return {}
  },
  /** SGLD steps for about `seconds`; one call of sgld() is `steps` steps, as a sampler makes them. */
  run({ seconds, steps }) {
    let done = 0
    const start = process.hrtime.bigint()
    let elapsed = 0
    do {
      sgld(model, x, generator, { steps, stepSize, noiseStd })
      synchronize()
      done += steps
      elapsed = Number(process.hrtime.bigint() - start) / 1e9
    } while (elapsed < seconds)
    return { steps: done, seconds: elapsed }
  },
  peak() {
    resetPeakMemory()
    sgld(model, x, generator, { steps: 2, stepSize, noiseStd })
    synchronize()
    const { peakBytes, scratchBytes } = memory()
    return { peakBytes, scratchBytes }
  },
}

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`)
say({ name: 'langevin', isa: nativeDevice('cpu').addon.variant(), threads: nativeDevice('cpu').addon.threads() })
for await (const line of createInterface(process.stdin)) {
  const request = JSON.parse(line)
  try {
    say(await commands[request.do](request))
  } catch (error) {
    say({ error: error.message })
  }
}
