import { grad } from '../autograd/backward.ts'
import { enableGrad, noGrad } from '../autograd/graph.ts'
import { assign, clone } from '../ops/cast.ts'
import { currentPrecision, type Precision, withPrecision } from '../ops/precision.ts'
import { type SgldOptions, sgldUpdate } from '../ops/training.ts'
import type { Generator } from '../random/generator.ts'
import { type Captured, capture, isCapturing } from '../tensor/capture.ts'
import { full } from '../tensor/create.ts'
import { threadCount } from '../tensor/memory.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ChainLanes } from './lanes.ts'

/** What the sampler asks of a model: any energy can be sampled. `JemModel` is one. */
export interface EnergyModel {
  readonly training: boolean
  train(on?: boolean): unknown
  /** Runs `fn` with parameters that want no gradient. */
  frozen<R>(fn: () => R): R
  /** State that a pass in training mode may change, as running statistics. */
  namedBuffers(): [name: string, buffer: Tensor][]
  /** f(x), the unnormalised log p(x), or f(x)[y] for one label (i32) each: [batch]. */
  logDensity(x: Tensor, labels?: Tensor): Tensor
  /** How many images' chains a core of a CPU should run at a time by itself (`ChainLanes`): a multiple of 4, for a small
   *  net, each of whose f depends, in the mode that it is in, on its own image alone, and draws no random numbers.
   *  Default: all of a batch together, on all cores. */
  readonly chainsAtOnce?: number
}

export interface SamplerOptions extends SgldOptions {
  /** Gradients of f. */
  steps: number
  /** Updates with each gradient; default 1. See `sgld`. */
  innerSteps?: number
  /** i32 [batch]: climb f(x)[label], that is p(x|y), instead of f(x). */
  labels?: Tensor
  /** Mode of the norms while sampling; the released code samples in eval mode, JEM++ in training mode. */
  mode?: 'eval' | 'train'
  /** How products compute; default: as `withPrecision` says. The images stay f32. */
  precision?: Precision
  /** Leave the running statistics of the norms as they are, which mode 'train' updates: for pictures. */
  keepStatistics?: boolean
}

/**
 * Runs SGLD in place on x [batch, height, width, channels]: x ← x + stepSize·∂f/∂x + noiseStd·n, `steps` times (JEM
 * eq. 3; released `sample_q`). Computes no gradient of a parameter and keeps no activation, only one bit of each.
 *
 * With clip and clamp it is the proximal SGLD of JEM++. With `innerSteps` N it is its PYLD: after a full gradient
 * p = ∂f/∂h at the first layer's output h, N updates x ← clamp(x + stepSize·clip(∂⟨layer(x), p⟩/∂x)) with p held, and
 * noise after the last (JEMPP `sample_q`). The first layer of the released network is a convolution without activation
 * (`wideresnet_yopo.py`): affine in x, so that the inner gradient is ∂f/∂x at every one of these x and need not be
 * computed again. All N together move x by what one step of N·stepSize would.
 */
export function sgld(model: EnergyModel, x: Tensor, generator: Generator, options: SamplerOptions): void {
  const { steps, innerSteps = 1 } = options
  const step = (x: Tensor, labels: Tensor | undefined) =>
    scope(() => {
      const gradient = inputGradient(model, x, labels)
      for (let i = 1; i < innerSteps; i++) sgldUpdate(x, gradient, generator, { ...options, noiseStd: 0 })
      sgldUpdate(x, gradient, generator, options)
    })
  const run = () =>
    inMode(model, options.mode ?? 'eval', () =>
      model.frozen(() =>
        withPrecision(options.precision ?? currentPrecision(), () => {
          const { labels } = options
          const images = inLanes(model, x) ? model.chainsAtOnce : undefined
          if (images !== undefined && steps > 0) {
            const lanes = new ChainLanes(images, generator, step)
            try {
              lanes.run(x, labels, steps)
            } finally {
              lanes.dispose()
            }
          } else {
            for (let i = 0; i < steps; i++) step(x, labels)
          }
        }),
      ),
    )
  if (options.keepStatistics) withSameBuffers(model, run)
  else run()
}

/** Whether every core has chains enough to run by itself. Not where parameters are copied to bf16 on the way, a copy that
 *  lanes would share, nor within a capture. */
function inLanes(model: EnergyModel, x: Tensor): boolean {
  const { chainsAtOnce = Number.POSITIVE_INFINITY } = model
  if (x.device !== 'cpu' || currentPrecision() === 'bf16' || isCapturing()) return false
  return x.shape[0] >= chainsAtOnce * threadCount()
}

/**
 * Chains that run again and again, as in training: on a GPU all their steps are captured once, for each shape, and
 * replayed by one call. The bits are those of `sgld`.
 */
export class SgldChains {
  private readonly model: EnergyModel
  private readonly generator: Generator
  private readonly options: SamplerOptions
  private readonly captured = new Map<string, { x: Tensor; labels?: Tensor; graph: Captured }>()

  constructor(model: EnergyModel, generator: Generator, options: SamplerOptions) {
    this.model = model
    this.generator = generator
    this.options = options
  }

  /** As `sgld`, in place on x. */
  run(x: Tensor, labels?: Tensor): void {
    const { model, generator, options } = this
    // Norms in training mode may read from the device, which cannot be captured.
    if (x.device === 'cpu' || options.steps === 0 || options.mode === 'train') {
      sgld(model, x, generator, { ...options, labels })
      return
    }
    const chain = this.chainOf(x, labels)
    assign(chain.x, x)
    if (chain.labels) assign(chain.labels, labels!)
    chain.graph.replay()
    assign(x, chain.x)
  }

  private chainOf(like: Tensor, likeLabels?: Tensor) {
    const key = `${like.shape.join()} ${likeLabels !== undefined}`
    const known = this.captured.get(key)
    if (known) return known
    const x = keep(clone(like))
    const labels = likeLabels && keep(clone(likeLabels))
    try {
      const graph = capture(() => sgld(this.model, x, this.generator, { ...this.options, labels }), {
        device: like.device,
        generator: this.generator,
      })
      const chain = { x, labels, graph }
      this.captured.set(key, chain)
      return chain
    } catch (error) {
      x.dispose()
      labels?.dispose()
      throw error
    }
  }

  dispose(): void {
    for (const { x, labels, graph } of this.captured.values()) {
      graph.dispose()
      x.dispose()
      labels?.dispose()
    }
    this.captured.clear()
  }
}

/** Runs `fn` and puts the model's buffers, as running statistics, back to what they were. */
export function withSameBuffers(model: EnergyModel, fn: () => void): void {
  scope(() => {
    const buffers = model.namedBuffers().map(([, buffer]) => buffer)
    const before = noGrad(() => buffers.map((buffer) => clone(buffer)))
    fn()
    for (const [i, buffer] of buffers.entries()) assign(buffer, before[i])
  })
}

/** ∂f(x)/∂x for each image (∂f(x)[label]/∂x where labels are given): the shape of x. Call it with the parameters
 *  frozen. */
export function inputGradient(model: EnergyModel, x: Tensor, labels?: Tensor): Tensor {
  return scope(() =>
    enableGrad(() => {
      const leaf = x.detach()
      leaf.requiresGrad = true
      const f = model.logDensity(leaf, labels)
      return grad(f, [leaf], full(f.shape, 1, { dtype: f.dtype, device: f.device }))[0]
    }),
  )
}

/** Runs `fn` with the model in training or eval mode, and restores its mode. */
export function inMode<R>(model: EnergyModel, mode: 'eval' | 'train', fn: () => R): R {
  const before = model.training
  model.train(mode === 'train')
  try {
    return fn()
  } finally {
    model.train(before)
  }
}
