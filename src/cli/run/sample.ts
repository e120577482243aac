import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { noGrad } from '../../autograd/graph.ts'
import { conversionTo } from '../../data/convert.ts'
import { CheckpointError, ConfigError, DataError } from '../../errors.ts'
import { checkedTraining } from '../../eval/evaluation.ts'
import { startingImages, startNames } from '../../eval/samples/startingImages.ts'
import { writeImageGrid } from '../../io/grid.ts'
import type { LoadedRun } from '../../jem/loadRun.ts'
import { sgld } from '../../jem/sampler.ts'
import { samplerOptions } from '../../jem/trainer.ts'
import type { Device } from '../../native/contract.ts'
import { argmax } from '../../ops/reduce.ts'
import { Generator } from '../../random/generator.ts'
import { tensor, zeros } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { SampleOptions } from '../commands/sample.ts'
import type { CliContext } from '../context.ts'
import { openDevice } from '../device.ts'
import { loadData } from '../load-data.ts'
import { openRun } from '../load-run.ts'
import { slowProgress } from '../slow-progress.ts'

/** Images that are sampled at once. */
const batch = 100

/** Langevin steps from noise: the released code's advice for its own unconditional samples ("1000 minimum"). */
const freshSteps = 1000

/** Steps that are enqueued before Ctrl-C and the progress line are looked at. */
const slice = 5

/** As the released code's `uncond_samples` and `cond_samples`: from noise, or from the buffer, of which a class takes the
 *  samples that the model itself assigns to it. Given a class, the chains climb f(x)[class]. */
export async function runSample(options: SampleOptions, context: CliContext): Promise<void> {
  const { n, source, out } = options
  expectWritable(out)
  const device = openDevice(options, context.stderr)
  const run = openRun(options.run, device, context)
  try {
    const { config, data } = run
    if (options.class !== undefined && options.class >= data.classes) {
      const named = data.classNames.some((name, k) => name !== String(k))
      throw new ConfigError(`--class must be 0..${data.classes - 1}, got ${options.class}`, {
        hint: named ? data.classNames.map((name, k) => `${k}: ${name}`).join(', ') : undefined,
      })
    }
    const generator = new Generator(options.seed, 'picture')
    const chosen = source === 'buffer' ? await fromBuffer(run, options, generator, context) : undefined
    const start = chosen ? bufferImages(run, chosen) : await freshImages(run, options, generator, context)
    const count = chosen ? chosen.length : n
    const steps = options.steps ?? (chosen ? config.sgldSteps : freshSteps)
    const { images, strays } = await chains(run, { ...options, device, start, count, steps, generator }, context)
    writeImageGrid(out, images, {
      count,
      height: data.height,
      width: data.width,
      channels: data.channels as 1 | 3,
    })
    if (strays > 0) context.stderr.write(`notice: ${strays} of ${count} images hold NaN or infinite values\n`)
    const given = options.class === undefined ? '' : ` of class ${options.class} (${data.classNames[options.class]})`
    context.stdout.write(
      `${out}: ${count} images${given} from ${source === 'buffer' ? 'the replay buffer' : startNames[config.chainStart]}, ${steps} steps, ` +
        `step ${run.step} of the run, ${run.weights} weights\n`,
    )
  } finally {
    run.model.dispose()
  }
}

/** Told before any time is spent. */
function expectWritable(out: string): void {
  const folder = dirname(out)
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new DataError(`cannot write ${out}: there is no folder ${folder}`, { hint: 'make the folder first' })
  }
  if (statSync(out, { throwIfNoEntry: false })?.isDirectory()) {
    throw new DataError(`cannot write ${out}: it is a folder`, { hint: 'name a file, such as samples.png' })
  }
}

/** Indices of the samples of the buffer to start from. Throws CheckpointError. */
async function fromBuffer(
  run: LoadedRun,
  { n, class: wanted }: SampleOptions,
  generator: Generator,
  context: CliContext,
): Promise<Int32Array> {
  const size = run.buffer.length / pixelsOf(run)
  if (size === 0) {
    throw new CheckpointError('this run kept no replay buffer', { hint: 'sample from noise: --fresh' })
  }
  if (wanted === undefined) {
    if (n > size) context.stderr.write(`notice: the replay buffer holds only ${size} samples\n`)
    return generator.permutation(size).slice(0, n)
  }
  const classes = await classesOfBuffer(run, size, context)
  const those = generator.permutation(size).filter((i) => classes[i] === wanted)
  if (those.length === 0) {
    throw new CheckpointError(`the model takes none of the ${size} samples of the replay buffer for class ${wanted}`, {
      hint: 'sample from noise: --fresh',
    })
  }
  if (those.length < n) {
    context.stderr.write(`notice: the replay buffer holds only ${those.length} samples of class ${wanted}\n`)
  }
  return those.slice(0, n)
}

/** argmax of the logits of every sample of the buffer. */
async function classesOfBuffer(run: LoadedRun, size: number, { stderr, signal }: CliContext): Promise<Int32Array> {
  const all = new Int32Array(size)
  const progress = slowProgress({ stream: stderr, total: size, label: 'classify the buffer' })
  for (let start = 0; start < size; start += batch) {
    signal.throwIfAborted()
    const count = Math.min(batch, size - start)
    const indices = Int32Array.from({ length: count }, (_, i) => start + i)
    const shape = [count, run.data.height, run.data.width, run.data.channels]
    const classes = scope(() => {
      const x = tensor(bufferImages(run, indices), { shape, device: run.model.parameters()[0].device })
      return noGrad(() => argmax(run.model.forward(x).logits))
    })
    all.set((await classes.data()) as Int32Array, start)
    classes.dispose()
    progress.update(start + count)
  }
  progress.finish()
  return all
}

interface ChainOptions {
  device: Device
  class?: number
  /** Where the chains start, pixels of `count` images. */
  start: Float32Array
  count: number
  steps: number
  generator: Generator
}

/** Runs the chains batch by batch. */
async function chains(
  run: LoadedRun,
  options: ChainOptions,
  { stderr, signal }: CliContext,
): Promise<{ images: Float32Array; strays: number }> {
  const { count, steps, generator, device } = options
  const pixels = pixelsOf(run)
  const images = new Float32Array(count * pixels)
  const progress = slowProgress({ stream: stderr, total: Math.ceil(count / batch) * steps, label: 'sample' })
  let strays = 0
  let stepsDone = 0
  for (let first = 0; first < count; first += batch) {
    const here = Math.min(batch, count - first)
    const { height, width, channels } = run.data
    const values = options.start.subarray(first * pixels, (first + here) * pixels)
    const x = keep(tensor(values, { shape: [here, height, width, channels], device }))
    const labels =
      options.class === undefined ? undefined : keep(tensor(new Int32Array(here).fill(options.class), { device }))
    try {
      for (let done = 0; done < steps; done += slice) {
        signal.throwIfAborted()
        const now = Math.min(slice, steps - done)
        sgld(run.model, x, generator, { ...samplerOptions(run.config), steps: now, labels })
        await passed(device)
        stepsDone += now
        progress.update(stepsDone, stepsDone * batch)
      }
      const values = (await x.data()) as Float32Array
      for (let i = 0; i < here; i++) {
        if (!values.subarray(i * pixels, (i + 1) * pixels).every(Number.isFinite)) strays++
      }
      images.set(values, first * pixels)
    } finally {
      x.dispose()
      labels?.dispose()
    }
  }
  progress.finish()
  return { images, strays }
}

/** Waits, with the event loop free, until everything enqueued has run. */
async function passed(device: Device): Promise<void> {
  const mark = zeros([1], { device })
  await mark.data().finally(() => mark.dispose())
}

/** The pixels of these samples of the buffer. */
function bufferImages(run: LoadedRun, indices: Int32Array): Float32Array {
  const pixels = pixelsOf(run)
  const values = new Float32Array(indices.length * pixels)
  for (const [place, i] of indices.entries()) {
    values.set(run.buffer.subarray(i * pixels, (i + 1) * pixels), place * pixels)
  }
  return values
}

/** The pixels of images where the run's chains start; of a class, where that class's start. Throws DataError where the
 *  training images are needed and are gone. */
async function freshImages(
  run: LoadedRun,
  { n, class: wanted }: SampleOptions,
  generator: Generator,
  context: CliContext,
): Promise<Float32Array> {
  const training = () => {
    const source = loadData(run.data.source, { split: 'train', ...conversionTo(run.data) }, context)
    return checkedTraining(source, run)
  }
  const labels = wanted === undefined ? undefined : new Int32Array(n).fill(wanted)
  return (await startingImages(run, training, n, generator, labels)).pixels
}

function pixelsOf({ data: { height, width, channels } }: LoadedRun): number {
  return height * width * channels
}
