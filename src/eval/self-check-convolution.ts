/** The convolutions' part of the self-check: against plain loops in float64. */
import { grad } from '../autograd/backward.ts'
import type { Device, DType } from '../native/contract.ts'
import { conv2d } from '../ops/conv2d.ts'
import { tensor } from '../tensor/create.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** A value that the kernels computed beside what it must be. */
export type Pair = [ours: Tensor, expected: ArrayLike<number>]

/** So many numbers in [-1, 1), the same for the same stream. */
type Numbers = (count: number, stream: number) => Float32Array

interface Layer {
  batch: number
  size: number
  cin: number
  cout: number
  kernel: number
  stride: number
  /** Channels of the shortcut; 0: none. */
  shortcut: number
}

const slope = 0.25

/** f32, sizes that reach every kernel's edges as well as its blocks. */
export function convolutionPairs(device: Device, numbers: Numbers): Pair[] {
  const odd = { batch: 3, size: 9, cin: 5, cout: 19 }
  return [
    ...layerPairs({ ...odd, kernel: 3, stride: 1, shortcut: 0 }, 'f32', device, numbers),
    ...layerPairs({ ...odd, kernel: 3, stride: 2, shortcut: 7 }, 'f32', device, numbers),
    ...layerPairs({ ...odd, kernel: 1, stride: 2, shortcut: 0 }, 'f32', device, numbers),
  ]
}

/** bf16 in channels that come in sixteens, which the tensor cores' kernels take. Of -1, 0 and 1 all sums are whole
 *  numbers small enough for bf16: results are exact, whatever the order of sums, unless a scheme rounds on the way. */
export function tensorCorePairs(device: Device, numbers: Numbers): Pair[] {
  const whole: Numbers = (count, stream) => numbers(count, stream).map((v) => Math.round(1.5 * v))
  const even = { batch: 2, size: 8, cin: 32, cout: 32, kernel: 3 }
  return [
    ...layerPairs({ ...even, stride: 1, shortcut: 0 }, 'bf16', device, whole),
    ...layerPairs({ ...even, stride: 2, shortcut: 16 }, 'bf16', device, whole),
  ]
}

/** A layer's result before and after LeakyReLU, and all its gradients. */
function layerPairs(layer: Layer, dtype: DType, device: Device, numbers: Numbers): Pair[] {
  const { batch, size, cin, cout, kernel, stride, shortcut: channels } = layer
  const padding = kernel >> 1
  const out = Math.floor((size + 2 * padding - kernel) / stride) + 1
  const images = [batch, size, size]
  const put = (values: Float32Array, ...shape: number[]): Tensor => tensor(values, { shape, dtype, device })
  const host = {
    x: numbers(batch * size * size * cin, 1),
    w: numbers(kernel * kernel * cin * cout, 2),
    b: numbers(cout, 3),
    dy: numbers(batch * out * out * cout, 4),
    sx: numbers(batch * size * size * channels, 5),
    sw: numbers(channels * cout, 6),
  }
  const [x, w, b] = [put(host.x, ...images, cin), put(host.w, kernel, kernel, cin, cout), put(host.b, cout)]
  const added =
    channels > 0 ? { x: put(host.sx, ...images, channels), weight: put(host.sw, 1, 1, channels, cout) } : undefined
  const leaves = [x, w, b, ...(added ? [added.x, added.weight] : [])]

  const own = convolveInLoops(host.x, host.w, host.dy, layer)
  const y = own.y.map((v, i) => v + host.b[i % cout])
  const db = new Float64Array(cout)
  for (const [i, v] of host.dy.entries()) db[i % cout] += v
  const expected = [own.dx, own.dw, db]
  if (added) {
    const other = convolveInLoops(host.sx, host.sw, host.dy, { ...layer, cin: channels, kernel: 1 })
    for (const [i, v] of other.y.entries()) y[i] += v
    expected.push(other.dx, other.dw)
  }

  const activated = conv2d(x, w, { bias: b, shortcut: added, stride, padding, leakySlope: slope })
  for (const leaf of leaves) leaf.requiresGrad = true
  const ours = conv2d(x, w, { bias: b, shortcut: added, stride, padding })
  const gradients = grad(ours, leaves, put(host.dy, batch, out, out, cout))
  return [
    [ours.detach(), y],
    [activated, y.map((v) => (v > 0 ? v : slope * v))],
    ...gradients.map((gradient, i): Pair => [gradient, expected[i]]),
  ]
}

/** A convolution padded by half its kernel, and the gradients of x and w. */
function convolveInLoops(
  x: Float32Array,
  w: Float32Array,
  dy: Float32Array,
  { size, cin, cout, kernel, stride }: Layer,
): { y: Float64Array; dx: Float64Array; dw: Float64Array } {
  const padding = kernel >> 1
  const out = Math.floor((size + 2 * padding - kernel) / stride) + 1
  const [y, dx, dw] = [dy, x, w].map(({ length }) => new Float64Array(length))
  for (let pixel = 0; pixel < y.length / cout; pixel++) {
    const image = Math.floor(pixel / (out * out))
    for (let tap = 0; tap < kernel * kernel; tap++) {
      const row = (Math.floor(pixel / out) % out) * stride + Math.floor(tap / kernel) - padding
      const column = (pixel % out) * stride + (tap % kernel) - padding
      if (row < 0 || row >= size || column < 0 || column >= size) continue
      for (let from = 0; from < cin; from++) {
        const xAt = ((image * size + row) * size + column) * cin + from
        for (let to = 0; to < cout; to++) {
          const [yAt, wAt] = [pixel * cout + to, (tap * cin + from) * cout + to]
          y[yAt] += x[xAt] * w[wAt]
          dx[xAt] += dy[yAt] * w[wAt]
          dw[wAt] += dy[yAt] * x[xAt]
        }
      }
    }
  }
  return { y, dx, dw }
}
