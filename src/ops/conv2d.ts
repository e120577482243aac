import { recordActivation, recordOutputs, wantsGrad } from '../autograd/graph.ts'
import { type Gradient, isLazy, LazyGradient } from '../autograd/lazyGradient.ts'
import { ShapeError } from '../errors.ts'
import type { ConvShape, NativeOps } from '../native/contract.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectAlike, expectDType, expectShape, shapeText } from './check.ts'
import { currentPrecision, multiplying, type Precision, rounded } from './precision.ts'
import { signBits } from './unary.ts'

/** A 1×1 convolution of a second image, of the same stride: where a residual network's shape changes, the skip
 *  connection (`shortcut` of the released code's wideresnet.py). */
export interface Shortcut {
  /** [batch, height, width, channels]: as large as conv2d's x, of any number of channels. */
  x: Tensor
  /** [1, 1, channels, cout] */
  weight: Tensor
  /** [cout] */
  bias?: Tensor
}

export interface Conv2dOptions {
  /** [cout] */
  bias?: Tensor
  /** Added to the result before the activation; the output's shape. */
  residual?: Tensor
  /** A convolution whose result is added before the activation, without being written to memory. Its result must be of
   *  the output's shape, which it is where the kernel is 2·padding + 1. */
  shortcut?: Shortcut
  stride?: number
  /** Zeros around the image, on both axes. */
  padding?: number
  /** LeakyReLU with this slope on the result; none: no activation. */
  leakySlope?: number
}

function shapeOf(op: string, x: Tensor, weight: Tensor, stride: number, padding: number): ConvShape {
  const [batch, height, width, cin] = expectShape(op, 'x', x, ['batch', 'height', 'width', 'cin'])
  const [kh, kw, , cout] = expectShape(op, 'weight', weight, ['kh', 'kw', cin, 'cout'], `input has ${cin} channels`)
  if (weight.size === 0) throw new ShapeError(`${op}: weight must have extents >= 1, got ${shapeText(weight.shape)}`)
  if (!Number.isInteger(stride) || stride < 1)
    throw new ShapeError(`${op}: stride must be a whole number >= 1, got ${stride}`)
  if (!Number.isInteger(padding) || padding < 0) {
    throw new ShapeError(`${op}: padding must be a whole number >= 0, got ${padding}`)
  }
  if (height < 1 || width < 1 || height + 2 * padding < kh || width + 2 * padding < kw) {
    throw new ShapeError(`${op}: a ${kh}×${kw} kernel does not fit x ${shapeText(x.shape)} with padding ${padding}`)
  }
  return [batch, height, width, cin, cout, kh, kw, stride, padding]
}

function outputShape([batch, height, width, , cout, kh, kw, stride, padding]: ConvShape): number[] {
  return [
    batch,
    Math.floor((height + 2 * padding - kh) / stride) + 1,
    Math.floor((width + 2 * padding - kw) / stride) + 1,
    cout,
  ]
}

/** The shortcut as a convolution of its own. */
function shortcutShape(shortcut: Shortcut, s: ConvShape): ConvShape {
  const [batch, height, width, , cout, , , stride] = s
  const why = "with x's batch, height and width"
  const pattern = [batch, height, width, 'channels']
  const channels = expectShape('conv2d', 'shortcut.x', shortcut.x, pattern, why)[3]
  expectShape(
    'conv2d',
    'shortcut.weight',
    shortcut.weight,
    [1, 1, channels, cout],
    `shortcut.x has ${channels} channels`,
  )
  if (channels === 0) {
    throw new ShapeError(`conv2d: shortcut.weight must have extents >= 1, got ${shapeText(shortcut.weight.shape)}`)
  }
  if (shortcut.bias) expectShape('conv2d', 'shortcut.bias', shortcut.bias, [cout])
  const own: ConvShape = [batch, height, width, channels, cout, 1, 1, stride, 0]
  const [wanted, got] = [outputShape(s), outputShape(own)]
  if (wanted[1] !== got[1] || wanted[2] !== got[2]) {
    throw new ShapeError(
      `conv2d: the shortcut's result ${shapeText(got)} must be of the output's shape ${shapeText(wanted)}; ` +
        'with a kernel of 2·padding + 1 it is',
    )
  }
  return own
}

/**
 * 2-D convolution (cross-correlation, as in every deep-learning library): x [batch, height, width, cin], weight
 * [kh, kw, cin, cout] → [batch, outHeight, outWidth, cout], with bias, residual, shortcut and LeakyReLU in the same pass
 * over memory. The graph keeps x only if the weight wants a gradient, the weight only if x does (likewise of a
 * shortcut), and of the activation one bit per element. Throws ShapeError, DTypeError.
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions = {}): Tensor {
  return convolve(x, weight, options, false)[0]
}

/** As `conv2d` with an activation, and also the value before it: [activated, preActivation]. */
export function conv2dBoth(
  x: Tensor,
  weight: Tensor,
  options: Conv2dOptions & { leakySlope: number },
): [activated: Tensor, preActivation: Tensor] {
  const [activated, pre] = convolve(x, weight, options, true)
  return [activated, pre!]
}

function convolve(x: Tensor, weight: Tensor, options: Conv2dOptions, both: boolean): [Tensor, Tensor | undefined] {
  const { shortcut } = options
  const tensors = [x, weight, options.bias, options.residual, shortcut?.x, shortcut?.weight, shortcut?.bias]
  return rounded(tensors, (x_, weight_, bias, residual, shortcutX, shortcutWeight, shortcutBias) => {
    const shortcut_ = shortcut && { x: shortcutX!, weight: shortcutWeight!, bias: shortcutBias }
    return convolveAlike(x_!, weight_!, { ...options, bias, residual, shortcut: shortcut_ }, both)
  })
}

function convolveAlike(x: Tensor, weight: Tensor, options: Conv2dOptions, both: boolean): [Tensor, Tensor | undefined] {
  const { bias, residual, shortcut, stride = 1, padding = 0, leakySlope } = options
  const precision = currentPrecision()
  expectDType('conv2d', 'x', x)
  expectAlike('conv2d', {
    ...{ x, weight, bias, residual },
    ...{ 'shortcut.x': shortcut?.x, 'shortcut.weight': shortcut?.weight, 'shortcut.bias': shortcut?.bias },
  })
  const s = shapeOf('conv2d', x, weight, stride, padding)
  const outShape = outputShape(s)
  if (bias) expectShape('conv2d', 'bias', bias, [s[4]])
  if (residual) expectShape('conv2d', 'residual', residual, outShape, "the output's shape")
  const added = shortcut && shortcutShape(shortcut, s)

  const inputs = [x, weight, bias, residual, shortcut?.x, shortcut?.weight, shortcut?.bias]
  const y = empty(outShape, x.dtype, x.device)
  const pre = both ? empty(outShape, x.dtype, x.device) : undefined
  const signs = leakySlope !== undefined && inputs.some(wantsGrad) ? signBits(y) : undefined
  multiplying(x, precision).conv2d(
    x.handle,
    weight.handle,
    bias?.handle ?? 0,
    residual?.handle ?? 0,
    shortcut?.x.handle ?? 0,
    shortcut?.weight.handle ?? 0,
    shortcut?.bias?.handle ?? 0,
    y.handle,
    pre?.handle ?? 0,
    signs?.handle ?? 0,
    ...s,
    added?.[3] ?? 0,
    leakySlope ?? 1,
  )

  const outputs = pre ? [y, pre] : [y]
  const save = [
    signs,
    wantsGrad(weight) ? x : undefined,
    wantsGrad(x) ? weight : undefined,
    wantsGrad(shortcut?.weight) ? shortcut?.x : undefined,
    wantsGrad(shortcut?.x) ? shortcut?.weight : undefined,
  ] as const
  /** From dz, ∂loss/∂(value before the activation). */
  const gradients = (
    dz: Tensor | undefined,
    [, x_, w_, sx, sw]: typeof save,
    needs: boolean[],
  ): (Gradient | undefined)[] => {
    if (!dz) return []
    const native = multiplying(dz, precision)
    const [dw, db] = weightGradients(native, x_, dz, s, needs[1], needs[2])
    const [dsw, dsb] = added ? weightGradients(native, sx, dz, added, needs[5], needs[6]) : []
    // Last: should memory run out before, nobody would free them.
    const dx = needs[0] ? inputGradient(dz, w_!, s, precision) : undefined
    const dsx = added && needs[4] ? inputGradient(dz, sw!, added, precision) : undefined
    return [dx, dw, db, needs[3] ? dz : undefined, dsx, dsw, dsb]
  }
  if (signs) {
    recordActivation('conv2d', outputs, inputs, save, (dy, [dpre], saved, needs) =>
      gradients(dy ? activationBackward(dy, saved[0]!, leakySlope!, dpre) : dpre, saved, needs),
    )
  } else {
    recordOutputs('conv2d', outputs, inputs, save, ([dz], saved, needs) => gradients(dz, saved, needs))
  }
  signs?.dispose() // the graph has its own reference
  return [y, pre]
}

/** ∂loss/∂x, computed where it arrives: there may be the bits of x's own activation, and another gradient to add. */
function inputGradient(dz: Tensor, weight: Tensor, s: ConvShape, precision: Precision): LazyGradient {
  return new LazyGradient([dz, weight], ([dz_, w_], derivative, add) => {
    const dx = empty(s.slice(0, 4), dz_.dtype, dz_.device)
    const { signs, slope = 1 } = derivative ?? {}
    multiplying(dz_, precision).conv2dBackwardInput(
      dz_.handle,
      w_.handle,
      signs?.handle ?? 0,
      add?.handle ?? 0,
      dx.handle,
      ...s,
      slope,
    )
    return dx
  })
}

/** dy · (bit ? 1 : slope) + add */
function activationBackward(dy: Gradient, signs: Tensor, slope: number, add: Tensor | undefined): Tensor {
  if (isLazy(dy)) return dy.take({ signs, slope }, add)
  const dz = empty(dy.shape, dy.dtype, dy.device)
  dy.native.leakyReluBackward(dy.handle, signs.handle, add?.handle ?? 0, dz.handle, dy.size, slope)
  return dz
}

function weightGradients(
  native: NativeOps,
  x: Tensor | undefined,
  dz: Tensor,
  s: ConvShape,
  wantWeight: boolean,
  wantBias: boolean,
): [Tensor | undefined, Tensor | undefined] {
  if (!wantWeight) return [undefined, wantBias ? sumChannels(dz) : undefined]
  const [, , , cin, cout, kh, kw] = s
  const dw = empty([kh, kw, cin, cout], dz.dtype, dz.device)
  const db = wantBias ? empty([cout], dz.dtype, dz.device) : undefined
  native.conv2dBackwardWeight(x!.handle, dz.handle, dw.handle, db?.handle ?? 0, ...s)
  return [dw, db]
}

/** Σ over all but the last axis. */
function sumChannels(x: Tensor): Tensor {
  const channels = x.shape.at(-1)!
  const y = empty([channels], x.dtype, x.device)
  x.native.reduce(0, x.handle, y.handle, 1, channels === 0 ? 0 : x.size / channels, channels)
  return y
}
