import { noGrad } from '../autograd/graph.ts'
import type { Dataset } from '../data/dataset.ts'
import { defaultConfig } from '../jem/config.ts'
import { JemModel } from '../jem/model.ts'
import { sgld } from '../jem/sampler.ts'
import { JemTrainer } from '../jem/trainer.ts'
import type { Device } from '../native/contract.ts'
import type { Precision } from '../ops/precision.ts'
import { uniform } from '../ops/random.ts'
import { Generator } from '../random/generator.ts'
import { type Captured, capture } from '../tensor/capture.ts'
import { scope } from '../tensor/scope.ts'

export const classes = 10
export const stepSize = 1
export const noiseStd = 0.01
/** JEM's chains have so many. */
const stepsOfChain = 20

export interface WorkOptions {
  /** A WideResNet without normalisation. */
  net: string
  /** Height and width of the images (pixels). */
  size: number
  channels: number
  batch: number
  precision: Precision
  /** SGLD steps of an iteration. */
  steps?: number
}

/** Something that a bench repeats. */
export interface Work {
  call(count: number): void | Promise<void>
  /** Repeats of what is timed in one call: the steps of a chain. */
  repeats: number
  /** What one repeat makes: images, image-steps, iterations. */
  made: number
  dispose(): void
}

/** SGLD steps as training makes them; on a GPU a graph of many. On a CPU a small net's chains go through many on one core
 *  before it turns to the next. */
export function sgldWork({ net, size, channels, batch, precision }: WorkOptions, device: Device): Work {
  const generator = new Generator(1)
  const model = new JemModel({ model: net, classes, channels, device, generator }).eval()
  const x = uniform([batch, size, size, channels], generator, { low: -1, high: 1, device })
  let chain: Captured | undefined
  const dispose = () => {
    for (const part of [chain, x, model]) part?.dispose()
  }
  try {
    const steps = device === 'cpu' && model.chainsAtOnce === undefined ? 1 : stepsOfChain
    const once = () => sgld(model, x, generator, { steps, stepSize, noiseStd, precision })
    once() // what is made at the first call, such as copies in bf16, is no part of the graph
    if (device !== 'cpu') chain = capture(once, { device, generator })
    const call = (count: number) => {
      for (let i = 0; i < count; i++) chain ? chain.replay() : once()
    }
    return { call, repeats: steps, made: batch, dispose }
  } catch (error) {
    dispose()
    throw error
  }
}

/** Whole iterations as training makes them, on random images. */
export function iterationWork(options: WorkOptions & { steps: number }, device: Device): Work {
  const { net, size, channels, batch, precision, steps } = options
  const config = {
    ...defaultConfig,
    ...{ model: net, batch, sgldSteps: steps, device, precision, samplerPrecision: precision, validationSize: 100 },
  }
  const trainer = new JemTrainer(config, randomImages({ size, channels, count: Math.max(2048, 2 * batch) }), device)
  return {
    async call(count) {
      for (let i = 0; i < count; i++) await trainer.iterate()
    },
    ...{ repeats: 1, made: 1, dispose: () => trainer.dispose() },
  }
}

/** Logits and f of a batch, both read. */
export function inferenceWork({ net, size, channels, batch }: WorkOptions, device: Device): Work {
  const generator = new Generator(1)
  const model = new JemModel({ model: net, classes, channels, device, generator }).eval()
  const x = uniform([batch, size, size, channels], generator, { low: -1, high: 1, device })
  const once = () => {
    const { logits, f } = model.forward(x)
    logits.dataSync()
    f.dataSync()
  }
  return {
    call(count) {
      for (let i = 0; i < count; i++) scope(() => noGrad(once))
    },
    ...{ repeats: 1, made: batch },
    dispose() {
      x.dispose()
      model.dispose()
    },
  }
}

/** A data set of noise: what an iteration costs does not depend on what the images show. */
export function randomImages({ size, channels, count }: { size: number; channels: number; count: number }): Dataset {
  const images = Uint8Array.from({ length: count * size * size * channels }, () => Math.random() * 256)
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes)
  const classNames = Array.from({ length: classes }, (_, i) => String(i))
  return {
    name: 'random',
    split: 'train',
    images,
    labels,
    classNames,
    count,
    height: size,
    width: size,
    channels,
    classes,
  }
}
