import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import type { DType } from '../../src/native/contract.ts'
import { conv2d, conv2dBoth } from '../../src/ops/conv2d.ts'
import { withPrecision } from '../../src/ops/precision.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { devices, dtypesOn, forEachVariant } from './drive.ts'
import { type ConvOptions, convolve, convolveBackward, type Host, map, zip } from './host.ts'
import { x as input } from './samples.ts'

interface Size {
  batch: number
  height: number
  width: number
  cin: number
  cout: number
  kernel: number
  stride: number
  padding: number
  bias: boolean
  residual: boolean
  /** Channels of the shortcut; 0: none. */
  shortcut: number
  slope?: number
  both: boolean
}

/** Kernels, strides, paddings and channels around the widths of vectors and register blocks, each with every other in
 *  turn (neighbouring choices differ, so that pairs are covered without the whole product). */
function* ladder(): Generator<Size> {
  const channels = [1, 3, 5, 16, 17, 32, 48, 64]
  let turn = 0
  for (const kernel of [1, 2, 3, 5])
    for (const stride of [1, 2, 3])
      for (const padding of [0, 1, 2])
        for (const [i, cin] of channels.entries()) {
          turn++
          yield {
            batch: 1 + (turn % 3),
            height: 5 + (turn % 4),
            width: 5 + ((turn * 5) % 7),
            cin,
            cout: channels[(i * 3 + turn) % channels.length],
            kernel,
            stride,
            padding,
            bias: turn % 2 === 0,
            residual: turn % 3 === 0,
            // Of the output's size only here.
            shortcut: kernel === 2 * padding + 1 && turn % 4 < 3 ? channels[(i * 5 + turn) % channels.length] : 0,
            slope: turn % 5 < 3 ? 0.5 : undefined,
            both: turn % 5 === 1,
          }
        }
}

/** Small whole numbers: every product and sum is exact, in float32, TF32 and in bf16's f32 accumulators alike; not in
 *  Winograd's, which test/ops/winograd.test.ts is about. */
function whole(shape: readonly number[]): Host {
  const { values } = input(shape, { low: -2, high: 2, integer: true })
  return { shape, data: values }
}

function check(size: Size, dtype: DType, device: (typeof devices)[number], context: string, expected: Expected): void {
  scope(() => {
    const put = (h: Host): Tensor => tensor(h.data, { shape: h.shape, dtype, device })
    const { hosts } = expected
    const leaves = hosts.map((h) => {
      const t = put(h)
      t.requiresGrad = true
      return t
    })
    const [x, weight, ...rest] = leaves
    const bias = size.bias ? rest.shift() : undefined
    const residual = size.residual ? rest.shift() : undefined
    const [shortcutX, shortcutWeight, shortcutBias] = rest
    const shortcut = shortcutX && { x: shortcutX, weight: shortcutWeight, bias: shortcutBias }
    const options = { bias, residual, shortcut, stride: size.stride, padding: size.padding }
    const outputs = size.both
      ? conv2dBoth(x, weight, { ...options, leakySlope: size.slope! })
      : [conv2d(x, weight, { ...options, leakySlope: size.slope })]
    // bf16 keeps 8 bits of a sum
    const tolerance = dtype === 'bf16' ? { rtol: 2 ** -8, atol: 0 } : { rtol: 0, atol: 0 }
    outputs.forEach((y, i) => {
      expect(y, `${context}: output ${i}`).toBeAllclose(expected.outputs[i], tolerance)
    })
    grad(outputs[0], leaves, put(expected.dy)).forEach((g, i) => {
      expect(g, `${context}: gradient ${expected.names[i]}`).toBeAllclose(expected.gradients[i], tolerance)
    })
  })
}

interface Expected {
  hosts: Host[]
  outputs: Host[]
  dy: Host
  gradients: Host[]
  /** Of the inputs, as of `hosts` and `gradients`. */
  names: string[]
}

function expectedOf(size: Size): Expected {
  const { batch, height, width, cin, cout, kernel, stride, padding, slope } = size
  const x = whole([batch, height, width, cin])
  const weight = whole([kernel, kernel, cin, cout])
  const bias = size.bias ? whole([cout]) : undefined
  const out = (extent: number): number => Math.floor((extent + 2 * padding - kernel) / stride) + 1
  const residual = size.residual ? whole([batch, out(height), out(width), cout]) : undefined
  const shortcut = size.shortcut > 0 ? shortcutOf(size) : undefined
  const pre = convolve(x, weight, { bias, residual, shortcut, stride, padding })
  const y = slope === undefined ? pre : map(pre, (v) => (v > 0 ? v : slope * v))
  const dy = whole(pre.shape)
  const dz = slope === undefined ? dy : zip((g, v) => (v > 0 ? g : slope * g), dy, pre)
  const { dx, dweight, dbias } = convolveBackward(x, weight, dz, { stride, padding })
  const inputs: [name: string, input: Host, gradient: Host][] = [
    ['x', x, dx],
    ['weight', weight, dweight],
  ]
  if (bias) inputs.push(['bias', bias, dbias])
  if (residual) inputs.push(['residual', residual, dz])
  if (shortcut) {
    const gradients = convolveBackward(shortcut.x, shortcut.weight, dz, { stride, padding: 0 })
    inputs.push(['shortcut.x', shortcut.x, gradients.dx], ['shortcut.weight', shortcut.weight, gradients.dweight])
    if (shortcut.bias) inputs.push(['shortcut.bias', shortcut.bias, gradients.dbias])
  }
  return {
    hosts: inputs.map(([, input]) => input),
    outputs: size.both ? [y, pre] : [y],
    dy,
    gradients: inputs.map(([, , gradient]) => gradient),
    names: inputs.map(([name]) => name),
  }
}

function shortcutOf({ batch, height, width, cout, shortcut, bias }: Size): NonNullable<ConvOptions['shortcut']> {
  return {
    x: whole([batch, height, width, shortcut]),
    weight: whole([1, 1, shortcut, cout]),
    bias: bias ? undefined : whole([cout]),
  }
}

describe.each(devices)('%s: convolution of whole numbers is exact', (device) => {
  test.each([1, 2, 3, 5])('with kernels of extent %i: every stride, padding and number of channels', (kernel) => {
    for (const size of ladder()) {
      if (size.kernel !== kernel) continue
      const expected = expectedOf(size)
      forEachVariant(
        device,
        (variant) => {
          const context = `${JSON.stringify(size)} on ${variant}`
          for (const dtype of dtypesOn(device, ['f32', 'f64', 'bf16'])) {
            withPrecision('strict', () => check(size, dtype, device, `${context} ${dtype}`, expected))
          }
          if (device === 'cpu' || variant === 'simt') return // there, tf32 is fp32
          withPrecision('tf32', () => check(size, 'f32', device, `${context} tf32`, expected))
        },
        'conv2d',
      )
    }
  })

  test.each([
    ['the first layer of a WideResNet', { height: 28, width: 28, cin: 1, cout: 16, kernel: 3, stride: 1, padding: 1 }],
    ['a layer with stride 2', { height: 28, width: 28, cin: 16, cout: 32, kernel: 3, stride: 2, padding: 1 }],
    ['a layer of many channels', { height: 8, width: 8, cin: 160, cout: 64, kernel: 3, stride: 1, padding: 1 }],
    ['a shortcut', { height: 14, width: 14, cin: 32, cout: 64, kernel: 1, stride: 2, padding: 0 }],
    [
      'a layer with stride 2 and its shortcut',
      { height: 28, width: 28, cin: 32, cout: 32, kernel: 3, stride: 2, padding: 1, shortcut: 16 },
    ],
    [
      'a layer and its shortcut of many channels',
      { height: 8, width: 8, cin: 64, cout: 64, kernel: 3, stride: 1, padding: 1, shortcut: 160 },
    ],
    ['one image of one row', { height: 1, width: 33, cin: 3, cout: 7, kernel: 1, stride: 1, padding: 0 }],
    ['an image smaller than the kernel', { height: 2, width: 3, cin: 4, cout: 9, kernel: 5, stride: 1, padding: 2 }],
  ])('of %s', (_, layer) => {
    for (const both of [false, true]) {
      const size: Size = { batch: 2, bias: true, residual: both, shortcut: 0, slope: 0.25, both, ...layer }
      const expected = expectedOf(size)
      forEachVariant(
        device,
        (variant) => {
          for (const dtype of dtypesOn(device, ['f32', 'f64']))
            withPrecision('strict', () => check(size, dtype, device, `${dtype} on ${variant}`, expected))
        },
        'conv2d',
      )
    }
  })
})
