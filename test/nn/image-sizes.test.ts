import { expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { JemModel } from '../../src/jem/model.ts'
import { sum } from '../../src/ops/reduce.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
import type { HostArray } from '../../src/tensor/dtype.ts'
import { scope } from '../../src/tensor/scope.ts'

/** An image or feature map [height, width, channels] in float64. */
interface Map64 {
  values: Float64Array
  height: number
  width: number
  channels: number
}
type Weights = ReadonlyMap<string, { shape: readonly number[]; values: HostArray }>

/** A convolution with zero padding of half the kernel, by its definition. */
function convolve(x: Map64, weights: Weights, name: string, stride = 1): Map64 {
  const { shape, values: w } = weights.get(`${name}.weight`)!
  const bias = weights.get(`${name}.bias`)!.values
  const [kernel, , cin, cout] = shape
  const padding = (kernel - 1) / 2
  const out = (extent: number) => Math.floor((extent + 2 * padding - kernel) / stride) + 1
  const [height, width] = [out(x.height), out(x.width)]
  const values = new Float64Array(height * width * cout)
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      for (let to = 0; to < cout; to++) {
        let total = Number(bias[to])
        for (let ky = 0; ky < kernel; ky++)
          for (let kx = 0; kx < kernel; kx++) {
            const [y, z] = [row * stride + ky - padding, column * stride + kx - padding]
            if (y < 0 || z < 0 || y >= x.height || z >= x.width) continue
            for (let from = 0; from < cin; from++)
              total +=
                x.values[(y * x.width + z) * cin + from] * Number(w[((ky * kernel + kx) * cin + from) * cout + to])
          }
        values[(row * width + column) * cout + to] = total
      }
  return { values, height, width, channels: cout }
}

const map = (x: Map64, value: (v: number, i: number) => number): Map64 => ({ ...x, values: x.values.map(value) })
const lrelu = (x: Map64) => map(x, (v) => (v > 0 ? v : 0.2 * v))

/** The logits of wrn-10-1 for one image, by the released wideresnet.py line by line: a block a stage. */
function naiveLogits(image: Map64, weights: Weights): number[] {
  let x = convolve(image, weights, 'f.conv1')
  for (const stage of [1, 2, 3]) {
    const block = `f.layer${stage}.0`
    const stride = stage === 1 ? 1 : 2
    const h = convolve(lrelu(convolve(lrelu(x), weights, `${block}.conv1`)), weights, `${block}.conv2`, stride)
    const short = weights.has(`${block}.shortcut.0.weight`) ? convolve(x, weights, `${block}.shortcut.0`, stride) : x
    x = map(h, (v, i) => v + short.values[i])
  }
  const last = lrelu(x)
  const features = new Float64Array(last.channels)
  for (const [i, v] of last.values.entries()) features[i % last.channels] += v / (last.height * last.width)
  const head = weights.get('class_output.weight')!
  const bias = weights.get('class_output.bias')!.values
  return Array.from(bias, (b, y) =>
    features.reduce((s, v, i) => s + v * Number(head.values[i * bias.length + y]), Number(b)),
  )
}

test.each([
  [8, 1],
  [9, 3],
  [24, 1],
  [24, 3],
  [28, 3],
  [30, 1],
  [32, 1],
  [64, 3],
])('images %i pixels wide of %i channels: logits and gradient are those of the definition', async (size, channels) => {
  const model = new JemModel({ model: 'wrn-10-1', classes: 3, channels, generator: new Generator(size), dtype: 'f64' })
  try {
    const weights: Weights = new Map(
      [...model.stateDict()].map(([name, t]) => [name, { shape: t.shape, values: t.dataSync() }]),
    )
    const shape = [1, size, size, channels]
    const pixels = new Generator(7).uniforms(size * size * channels).map((v) => 2 * v - 1)
    const naive = (values: Float64Array) => naiveLogits({ values, height: size, width: size, channels }, weights)
    const logsumexp = (logits: number[]) => Math.log(logits.reduce((total, v) => total + Math.exp(v), 0))

    const got = scope(() => model.forward(tensor(pixels, { shape, dtype: 'f64' })).logits)
    expect(await got.data()).toBeAllclose(naive(pixels), { rtol: 1e-10, atol: 1e-12 })
    got.dispose()

    // ∂f/∂x along one direction, by central differences of the definition.
    const direction = new Generator(8).uniforms(pixels.length).map((v) => v - 0.5)
    const along = (step: number) => logsumexp(naive(pixels.map((v, i) => v + step * direction[i])))
    const h = 1e-6
    const slope = (along(h) - along(-h)) / (2 * h)
    const gradient = model.frozen(() =>
      scope(() => {
        const x = tensor(pixels, { shape, dtype: 'f64' })
        x.requiresGrad = true
        return grad(sum(model.logDensity(x)), [x])[0]
      }),
    )
    const values = await gradient.data()
    gradient.dispose()
    expect(direction.reduce((total, v, i) => total + v * Number(values[i]), 0) / slope).toBeCloseTo(1, 5)
  } finally {
    model.dispose()
  }
})
