import { record, recordOutputs, wantsGrad } from '../autograd/graph.ts'
import { ShapeError } from '../errors.ts'
import type { NormShape } from '../native/contract.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { mul } from './arithmetic.ts'
import { expectAlike, expectDType, expectShape } from './check.ts'
import { sum } from './reduce.ts'

export interface NormOptions {
  /** Scale and shift per channel: [channels]. */
  gamma?: Tensor
  beta?: Tensor
  eps?: number
}

/** y = (x − mean)·rstd·gamma + beta, and the statistics used: mean and rstd = 1/√(biased variance + eps), which carry no
 *  gradient of their own. */
export interface Normalised {
  y: Tensor
  mean: Tensor
  rstd: Tensor
}

function normalise(op: string, x: Tensor, s: NormShape, { gamma, beta, eps = 1e-5 }: NormOptions): Normalised {
  const [outer, , channels, groupSize] = s
  expectDType(op, 'x', x)
  expectAlike(op, { x, gamma, beta })
  if (gamma) expectShape(op, 'gamma', gamma, [channels], `x has ${channels} channels`)
  if (beta) expectShape(op, 'beta', beta, [channels], `x has ${channels} channels`)
  const statistics = x.dtype === 'f64' ? 'f64' : 'f32'
  const y = empty(x.shape, x.dtype, x.device)
  const mean = empty([outer * (channels / groupSize)], statistics, x.device)
  const rstd = empty(mean.shape, statistics, x.device)
  x.native.norm(x.handle, gamma?.handle ?? 0, beta?.handle ?? 0, y.handle, mean.handle, rstd.handle, ...s, eps)
  recordOutputs(op, [y], [x, gamma, beta], [x, gamma, mean, rstd], ([dy], [x_, gamma_, mean_, rstd_], needs) => {
    const dx = needs[0] ? empty(x.shape, x.dtype, x.device) : undefined
    const dgamma = needs[1] ? empty([channels], x.dtype, x.device) : undefined
    const dbeta = needs[2] ? empty([channels], x.dtype, x.device) : undefined
    x_.native.normBackward(
      dy!.handle,
      x_.handle,
      mean_.handle,
      rstd_.handle,
      gamma_?.handle ?? 0,
      dx?.handle ?? 0,
      dgamma?.handle ?? 0,
      dbeta?.handle ?? 0,
      ...s,
    )
    return [dx, dgamma, dbeta]
  })
  return { y, mean, rstd }
}

/** Statistics over batch, height and width (training mode): x [batch, height, width, channels]. Throws ShapeError. */
export function batchNorm(x: Tensor, options: NormOptions = {}): Normalised {
  const [batch, height, width, channels] = expectShape('batchNorm', 'x', x, ['batch', 'height', 'width', 'channels'])
  return normalise('batchNorm', x, [1, batch * height * width, channels, 1], options)
}

/** Statistics over height and width of each image and channel. */
export function instanceNorm(x: Tensor, options: NormOptions = {}): Normalised {
  const [batch, height, width, channels] = expectShape('instanceNorm', 'x', x, ['batch', 'height', 'width', 'channels'])
  return normalise('instanceNorm', x, [batch, height * width, channels, 1], options)
}

/** Statistics over height, width and the channels of each of `groups` groups; 1 group is layer norm over the image. */
export function groupNorm(x: Tensor, groups: number, options: NormOptions = {}): Normalised {
  const [batch, height, width, channels] = expectShape('groupNorm', 'x', x, ['batch', 'height', 'width', 'channels'])
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new ShapeError(`groupNorm: groups must divide the ${channels} channels of x, got ${groups}`)
  }
  return normalise('groupNorm', x, [batch, height * width, channels, channels / groups], options)
}

/** y = x·scale + shift per channel (last axis): fixed statistics (batch norm in eval mode), ActNorm. Throws ShapeError. */
export function channelAffine(x: Tensor, scale: Tensor, shift: Tensor): Tensor {
  expectDType('channelAffine', 'x', x)
  expectAlike('channelAffine', { x, scale, shift })
  const channels = x.shape.at(-1) ?? 1
  expectShape('channelAffine', 'scale', scale, [channels], `x has ${channels} channels`)
  expectShape('channelAffine', 'shift', shift, [channels], `x has ${channels} channels`)
  const positions = channels === 0 ? 0 : x.size / channels
  const y = empty(x.shape, x.dtype, x.device)
  x.native.channelAffine(x.handle, scale.handle, shift.handle, y.handle, positions, channels)
  const save = [wantsGrad(scale) ? x : undefined, wantsGrad(x) ? scale : undefined] as const
  return record('channelAffine', y, [x, scale, shift], save, (dy, [x_, scale_], needs) => {
    const others = x.shape.slice(0, -1).map((_, i) => i)
    let dx: Tensor | undefined
    if (needs[0]) {
      dx = empty(x.shape, dy.dtype, dy.device)
      dy.native.channelAffine(dy.handle, scale_!.handle, 0, dx.handle, positions, channels)
    }
    return [
      dx,
      needs[1] ? sum(mul(dy, x_!), { axes: others }) : undefined,
      needs[2] ? sum(dy, { axes: others }) : undefined,
    ]
  })
}
