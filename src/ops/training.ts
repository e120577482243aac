/** In-place updates of training and sampling: no history. */
import { ShapeError } from '../errors.ts'
import type { Generator } from '../random/generator.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectAlike, expectDType, expectSameDevice, expectShape, shapeText } from './check.ts'

export interface SgldOptions {
  /** Multiplies the gradient as it is. The Langevin form has step α/2 and noise √α: stepSize = α/2, noiseStd = √α. */
  stepSize: number
  /** Standard deviation of the noise. */
  noiseStd: number
  /** Clip each element of the gradient to ±this; 0 or absent: no clip. */
  gradientClip?: number
  /** Clamp x afterwards to [low, high]. */
  clamp?: readonly [number, number]
}

/** x ← clamp(x + stepSize·clip(g) + noiseStd·n), n ~ N(0, 1), in place: one SGLD step up f (JEM eq. 3, released code
 *  `sample_q`). f32, f64 or bf16; x and g alike. Throws ShapeError, DTypeError. */
export function sgldUpdate(x: Tensor, g: Tensor, generator: Generator, options: SgldOptions): void {
  expectDType('sgldUpdate', 'x', x)
  expectAlike('sgldUpdate', { x, g })
  expectShape('sgldUpdate', 'g', g, x.shape)
  const clip = options.gradientClip || Number.POSITIVE_INFINITY
  const [low, high] = options.clamp ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  x.native.sgldUpdate(
    x.handle,
    g.handle,
    x.size,
    options.stepSize,
    options.noiseStd,
    clip,
    low,
    high,
    ...generator.next(),
  )
  x.changed()
}

const handles = (tensors: readonly Tensor[]): number[] => tensors.map((t) => t.handle)

/** Throws ShapeError or DTypeError unless all lists match the first, tensor by tensor. */
function expectLists(op: string, lists: Record<string, readonly Tensor[]>, gradientScale?: Tensor): void {
  const [[firstName, first], ...others] = Object.entries(lists)
  for (const x of first) expectDType(op, firstName, x, ['f32', 'f64'])
  for (const [name, list] of others) {
    if (list.length !== first.length) {
      throw new ShapeError(`${op}: ${name} must have ${first.length} tensors like ${firstName}, got ${list.length}`)
    }
    list.forEach((x, i) => {
      expectShape(op, `${name}[${i}]`, x, first[i].shape, `as ${firstName}[${i}]`)
      expectAlike(op, { [`${firstName}[${i}]`]: first[i], [`${name}[${i}]`]: x })
    })
  }
  if (gradientScale) {
    expectDType(op, 'gradientScale', gradientScale, ['f64'])
    expectShape(op, 'gradientScale', gradientScale, [1])
  }
}

/** Adam's update of all parameters in one call; `step` counts from 1. See `optim/adam.ts`. */
export function adamUpdate(
  parameters: readonly Tensor[],
  gradients: readonly Tensor[],
  firstMoments: readonly Tensor[],
  secondMoments: readonly Tensor[],
  options: { lr: number; beta1: number; beta2: number; eps: number; weightDecay: number; step: number },
  gradientScale?: Tensor,
): void {
  expectLists('adamUpdate', { parameters, gradients, firstMoments, secondMoments }, gradientScale)
  parameters[0]?.native.adam(
    handles(parameters),
    handles(gradients),
    handles(firstMoments),
    handles(secondMoments),
    gradientScale?.handle ?? 0,
    options.lr,
    options.beta1,
    options.beta2,
    options.eps,
    options.weightDecay,
    options.step,
  )
  for (const parameter of parameters) parameter.changed()
}

/** SGD with momentum, PyTorch's form, of all parameters in one call. See `optim/sgd.ts`. */
export function sgdUpdate(
  parameters: readonly Tensor[],
  gradients: readonly Tensor[],
  velocities: readonly Tensor[],
  options: { lr: number; momentum: number; weightDecay: number },
  gradientScale?: Tensor,
): void {
  expectLists('sgdUpdate', { parameters, gradients, velocities }, gradientScale)
  parameters[0]?.native.sgd(
    handles(parameters),
    handles(gradients),
    handles(velocities),
    gradientScale?.handle ?? 0,
    options.lr,
    options.momentum,
    options.weightDecay,
  )
  for (const parameter of parameters) parameter.changed()
}

/** average ← decay·average + (1 − decay)·value, for each pair. */
export function movingAverage(averages: readonly Tensor[], values: readonly Tensor[], decay: number): void {
  expectLists('movingAverage', { averages, values })
  averages[0]?.native.movingAverage(handles(averages), handles(values), decay)
  for (const average of averages) average.changed()
}

/** Σ x² over all elements of all tensors: f64 [1]. */
export function sumOfSquares(tensors: readonly Tensor[]): Tensor {
  tensors.forEach((x, i) => {
    expectDType('sumOfSquares', `tensors[${i}]`, x)
    expectSameDevice('sumOfSquares', 'tensors[0]', tensors[0], `tensors[${i}]`, x)
  })
  const y = empty([1], 'f64', tensors[0]?.device)
  y.native.sumSquares(handles(tensors), y.handle)
  return y
}

/** The factor that brings gradients of this squared norm (f64 [1]) to at most `limit`: f64 [1]. */
export function clipScale(sumOfSquares: Tensor, limit: number): Tensor {
  expectDType('clipScale', 'sumOfSquares', sumOfSquares, ['f64'])
  expectShape('clipScale', 'sumOfSquares', sumOfSquares, [1])
  const y = empty([1], 'f64', sumOfSquares.device)
  y.native.clipScale(sumOfSquares.handle, y.handle, limit)
  return y
}

export interface ImageBatchOptions {
  /** Reflect-pad by this many pixels, then crop at random. */
  padding: number
  /** Mirror with probability ½. */
  flip: boolean
  /** Standard deviation of the Gaussian noise added after scaling to [-1, 1]. */
  noiseStd: number
}

/** A batch of training images: rows `index` (i32) of `images` (u8 [n, height, width, channels]), cropped, mirrored,
 *  scaled to [-1, 1] and noised → f32. Takes one step of the generator. Throws ShapeError, DTypeError. */
export function imageBatch(images: Tensor, index: Tensor, generator: Generator, options: ImageBatchOptions): Tensor {
  expectDType('imageBatch', 'images', images, ['u8'])
  expectDType('imageBatch', 'index', index, ['i32'])
  const [n, height, width, channels] = expectShape('imageBatch', 'images', images, ['n', 'height', 'width', 'channels'])
  const [count] = expectShape('imageBatch', 'index', index, ['count'])
  const { padding } = options
  if (!Number.isInteger(padding) || padding < 0 || (padding > 0 && (padding >= height || padding >= width))) {
    throw new ShapeError(
      `imageBatch: padding must be a whole number below height and width of images ${shapeText(images.shape)}, got ${padding}`,
    )
  }
  const y = empty([count, height, width, channels], 'f32', images.device)
  images.native.imageBatch(
    images.handle,
    index.handle,
    y.handle,
    n,
    count,
    height,
    width,
    channels,
    padding,
    options.flip ? 1 : 0,
    options.noiseStd,
    ...generator.next(),
  )
  return y
}
