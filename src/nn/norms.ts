import { noGrad } from '../autograd/graph.ts'
import { add, mul, sub } from '../ops/arithmetic.ts'
import { assign, cast } from '../ops/cast.ts'
import { batchNorm, channelAffine, groupNorm, instanceNorm } from '../ops/norm.ts'
import { mean, sum } from '../ops/reduce.ts'
import { affine, neg, power, reciprocal, sqrt, square } from '../ops/unary.ts'
import { ones, type TensorOptions, zeros } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { Module } from './module.ts'

/** Names of the released code's norms (norms.py `get_norm`). */
export type NormName = 'none' | 'batch' | 'instance' | 'layer' | 'act'

/** A parameter of x's dtype, which is bf16 behind products in that precision. */
function like(x: Tensor, parameter: Tensor): Tensor {
  return x.dtype === parameter.dtype ? parameter : cast(parameter, x.dtype)
}

/** [batch, height, width, channels] → the same shape. */
export abstract class Norm extends Module {
  abstract forward(x: Tensor): Tensor
}

/** `undefined` for 'none'. */
export function makeNorm(name: NormName, channels: number, options: TensorOptions): Norm | undefined {
  switch (name) {
    case 'none':
      return undefined
    case 'batch':
      return new BatchNorm(channels, options)
    case 'instance':
      return new AffineNorm(channels, options, (x, affine) => instanceNorm(x, affine).y)
    case 'layer':
      return new AffineNorm(channels, options, (x, affine) => groupNorm(x, 1, affine).y)
    case 'act':
      return new ActNorm(channels, options)
  }
}

/** InstanceNorm2d(affine) and GroupNorm(1): the same in training and eval mode. */
class AffineNorm extends Norm {
  private readonly weight: Tensor
  private readonly bias: Tensor
  private readonly normalise: (x: Tensor, affine: { gamma: Tensor; beta: Tensor }) => Tensor

  constructor(channels: number, options: TensorOptions, normalise: AffineNorm['normalise']) {
    super()
    this.weight = this.parameter('weight', ones([channels], options))
    this.bias = this.parameter('bias', zeros([channels], options))
    this.normalise = normalise
  }

  forward(x: Tensor): Tensor {
    return scope(() => this.normalise(x, { gamma: like(x, this.weight), beta: like(x, this.bias) }))
  }
}

/** BatchNorm2d(momentum = 0.9): 90 % of the running statistics are the last batch's, as the released code sets it. */
export class BatchNorm extends Norm {
  private static readonly momentum = 0.9
  private static readonly eps = 1e-5
  private readonly weight: Tensor
  private readonly bias: Tensor
  private readonly runningMean: Tensor
  private readonly runningVar: Tensor
  private readonly batches: Tensor
  /** Whether training mode updates the running statistics; a second pass over one batch may switch it off. */
  updateStatistics = true

  constructor(channels: number, options: TensorOptions) {
    super()
    this.weight = this.parameter('weight', ones([channels], options))
    this.bias = this.parameter('bias', zeros([channels], options))
    this.runningMean = this.buffer('running_mean', zeros([channels], options))
    this.runningVar = this.buffer('running_var', ones([channels], options))
    this.batches = this.buffer('num_batches_tracked', zeros([1], { dtype: 'i32', device: options.device }))
  }

  forward(x: Tensor): Tensor {
    return scope(() => (this.training ? this.forwardBatch(x) : this.forwardFixed(x)))
  }

  private forwardBatch(x: Tensor): Tensor {
    const { y, mean, rstd } = batchNorm(x, {
      gamma: like(x, this.weight),
      beta: like(x, this.bias),
      eps: BatchNorm.eps,
    })
    if (this.updateStatistics) noGrad(() => this.update(x, mean, rstd))
    return y
  }

  /** With the running statistics: y = x·scale + shift, scale = weight/√(var + eps). */
  private forwardFixed(x: Tensor): Tensor {
    const rstd = power(affine(this.runningVar, 1, BatchNorm.eps), -0.5)
    const scale = mul(this.weight, rstd)
    return channelAffine(x, like(x, scale), like(x, sub(this.bias, mul(this.runningMean, scale))))
  }

  private update(x: Tensor, mean: Tensor, rstd: Tensor): void {
    const count = x.size / mean.size
    // The batch's variance, unbiased, as PyTorch keeps it.
    const variance = affine(affine(reciprocal(square(rstd)), 1, -BatchNorm.eps), count / Math.max(1, count - 1), 0)
    const m = BatchNorm.momentum
    assign(this.runningMean, add(affine(this.runningMean, 1 - m, 0), affine(mean, m, 0)))
    assign(this.runningVar, add(affine(this.runningVar, 1 - m, 0), affine(variance, m, 0)))
    const one = ones([1], { dtype: 'i32', device: x.device })
    assign(this.batches, add(this.batches, one))
  }
}

/** y = scale·(x + loc) per channel (Glow's ActNorm); loc = −mean and scale = 1/(std + 1e-6) of the first training batch. */
class ActNorm extends Norm {
  private readonly loc: Tensor
  private readonly scale: Tensor
  private readonly initialised: Tensor
  private isInitialised = false

  constructor(channels: number, options: TensorOptions) {
    super()
    this.loc = this.parameter('loc', zeros([channels], options))
    this.scale = this.parameter('scale', ones([channels], options))
    this.initialised = this.buffer('initialized', zeros([1], { dtype: 'u8', device: options.device }))
  }

  forward(x: Tensor): Tensor {
    if (this.training && !this.isInitialised) this.initialise(x)
    return scope(() => channelAffine(x, like(x, this.scale), like(x, mul(this.scale, this.loc))))
  }

  override restored(): void {
    this.isInitialised = false // asked again of the buffer
  }

  private initialise(x: Tensor): void {
    this.isInitialised = true
    if (this.initialised.itemSync() === 1) return // loaded from a state dict
    noGrad(() =>
      scope(() => {
        const others = [0, 1, 2]
        const average = mean(x, { axes: others })
        const squares = sum(square(sub(x, average)), { axes: others })
        const std = sqrt(affine(squares, 1 / Math.max(1, x.size / average.size - 1), 0))
        assign(this.loc, neg(average))
        assign(this.scale, reciprocal(affine(std, 1, 1e-6)))
        assign(this.initialised, ones([1], { dtype: 'u8', device: x.device }))
      }),
    )
  }
}
