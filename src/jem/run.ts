import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Dataset } from '../data/dataset.ts'
import { CheckpointError, ConfigError, DivergenceError } from '../errors.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { writeImageGrid } from '../io/grid.ts'
import { lockFolder } from '../io/lock.ts'
import { type EventFile, openEventFile } from '../io/tensorboard.ts'
import type { Device } from '../native/contract.ts'
import { Generator } from '../random/generator.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import {
  type CheckpointMeta,
  type DataDescription,
  hasCheckpoint,
  loadTensors,
  readCheckpoint,
  writeCheckpoint,
} from './checkpoint.ts'
import type { JemConfig } from './config.ts'
import { predict } from './predict.ts'
import { sgld } from './sampler.ts'
import { JemTrainer, type StepMetrics, samplerOptions } from './trainer.ts'

/** The released code's limit on |loss| (train_wrn_ebm.py). */
const lossLimit = 1e8

export interface RunOptions {
  config: JemConfig
  data: Dataset
  /** The data's name or path as it was given, for the checkpoint. */
  source: string
  folder: string
  device: Device
  /** Continue the run in `folder` from its checkpoint. */
  resume?: boolean
  /** Stops after the iteration in progress, with a checkpoint. */
  signal?: AbortSignal
  /** Stops like the signal when it returns true, asked after each iteration. */
  stop?: (step: number) => boolean
  onStep?: (metrics: StepMetrics & { validationAccuracy?: number }, totalSteps: number) => void
  /** One line worth telling: a roll-back, a picture. */
  onMessage?: (message: string) => void
}

export interface RunResult {
  /** Iterations done in all. */
  steps: number
  finished: boolean
  rollbacks: number
}

/** A trainer with everything that its figures say is wrong; undefined while all is well. */
function divergenceOf({ loss, gradientNorm, fSample, fData }: StepMetrics): string | undefined {
  if (!Number.isFinite(loss)) return `the loss is ${loss}`
  if (Math.abs(loss) > lossLimit)
    return `|loss| is ${Math.abs(loss).toExponential(2)}, above ${lossLimit.toExponential(0)}`
  if (!Number.isFinite(gradientNorm)) return `the gradient's norm is ${gradientNorm}`
  if (fSample !== null && !Number.isFinite(fSample)) return `f(samples) is ${fSample}`
  if (fData !== null && !Number.isFinite(fData)) return `f(data) is ${fData}`
  return undefined
}

/**
 * Trains in a run folder: config.json, metrics.jsonl, TensorBoard events, checkpoint.safetensors (and the previous one),
 * samples/. A run that is killed at any moment and resumed ends with the same bits as one that was not.
 * Throws ConfigError (folder exists or is in use, settings), CheckpointError, DivergenceError, OutOfMemoryError.
 */
export async function trainRun(options: RunOptions): Promise<RunResult> {
  const { folder, resume = false } = options
  if (!resume && existsSync(folder) && readdirSync(folder).length > 0) {
    throw new ConfigError(`${folder} exists and is not empty`, {
      hint: 'name another folder with --out, or add --resume',
    })
  }
  // A run that was killed before its first checkpoint starts again.
  const checkpoint = resume && hasCheckpoint(folder) ? readCheckpoint(folder) : undefined
  const trainer = new JemTrainer(options.config, options.data, options.device)
  try {
    const lock = lockFolder(folder)
    try {
      const run = new Run(options, trainer, checkpoint?.meta)
      try {
        if (checkpoint) run.restore(checkpoint.tensors, checkpoint.meta)
        else await run.begin()
        return await run.train()
      } finally {
        run.close()
      }
    } finally {
      lock.release()
    }
  } finally {
    trainer.dispose()
  }
}

class Run {
  private readonly options: RunOptions
  private readonly trainer: JemTrainer
  private readonly description: DataDescription
  private readonly metrics: MetricsFile
  private readonly events: EventFile
  private rollbacks: number

  constructor(options: RunOptions, trainer: JemTrainer, meta: CheckpointMeta | undefined) {
    this.options = options
    this.trainer = trainer
    const { name, height, width, channels, classes, classNames, count } = options.data
    this.description = { source: options.source, name, height, width, channels, classes, classNames, count }
    this.rollbacks = meta?.rollbacks ?? 0
    if (meta && (meta.data.count !== count || meta.data.height !== height || meta.data.channels !== channels)) {
      throw new CheckpointError('the data set is not the one that this run was trained on', {
        hint: `the run used ${meta.data.source} with ${meta.data.count} images`,
      })
    }
    this.metrics = new MetricsFile(join(options.folder, 'metrics.jsonl'), meta?.metricsBytes ?? 0)
    this.events = openEventFile(
      join(options.folder, 'events.out.tfevents.langevin'),
      meta ? { truncateTo: meta.eventsBytes } : {},
    )
  }

  /** The first files of a new run; a checkpoint of step 0 is what a very early divergence rolls back to. */
  async begin(): Promise<void> {
    this.writeConfig()
    await this.checkpoint()
  }

  restore(tensors: Parameters<typeof loadTensors>[1], meta: CheckpointMeta): void {
    loadTensors(this.trainer.tensors(), tensors)
    this.trainer.restore(meta.trainer)
    this.writeConfig()
  }

  private writeConfig(): void {
    const { config, folder } = this.options
    writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify({ config, data: this.description }, null, 2)}\n`)
  }

  async train(): Promise<RunResult> {
    const { trainer, options } = this
    const { config, signal, stop } = options
    const every = (interval: number): boolean => trainer.step % (interval || trainer.stepsPerEpoch) === 0
    // One iteration is enqueued while the figures of the one before are read: the device never waits for JavaScript.
    let pending: Promise<StepMetrics> | undefined
    while (trainer.step < trainer.totalSteps) {
      const next = trainer.iterate()
      next.catch(() => {})
      const before = pending
      pending = next
      if (before && !(await this.record(await before))) {
        pending = undefined
        await next.catch(() => {})
        await this.rollBack()
        continue
      }
      const last = trainer.step === trainer.totalSteps
      const interrupted = signal?.aborted || stop?.(trainer.step)
      const evaluating = config.validationSize > 0 && (every(config.evalEvery) || last)
      if (
        last ||
        interrupted ||
        evaluating ||
        every(config.checkpointEvery) ||
        (config.sampleEvery && every(config.sampleEvery))
      ) {
        pending = undefined
        const extra = evaluating ? await this.validate() : {}
        if (!(await this.record(await next, extra))) {
          await this.rollBack()
          continue
        }
        if (config.sampleEvery > 0 && every(config.sampleEvery)) await this.picture()
        if (last || interrupted || every(config.checkpointEvery)) await this.checkpoint()
        if (interrupted && !last) return { steps: trainer.step, finished: false, rollbacks: this.rollbacks }
      }
    }
    return { steps: trainer.step, finished: true, rollbacks: this.rollbacks }
  }

  /** Writes an iteration's line; false where its figures show divergence. */
  private async record(metrics: StepMetrics, extra: { validationAccuracy?: number } = {}): Promise<boolean> {
    const problem = divergenceOf(metrics)
    if (problem) {
      this.options.onMessage?.(`step ${metrics.step}: training diverged: ${problem}`)
      return false
    }
    if (metrics.step % this.options.config.logEvery === 0 || Object.keys(extra).length > 0) {
      const line = { ...metrics, ...extra }
      this.metrics.write(line)
      const { step, epoch: _, ...values } = line
      const scalars = Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== null)
      this.events.write(step, Object.fromEntries(scalars))
    }
    this.options.onStep?.({ ...metrics, ...extra }, this.trainer.totalSteps)
    return true
  }

  private async validate(): Promise<{ validationAccuracy: number }> {
    const { trainer } = this
    const { logits } = await predict(
      trainer.judged,
      trainer.data,
      (x) => ({ logits: trainer.judged.forward(x).logits }),
      {
        sigma: trainer.config.sigma,
        seed: trainer.config.seed,
        indices: trainer.split.validation,
      },
    )
    const { classes, labels } = trainer.data
    let right = 0
    trainer.split.validation.forEach((image, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes)
      if (row.indexOf(Math.max(...row)) === labels[image]) right++
    })
    return { validationAccuracy: right / trainer.split.validation.length }
  }

  private async checkpoint(): Promise<void> {
    this.metrics.sync()
    this.events.flush()
    await writeCheckpoint(this.options.folder, this.trainer.tensors(), {
      config: this.options.config,
      data: this.description,
      trainer: this.trainer.state(),
      rollbacks: this.rollbacks,
      metricsBytes: this.metrics.bytes,
      eventsBytes: this.events.position,
    })
  }

  /** Back to the last good checkpoint, with other random numbers and a lower learning rate. */
  private async rollBack(): Promise<void> {
    const { config, folder } = this.options
    if (this.rollbacks >= config.maxRollbacks) {
      throw new DivergenceError(`training diverged again after ${this.rollbacks} roll-backs`, {
        hint: 'try a lower --lr, more --sgld-steps, a larger --sigma, or --energy-l2 0.1',
      })
    }
    const { tensors, meta } = readCheckpoint(folder)
    this.rollbacks++
    this.restore(tensors, meta)
    const seed = config.seed + 1_000_003 * this.rollbacks
    this.trainer.reseed(seed)
    this.trainer.scaleLearningRate(config.rollbackLrFactor)
    this.metrics.truncate(meta.metricsBytes)
    this.options.onMessage?.(
      `rolled back to step ${meta.trainer.step} (${this.rollbacks} of ${config.maxRollbacks}): ` +
        `seed ${seed}, learning rate × ${config.rollbackLrFactor}`,
    )
    await this.checkpoint()
  }

  /** A picture of the buffer after one more chain each, which leaves the buffer and the streams of training alone. */
  private async picture(): Promise<void> {
    const { trainer } = this
    const { config, data } = trainer
    const count = Math.min(100, Math.max(1, config.bufferSize))
    const generator = new Generator(config.seed, 'picture')
    const drawn = trainer.buffer.peek(count, generator)
    keep(drawn)
    sgld(trainer.judged, drawn, generator, samplerOptions(config))
    const folder = join(this.options.folder, 'samples')
    mkdirSync(folder, { recursive: true })
    await saveGrid(join(folder, `step-${String(trainer.step).padStart(6, '0')}.png`), drawn, data)
    drawn.dispose()
  }

  close(): void {
    this.metrics.close()
    this.events.close()
  }
}

/** Writes images [count, height, width, channels] in [-1, 1] as a PNG grid. */
export async function saveGrid(
  path: string,
  images: Tensor,
  { height, width, channels }: Pick<Dataset, 'height' | 'width' | 'channels'>,
  columns?: number,
): Promise<void> {
  const pixels = (await images.data()) as Float32Array
  writeImageGrid(path, pixels, {
    count: images.shape[0],
    height,
    width,
    channels: channels as 1 | 3,
    columns,
  })
}

/** metrics.jsonl: appended, cut back to a checkpoint's length on resume. */
class MetricsFile {
  private readonly fd: number
  bytes: number

  constructor(path: string, bytes: number) {
    this.fd = openSync(path, existsSync(path) ? 'r+' : 'w')
    this.bytes = bytes
    ftruncateSync(this.fd, bytes)
  }

  write(line: object): void {
    const text = Buffer.from(`${JSON.stringify(line)}\n`)
    this.bytes += writeSync(this.fd, text, 0, text.length, this.bytes)
  }

  truncate(bytes: number): void {
    ftruncateSync(this.fd, bytes)
    this.bytes = bytes
  }

  sync(): void {
    fsyncSync(this.fd)
  }

  close(): void {
    closeSync(this.fd)
  }
}
