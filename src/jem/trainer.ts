import { backward } from '../autograd/backward.ts'
import type { Dataset } from '../data/dataset.ts'
import { IndexLoader, type LoaderState, splitIndices, type TrainValidSplit } from '../data/loader.ts'
import { ConfigError } from '../errors.ts'
import type { Device } from '../native/contract.ts'
import { smallestImage } from '../nn/wideResNet.ts'
import { assign, cast } from '../ops/cast.ts'
import { withPrecision } from '../ops/precision.ts'
import { concat, reshape } from '../ops/shape.ts'
import { clipScale, imageBatch, movingAverage } from '../ops/training.ts'
import { Adam } from '../optim/adam.ts'
import { gradientSumOfSquares, type Optimizer } from '../optim/optimizer.ts'
import { withPerturbedWeights } from '../optim/sam.ts'
import { learningRate } from '../optim/schedule.ts'
import { Sgd } from '../optim/sgd.ts'
import { Generator, type GeneratorState, type Purpose } from '../random/generator.ts'
import { full, tensor } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { chainStartOf } from './chainStart.ts'
import type { JemConfig } from './config.ts'
import { JemModel } from './model.ts'
import { type Batches, type Objective, objective } from './objective.ts'
import { ReplayBuffer } from './replayBuffer.ts'
import { type SamplerOptions, SgldChains, withSameBuffers } from './sampler.ts'

/** What one iteration gave. Values of absent terms are null. */
export interface StepMetrics {
  step: number
  epoch: number
  loss: number
  fData: number | null
  fSample: number | null
  crossEntropy: number | null
  /** Share of the labelled batch that is classified right, in [0, 1]. */
  accuracy: number | null
  /** L2 norm of the gradient of all parameters, before any clipping. */
  gradientNorm: number
  lr: number
}

/** Everything besides tensors that a checkpoint needs to go on exactly. */
export interface TrainerState {
  step: number
  seed: number
  lrScale: number
  optimizerStep: number
  loaders: { px: LoaderState; pyx: LoaderState }
  generators: Record<string, GeneratorState>
}

const streams = ['init', 'augment', 'sgld', 'dropout', 'labels'] as const
const purposeOf: Record<(typeof streams)[number], { purpose: Purpose; stream: number }> = {
  init: { purpose: 'init', stream: 0 },
  augment: { purpose: 'augment', stream: 0 },
  sgld: { purpose: 'sgld', stream: 0 },
  dropout: { purpose: 'dropout', stream: 0 },
  labels: { purpose: 'buffer', stream: 1 },
}

/**
 * One JEM training run in memory: model, optimizer, replay buffer, two independent loaders and every random stream.
 * `step()` runs one iteration of the released training loop (train_wrn_ebm.py). Its whole state can be saved and
 * restored exactly; files, intervals and roll-backs are `run.ts`'s.
 */
export class JemTrainer {
  readonly config: JemConfig
  readonly model: JemModel
  /** The moving average of the weights, where the configuration asks for one. */
  readonly average: JemModel | undefined
  readonly buffer: ReplayBuffer
  readonly split: TrainValidSplit
  readonly totalSteps: number
  readonly stepsPerEpoch: number
  readonly data: Dataset
  readonly device: Device
  private readonly optimizer: Optimizer
  private readonly images: Tensor
  private generators!: Record<(typeof streams)[number], Generator>
  private chains: SgldChains | undefined
  private loaders!: { px: IndexLoader; pyx: IndexLoader }
  private seed: number
  private lrScale = 1
  private done = 0

  /** Throws ConfigError where data and configuration do not fit, OutOfMemoryError. */
  constructor(config: JemConfig, data: Dataset, device: Device) {
    checkFit(config, data)
    this.config = config
    this.data = data
    this.device = device
    this.seed = config.seed
    this.split = splitIndices(data.labels, data.classes, config.validationSize, config.labelsPerClass)
    const { height, width, channels, classes } = data
    const made: { dispose(): void }[] = []
    const make = <T extends { dispose(): void }>(part: T): T => {
      made.push(part)
      return part
    }
    try {
      this.images = make(keep(tensor(data.images, { shape: [data.count, height, width, channels], device })))
      this.buffer = make(
        new ReplayBuffer({
          size: config.bufferSize,
          height,
          width,
          channels,
          classes,
          reinitProbability: config.reinitProbability,
          start: chainStartOf(config.chainStart, data, this.split, this.images),
          segmented: !config.unconditional || config.classConditional || config.pxyWeight > 0,
          seed: config.seed,
          device,
        }),
      )
      this.reseed(config.seed)
      this.stepsPerEpoch = this.loaders[config.epochOf === 'px' ? 'px' : 'pyx'].batchesPerEpoch
      this.totalSteps = config.steps > 0 ? config.steps : config.epochs * this.stepsPerEpoch

      this.model = make(makeModel(config, data, device, this.generators.init))
      const parameters = this.model.namedParameters()
      this.optimizer = make(
        config.optimizer === 'adam'
          ? new Adam(parameters, { beta1: config.momentum, weightDecay: config.weightDecay })
          : new Sgd(parameters, { momentum: config.momentum, weightDecay: config.weightDecay }),
      )
      if (config.ema > 0) {
        this.average = make(makeModel(config, data, device, new Generator(config.seed, 'init')))
        this.copyToAverage()
      }
    } catch (error) {
      for (const part of made) part.dispose()
      throw error
    }
  }

  /** Iterations done. */
  get step(): number {
    return this.done
  }

  /** The weights that are judged and sampled: the moving average where there is one. */
  get judged(): JemModel {
    return this.average ?? this.model
  }

  /** Enqueues one iteration and returns at once; the promise has its figures once it has run. */
  iterate(): Promise<StepMetrics> {
    const { config } = this
    const step = this.done
    const epoch = Math.floor(step / this.stepsPerEpoch)
    const lr = this.lrScale * learningRate(step, epoch, { ...config, totalSteps: this.totalSteps })
    const figures = scope(() => {
      try {
        const batches = this.batches()
        const { loss, fData, fSample, crossEntropy, accuracy } = this.gradients(batches)
        const squares = gradientSumOfSquares(this.model.parameters())
        this.optimizer.step(lr, config.gradientNormClip > 0 ? clipScale(squares, config.gradientNormClip) : undefined)
        this.updateAverage()
        const none = full([1], Number.NaN, { device: this.device })
        const scalars = [loss, fData, fSample, crossEntropy, accuracy].map((s) => (s ? reshape(s.detach(), [1]) : none))
        const present = [loss, fData, fSample, crossEntropy, accuracy].map((s) => s !== undefined)
        return { values: concat([...scalars, cast(squares, 'f32')]), present }
      } finally {
        this.model.zeroGrad() // also where memory ran out: the next iteration must not add to these
      }
    })
    this.done++
    return this.readFigures(figures, { step: step + 1, epoch, lr })
  }

  /** Leaves the gradients of the loss in the parameters. With SAM they are those of the perturbed weights, and the
   *  objective that is returned is that of the weights themselves; the norms see each batch once. */
  private gradients(batches: Batches): Objective {
    const { config, model } = this
    const compute = (): Objective => {
      const weights = { ...config, ...this.rampedWeights() }
      const result = withPrecision(config.precision, () => objective(model, batches, weights, this.generators.dropout))
      backward(result.loss)
      return result
    }
    const result = compute()
    if (config.samRho > 0) {
      withPerturbedWeights(model.parameters(), { rho: config.samRho, adaptive: config.samAdaptive }, () => {
        model.zeroGrad()
        withSameBuffers(model, compute)
      })
    }
    return result
  }

  private async readFigures(
    { values, present }: { values: Tensor; present: boolean[] },
    position: { step: number; epoch: number; lr: number },
  ): Promise<StepMetrics> {
    keep(values)
    const numbers = await values.data().finally(() => values.dispose())
    const [loss, fData, fSample, crossEntropy, accuracy] = present.map((is, i) => (is ? numbers[i] : null))
    const { step, epoch, lr } = position
    return { step, epoch, loss: loss!, fData, fSample, crossEntropy, accuracy, gradientNorm: Math.sqrt(numbers[5]), lr }
  }

  /** The weights of p(x) and its regulariser while they join. */
  private rampedWeights(): Pick<JemConfig, 'pxWeight' | 'energyL2'> {
    const { pxWeight, energyL2, pxStart, pxRamp } = this.config
    const share = Math.min(1, (this.done - pxStart + 1) / Math.max(1, pxRamp))
    return { pxWeight: pxWeight * share, energyL2: energyL2 * share }
  }

  private batches(): Batches {
    const { config, device } = this
    const batches: Batches = {}
    const pxIndex = this.loaders.px.next()
    const pyxIndex = this.loaders.pyx.next()
    if (config.pxWeight > 0 && this.done >= config.pxStart) {
      const data = this.imagesAt(pxIndex, config.augmentPx)
      const labels = config.classConditional
        ? this.generators.labels.integers(config.batch, this.data.classes)
        : undefined
      batches.px = { data, samples: this.sample(config.batch, labels) }
    }
    if (config.pyxWeight > 0 || config.pxyWeight > 0) {
      const labels = pyxIndex.map((i) => this.data.labels[i])
      batches.pyx = { images: this.imagesAt(pyxIndex), labels: tensor(labels, { device }) }
      if (config.pxyWeight > 0) batches.pxySamples = this.sample(labels.length, labels)
    }
    return batches
  }

  private imagesAt(index: Int32Array, augment = true): Tensor {
    const { config, data } = this
    const flip = augment && (config.flip === 'on' || (config.flip === 'auto' && !isDigits(data.name)))
    return imageBatch(this.images, tensor(index, { device: this.device }), this.generators.augment, {
      padding: augment ? config.cropPadding : 0,
      flip,
      noiseStd: config.sigma,
    })
  }

  /** Draws chains from the buffer, runs SGLD, stores them back, and returns them. */
  private sample(count: number, labels?: Int32Array): Tensor {
    const { x, slots } = this.buffer.draw(count, labels)
    const given = labels ? tensor(labels, { device: this.device }) : undefined
    this.chains ??= new SgldChains(this.model, this.generators.sgld, samplerOptions(this.config))
    this.chains.run(x, given)
    this.buffer.store(slots, x)
    return x
  }

  private updateAverage(): void {
    if (!this.average) return
    // The average forgets its random start: decay rises to its value as (1 + t)/(10 + t).
    const decay = Math.min(this.config.ema, (1 + this.done) / (10 + this.done))
    movingAverage(this.average.parameters(), this.model.parameters(), decay)
    const buffers = this.model.namedBuffers()
    for (const [i, [, buffer]] of this.average.namedBuffers().entries()) assign(buffer, buffers[i][1])
  }

  private copyToAverage(): void {
    const source = this.model.stateDict()
    for (const [name, target] of this.average!.stateDict()) assign(target, source.get(name)!)
  }

  /** New random streams from here on, as a roll-back wants them. */
  reseed(seed: number): void {
    this.seed = seed
    this.generators = Object.fromEntries(
      streams.map((name) => [name, new Generator(seed, purposeOf[name].purpose, purposeOf[name].stream)]),
    ) as JemTrainer['generators']
    this.chains?.dispose() // of the old generator
    this.chains = undefined
    this.buffer.reseed(seed)
    const { batch, labelledBatch } = this.config
    this.loaders = {
      px: new IndexLoader(this.split.train, batch, seed, 0),
      pyx: new IndexLoader(this.split.labelled, labelledBatch || batch, seed, 1, 'labelled images'),
    }
  }

  /** Multiplies the learning rate of every later iteration. */
  scaleLearningRate(factor: number): void {
    this.lrScale *= factor
  }

  /** The tensors of a checkpoint, the trainer's own: `model/…`, `average/…`, `optimizer/…`, `buffer`. */
  tensors(): Map<string, Tensor> {
    const all = new Map<string, Tensor>()
    for (const [name, x] of this.model.stateDict()) all.set(`model/${name}`, x)
    for (const [name, x] of this.average?.stateDict() ?? []) all.set(`average/${name}`, x)
    for (const [name, x] of this.optimizer.state().tensors) all.set(`optimizer/${name}`, x)
    all.set('buffer', this.buffer.samples)
    return all
  }

  state(): TrainerState {
    const generators: Record<string, GeneratorState> = { bufferDraw: this.buffer.generator.state() }
    for (const name of streams) generators[name] = this.generators[name].state()
    return {
      step: this.done,
      seed: this.seed,
      lrScale: this.lrScale,
      optimizerStep: this.optimizer.state().step,
      loaders: { px: this.loaders.px.state(), pyx: this.loaders.pyx.state() },
      generators,
    }
  }

  /** Continues from a saved state; the tensors must have been loaded. */
  restore(state: TrainerState): void {
    this.reseed(state.seed)
    this.model.restored()
    this.average?.restored()
    this.done = state.step
    this.lrScale = state.lrScale
    this.optimizer.restore(state.optimizerStep)
    this.loaders.px.restore(state.loaders.px)
    this.loaders.pyx.restore(state.loaders.pyx)
    this.buffer.generator.restore(state.generators.bufferDraw)
    for (const name of streams) this.generators[name].restore(state.generators[name])
  }

  dispose(): void {
    for (const part of [this.chains, this.model, this.average, this.buffer, this.optimizer]) part?.dispose()
    this.images.dispose()
  }
}

/** What would fail only at the first iteration. Throws ConfigError. */
function checkFit(config: JemConfig, { name, height, width }: Dataset): void {
  if (height < smallestImage || width < smallestImage) {
    throw new ConfigError(
      `${config.model} takes images of at least ${smallestImage}×${smallestImage} pixels, ${name} has ${height}×${width}`,
      { hint: 'enlarge or pad the images first' },
    )
  }
  if (config.cropPadding >= Math.min(height, width)) {
    throw new ConfigError(`cropPadding must be below the image size ${height}×${width}, got ${config.cropPadding}`)
  }
  if (config.pxStart > 0 && config.pyxWeight === 0 && config.pxyWeight === 0) {
    throw new ConfigError('pxStart needs a term that trains before p(x) joins: give pyxWeight a weight above 0')
  }
  if (config.samplingMode === 'train' && config.dropout > 0) {
    throw new ConfigError(`dropout must be 0 where samplingMode is train, got ${config.dropout}`, {
      hint: 'sample in eval mode, as the released code does',
    })
  }
}

export function makeModel(
  config: JemConfig,
  data: Pick<Dataset, 'classes' | 'channels'>,
  device: Device,
  generator: Generator,
): JemModel {
  const { model, norm, init, dropout, unconditional } = config
  return new JemModel({
    model,
    norm,
    init,
    dropout,
    unconditional,
    classes: data.classes,
    channels: data.channels,
    device,
    generator,
  })
}

/** The sampler's part of a configuration. */
export function samplerOptions(config: JemConfig): SamplerOptions {
  const { stepSize, innerSteps, langevinTemperature } = config
  return {
    steps: config.sgldSteps,
    innerSteps,
    stepSize,
    noiseStd: langevinTemperature > 0 ? langevinNoise(innerSteps * stepSize, langevinTemperature) : config.noiseStd,
    gradientClip: config.gradientClip,
    clamp: config.clampSamples ? [-1, 1] : undefined,
    mode: config.samplingMode,
    precision: config.samplerPrecision,
  }
}

/** The noise with which SGLD of this step size has the stationary density exp(f/temperature), as the step size goes to 0:
 *  √(2·stepSize·temperature). The Langevin form's α is 2·stepSize (Welling & Teh 2011; JEM eq. 3). */
export function langevinNoise(stepSize: number, temperature = 1): number {
  return Math.sqrt(2 * stepSize * temperature)
}

/** Digits are not mirrored: the released code leaves the flip out for SVHN. */
function isDigits(name: string): boolean {
  return name === 'mnist' || name === 'svhn'
}
