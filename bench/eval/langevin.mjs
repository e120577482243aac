// Ours, as a competitor of bench/eval.mjs (protocol: src/cli/peer.ts): the OOD suite's pass over a set of images.
import { createInterface } from 'node:readline'
import { Generator, JemModel, modelOutputs, setThreads, toPyTorch, writeSafetensors } from '../../dist/index.js'
import { nativeDevice } from '../../dist/native/device.js'

const { net, size, channels, classes, threads, images, batch, sigma } = JSON.parse(process.argv[2])
setThreads(threads)
const model = new JemModel({ model: net, classes, channels, generator: new Generator(1, 'init') }).eval()
const words = new Uint32Array(new Generator(2).words(Math.ceil((images * size * size * channels) / 4)))
const data = {
  ...{
    name: 'noise',
    split: 'test',
    count: images,
    height: size,
    width: size,
    channels,
    classes: 1,
    classNames: ['0'],
  },
  images: new Uint8Array(words.buffer, 0, images * size * size * channels),
  labels: new Uint8Array(images),
}
const judge = (count, noise) =>
  modelOutputs(model, { ...data, count }, { sigma: noise, seed: 3, batch, gradients: true })

const commands = {
  /** Weights, images, and what we make of them without noise, for the check that both compute the same. */
  async dump({ path }) {
    const tensors = new Map()
    for (const [name, parameter] of model.stateDict()) tensors.set(name, await toPyTorch(name, parameter))
    const count = 8
    const { f, gradientNorm } = await judge(count, 0)
    const pixels = Float32Array.from(data.images.subarray(0, count * size * size * channels), (v) => v)
    tensors.set('check.images', { dtype: 'F32', shape: [count, size, size, channels], data: pixels })
    tensors.set('check.f', { dtype: 'F32', shape: [count], data: f })
    tensors.set('check.gradientNorm', { dtype: 'F32', shape: [count], data: gradientNorm })
    writeSafetensors(path, tensors)
    return {}
  },
  /** One pass over the first `count` images. */
  async run({ count }) {
    const start = performance.now()
    await judge(count, sigma)
    return { images: count, seconds: (performance.now() - start) / 1e3 }
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
