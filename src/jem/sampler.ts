import { grad } from '../autograd/backward.ts'
import { enableGrad, noGrad } from '../autograd/graph.ts'
import { assign, clone } from '../ops/cast.ts'
import { type SgldOptions, sgldUpdate } from '../ops/training.ts'
import type { Generator } from '../random/generator.ts'
import { full } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { JemModel } from './model.ts'

export interface SamplerOptions extends SgldOptions {
  steps: number
  /** i32 [batch]: climb f(x)[label], that is p(x|y), instead of f(x). */
  labels?: Tensor
  /** Mode of the norms while sampling; the released code samples in eval mode, JEM++ in training mode. */
  mode?: 'eval' | 'train'
  /** Leave the running statistics of the norms as they are, which mode 'train' updates: for pictures. */
  keepStatistics?: boolean
}

/**
 * Runs SGLD in place on x [batch, height, width, channels]: x ← x + stepSize·∂f/∂x + noiseStd·n, `steps` times (JEM
 * eq. 3; released `sample_q`). Computes no gradient of a parameter and keeps no activation, only one bit of each.
 */
export function sgld(model: JemModel, x: Tensor, generator: Generator, options: SamplerOptions): void {
  const run = () =>
    inMode(model, options.mode ?? 'eval', () =>
      model.frozen(() => {
        for (let step = 0; step < options.steps; step++) {
          scope(() => sgldUpdate(x, inputGradient(model, x, options.labels), generator, options))
        }
      }),
    )
  if (options.keepStatistics) withSameBuffers(model, run)
  else run()
}

function withSameBuffers(model: JemModel, fn: () => void): void {
  scope(() => {
    const buffers = model.namedBuffers().map(([, buffer]) => buffer)
    const before = noGrad(() => buffers.map((buffer) => clone(buffer)))
    fn()
    for (const [i, buffer] of buffers.entries()) assign(buffer, before[i])
  })
}

/** ∂f(x)/∂x for each image (∂f(x)[label]/∂x where labels are given): the shape of x. Call it with the parameters
 *  frozen. */
export function inputGradient(model: JemModel, x: Tensor, labels?: Tensor): Tensor {
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
export function inMode<R>(model: JemModel, mode: 'eval' | 'train', fn: () => R): R {
  const before = model.training
  model.train(mode === 'train')
  try {
    return fn()
  } finally {
    model.train(before)
  }
}
