// The wide layers of a WideResNet in bf16: on a Hopper GPU (and its emulation) these are the shapes of the kernels with
// TMA and wgmma. Here they are reached as a user reaches them; native/test/emulator_convolution_sm90_test.cc calls them
// past the choice of kernels, so that no other can have answered.
import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { conv2dBoth } from '../../src/ops/conv2d.ts'
import { withPrecision } from '../../src/ops/precision.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { devices, forEachVariant } from './drive.ts'
import { convolve, convolveBackward, type Host, map, zip } from './host.ts'
import { x as input } from './samples.ts'

const slope = 0.25

/** Small whole numbers: products and sums are exact in any order, so that only bf16's rounding of results is left. */
function whole(shape: readonly number[]): Host {
  return { shape, data: input(shape, { low: -2, high: 2, integer: true }).values }
}

interface Layer {
  batch: number
  size: number
  cin: number
  cout: number
  stride: number
  /** Channels of the shortcut. */
  shortcut: number
}

/** Everything float64 says about a layer with bias, residual, shortcut and LeakyReLU, and its gradients. */
function referenceOf({ batch, size, cin, cout, stride, shortcut: channels }: Layer) {
  const geometry = { stride, padding: 1 }
  const x = whole([batch, size, size, cin])
  const weight = whole([3, 3, cin, cout])
  const bias = whole([cout])
  const residual = whole([batch, size / stride, size / stride, cout])
  const shortcut = {
    x: whole([batch, size, size, channels]),
    weight: whole([1, 1, channels, cout]),
    bias: whole([cout]),
  }
  const pre = convolve(x, weight, { bias, residual, shortcut, ...geometry })
  const y = map(pre, (v) => (v > 0 ? v : slope * v))
  const dy = whole(y.shape)
  const dz = zip((g, v) => (v > 0 ? g : slope * g), dy, pre)
  const { dx, dweight, dbias } = convolveBackward(x, weight, dz, geometry)
  const added = convolveBackward(shortcut.x, shortcut.weight, dz, { stride, padding: 0 })
  return {
    ...{ pre, y, dy },
    inputs: [x, weight, bias, residual, shortcut.x, shortcut.weight, shortcut.bias],
    gradients: [dx, dweight, dbias, dz, added.dx, added.dweight, added.dbias],
  }
}

describe.each(devices)('%s: wide layers in bf16', (device) => {
  test.each<[string, Layer]>([
    ['160 channels', { batch: 2, size: 8, cin: 160, cout: 160, stride: 1, shortcut: 16 }],
    ['a stride of 2 to more channels', { batch: 1, size: 16, cin: 64, cout: 160, stride: 2, shortcut: 160 }],
    ['tiles of 256 pixels in clusters', { batch: 4, size: 16, cin: 32, cout: 320, stride: 1, shortcut: 48 }],
    ['32 channels of an odd size', { batch: 3, size: 7, cin: 32, cout: 64, stride: 1, shortcut: 64 }],
  ])('%s: outputs and gradients are the bf16 nearest to float64', (_, layer) => {
    const expected = referenceOf(layer)
    const nearest = { rtol: 2 ** -8, atol: 0 }
    forEachVariant(
      device,
      (level) =>
        scope(() => {
          const put = (h: Host): Tensor => tensor(h.data, { shape: h.shape, dtype: 'bf16', device })
          const leaves = expected.inputs.map(put)
          for (const leaf of leaves) leaf.requiresGrad = true
          const [x, weight, bias, residual, ...rest] = leaves
          const shortcut = { x: rest[0], weight: rest[1], bias: rest[2] }
          const options = { bias, residual, shortcut, stride: layer.stride, padding: 1, leakySlope: slope }
          const [y, pre] = withPrecision('strict', () => conv2dBoth(x, weight, options))
          expect(y, `${level}: y`).toBeAllclose(expected.y, nearest)
          expect(pre, `${level}: before the activation`).toBeAllclose(expected.pre, nearest)
          const gradients = grad(y, leaves, put(expected.dy))
          gradients.forEach((g, i) => {
            const name = ['x', 'weight', 'bias', 'residual', 'shortcut.x', 'shortcut.weight', 'shortcut.bias'][i]
            expect(g, `${level}: gradient of ${name}`).toBeAllclose(expected.gradients[i], nearest)
          })
        }),
      'conv2d',
    )
  })
})
