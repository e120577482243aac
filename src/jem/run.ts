import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Dataset } from '../data/dataset.ts'
import { CheckpointError, ConfigError, DataError, DivergenceError } from '../errors.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { discard } from '../io/discard.ts'
import { fileError } from '../io/file-error.ts'
import { writeImageGrid } from '../io/grid.ts'
import { type FolderLock, isFolderUnused, lockFolder, refuseFolderInUse } from '../io/lock.ts'
import { type EventFile, openEventFile } from '../io/tensorboard.ts'
import type { Device } from '../native/contract.ts'
import { Generator } from '../random/generator.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import {
  type Checkpoint,
  type CheckpointMeta,
  type DataDescription,
  describeData,
  hasCheckpoint,
  hasPreviousCheckpoint,
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

/** The files of a run folder beside its checkpoints. */
const files = {
  config: 'config.json',
  metrics: 'metrics.jsonl',
  events: 'events.out.tfevents.langevin',
  /** There where the run was given up, until it is resumed. */
  diverged: 'diverged.json',
}

/**
 * Trains in a run folder: config.json, metrics.jsonl, TensorBoard events, checkpoint.safetensors (and the previous one),
 * samples/. A run that is killed at any moment and resumed ends with the same bits as one that was not. A run that fails
 * before its first checkpoint leaves nothing behind.
 * Throws ConfigError (folder exists or is in use, settings), CheckpointError, DataError (a full disk),
 * DivergenceError, OutOfMemoryError.
 */
export async function trainRun(options: RunOptions): Promise<RunResult> {
  const { folder, resume = false } = options
  if (existsSync(folder)) {
    refuseFolderInUse(folder)
    if (!resume && !isFolderUnused(folder)) {
      throw new ConfigError(`${folder} exists and is not empty`, {
        hint: 'name another folder with --out, or add --resume',
      })
    }
  }
  const trainer = new JemTrainer(options.config, options.data, options.device)
  try {
    return await inFolder(folder, (created) => new Run(options, trainer).run(created))
  } finally {
    trainer.dispose()
  }
}

/** Makes the folder, where it is missing, and runs `fn` while this process holds it. `fn` gets a function that removes
 *  the folder again if it was made here. */
async function inFolder<R>(folder: string, fn: (removeCreated: () => void) => Promise<R>): Promise<R> {
  let created: string | undefined
  try {
    created = mkdirSync(folder, { recursive: true })
  } catch (error) {
    throw fileError('make', folder, error)
  }
  let lock: FolderLock
  try {
    lock = lockFolder(folder)
  } catch (error) {
    if (created) discard(created)
    throw error
  }
  try {
    return await fn(() => {
      if (created) discard(created)
    })
  } finally {
    lock.release()
  }
}

class Run {
  private readonly options: RunOptions
  private readonly trainer: JemTrainer
  private readonly description: DataDescription
  private metrics!: MetricsFile
  private events!: EventFile
  private rollbacks = 0
  /** Whether an iteration has gone well since the newest checkpoint: that one's weights are then known to be sound. */
  private isCheckpointSound = false
  /** Whether the newest checkpoint was due. */
  private isCheckpointDue = true

  constructor(options: RunOptions, trainer: JemTrainer) {
    this.options = options
    this.trainer = trainer
    this.description = describeData(options.source, options.data)
  }

  async run(removeCreated: () => void): Promise<RunResult> {
    const { folder, resume } = this.options
    try {
      // A run that was killed before its first checkpoint starts again.
      if (resume && hasCheckpoint(folder)) this.resume(readCheckpoint(folder))
      else await this.begin(removeCreated)
      rmSync(this.path(files.diverged), { force: true })
      return await this.train()
    } finally {
      this.metrics?.close()
      this.events?.close()
    }
  }

  private path(name: string): string {
    return join(this.options.folder, name)
  }

  /** The first files of a new run; a checkpoint of step 0 is what a very early divergence rolls back to. */
  private async begin(removeCreated: () => void): Promise<void> {
    try {
      this.writeConfig()
      rmSync(this.path(files.events), { force: true }) // begun by a run that was killed before its first checkpoint
      this.metrics = new MetricsFile(this.path(files.metrics), 0)
      this.events = openEventFile(this.path(files.events))
      await this.checkpoint()
    } catch (error) {
      for (const name of Object.values(files)) discard(this.path(name))
      removeCreated()
      throw error
    }
  }

  private resume({ tensors, meta, warnings }: Checkpoint): void {
    const { crc32, name, count, height, width, channels, classes } = this.description
    if (crc32 !== meta.data.crc32 || classes !== meta.data.classes) {
      const size = (d: DataDescription) => `${d.count} images of ${d.height}×${d.width}×${d.channels}`
      throw new CheckpointError(
        `the run was trained on ${meta.data.source} (${size(meta.data)}), ${name} ` +
          `(${count} images of ${height}×${width}×${channels}) is other data`,
        { hint: 'resume without --data, or with the same data' },
      )
    }
    for (const warning of warnings) this.options.onMessage?.(`notice: ${warning}`)
    this.restore(tensors, meta)
    this.metrics = new MetricsFile(this.path(files.metrics), meta.metricsBytes)
    this.events = openEventFile(this.path(files.events), { truncateTo: meta.eventsBytes })
    this.writeConfig()
  }

  private restore(tensors: Checkpoint['tensors'], meta: CheckpointMeta): void {
    loadTensors(this.trainer.tensors(), tensors)
    this.trainer.restore(meta.trainer)
    this.rollbacks = meta.rollbacks
    this.isCheckpointSound = false
    this.isCheckpointDue = meta.due
  }

  private writeConfig(): void {
    const { config } = this.options
    const { stepsPerEpoch, totalSteps } = this.trainer
    const text = `${JSON.stringify({ config, data: this.description, stepsPerEpoch, totalSteps }, null, 2)}\n`
    writeFileAtomic(this.path(files.config), text)
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
        const due = every(config.checkpointEvery)
        if (last || interrupted || due) await this.checkpoint({ due })
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
    this.isCheckpointSound = true
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

  /** A checkpoint that was not due never becomes the previous one. */
  private async checkpoint({ due = true, dropCurrent = !this.isCheckpointDue } = {}): Promise<void> {
    this.metrics.sync()
    this.events.flush()
    const meta = {
      config: this.options.config,
      data: this.description,
      trainer: this.trainer.state(),
      rollbacks: this.rollbacks,
      due,
      metricsBytes: this.metrics.bytes,
      eventsBytes: this.events.position,
    }
    await writeCheckpoint(this.options.folder, this.trainer.tensors(), meta, { dropCurrent })
    this.isCheckpointSound = false
    this.isCheckpointDue = due
  }

  /** Back to the last good checkpoint that was due, with other random numbers and a lower learning rate. The newest is not
   *  good where the very next iteration diverged: it then holds what went wrong, and the one before is taken. */
  private async rollBack(): Promise<void> {
    const { config, folder } = this.options
    if (this.rollbacks >= config.maxRollbacks) {
      const when = { step: this.trainer.step, rollbacks: this.rollbacks }
      writeFileAtomic(this.path(files.diverged), `${JSON.stringify(when)}\n`)
      throw new DivergenceError(
        this.rollbacks === 0
          ? 'training diverged, and no roll-back is allowed'
          : `training diverged again after ${this.rollbacks} roll-backs`,
        { hint: 'try a lower --lr, more --sgld-steps, a larger --sigma, or --energy-l2 0.1' },
      )
    }
    const rollbacks = this.rollbacks + 1
    const dropCurrent = !(this.isCheckpointSound && this.isCheckpointDue) && hasPreviousCheckpoint(folder)
    const { tensors, meta } = readCheckpoint(folder, { previous: dropCurrent })
    this.restore(tensors, meta)
    this.rollbacks = rollbacks
    const seed = config.seed + 1_000_003 * rollbacks
    this.trainer.reseed(seed)
    // One factor for each roll-back that this checkpoint has not seen.
    this.trainer.scaleLearningRate(config.rollbackLrFactor ** (rollbacks - meta.rollbacks))
    this.metrics.truncate(meta.metricsBytes)
    this.options.onMessage?.(
      `rolled back to step ${meta.trainer.step} (${rollbacks} of ${config.maxRollbacks}): ` +
        `seed ${seed}, learning rate × ${config.rollbackLrFactor}`,
    )
    await this.checkpoint({ dropCurrent })
  }

  /** A picture of the buffer after one more chain each, which leaves the buffer and the streams of training alone. */
  private async picture(): Promise<void> {
    const { trainer } = this
    const { config, data } = trainer
    const count = Math.min(100, Math.max(1, config.bufferSize))
    const generator = new Generator(config.seed, 'picture')
    const drawn = trainer.buffer.peek(count, generator)
    keep(drawn)
    sgld(trainer.judged, drawn, generator, { ...samplerOptions(config), keepStatistics: true })
    const folder = join(this.options.folder, 'samples')
    mkdirSync(folder, { recursive: true })
    await saveGrid(join(folder, `step-${String(trainer.step).padStart(6, '0')}.png`), drawn, data)
    drawn.dispose()
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
  private readonly path: string
  private readonly fd: number
  bytes: number

  /** Throws DataError. */
  constructor(path: string, bytes: number) {
    this.path = path
    this.bytes = bytes
    try {
      this.fd = openSync(path, existsSync(path) ? 'r+' : 'w')
    } catch (error) {
      throw fileError('open', path, error)
    }
    const length = fstatSync(this.fd).size
    if (length < bytes) {
      closeSync(this.fd)
      throw new DataError(`${path}: expected at least ${bytes} bytes, got ${length}`, {
        hint: 'lines are missing from the file: put it back, or start a new run',
      })
    }
    ftruncateSync(this.fd, bytes)
  }

  /** Throws DataError; what was written of the line is then outside the file's `bytes`. */
  write(line: object): void {
    const text = Buffer.from(`${JSON.stringify(line)}\n`)
    try {
      for (let at = 0; at < text.length; ) {
        at += writeSync(this.fd, text, at, text.length - at, this.bytes + at)
      }
    } catch (error) {
      throw fileError('write', this.path, error)
    }
    this.bytes += text.length
  }

  truncate(bytes: number): void {
    ftruncateSync(this.fd, bytes)
    this.bytes = bytes
  }

  /** Throws DataError. */
  sync(): void {
    try {
      fsyncSync(this.fd)
    } catch (error) {
      throw fileError('write', this.path, error)
    }
  }

  close(): void {
    closeSync(this.fd)
  }
}
