import { describe, expect, it } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { noGrad } from '../../src/autograd/graph.ts'
import { defaultConfig } from '../../src/jem/config.ts'
import { JemModel } from '../../src/jem/model.ts'
import { type EnergyModel, type SamplerOptions, sgld } from '../../src/jem/sampler.ts'
import { langevinNoise, samplerOptions } from '../../src/jem/trainer.ts'
import { add, mul } from '../../src/ops/arithmetic.ts'
import { conv2d } from '../../src/ops/conv2d.ts'
import { linear } from '../../src/ops/matmul.ts'
import { globalAvgPool } from '../../src/ops/pool.ts'
import { normal, uniform } from '../../src/ops/random.ts'
import { sum } from '../../src/ops/reduce.ts'
import { logsumexp } from '../../src/ops/softmax.ts'
import { affine, clamp, leakyRelu, square } from '../../src/ops/unary.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor, zeros } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

function model(options: Partial<ConstructorParameters<typeof JemModel>[0]> = {}): JemModel {
  return new JemModel({ model: 'wrn-10-1', classes: 3, channels: 1, generator: new Generator(2), ...options })
}

function start(dtype: 'f32' | 'f64' = 'f32'): Tensor {
  return uniform([2, 8, 8, 1], new Generator(4), { low: -1, high: 1, dtype })
}

const statistics = (net: JemModel) => net.namedBuffers().map(([name, b]) => [name, Array.from(b.dataSync())])

describe('SGLD', () => {
  it.each([
    ['f(x)', undefined],
    ['f(x)[y]', [2, 0]],
  ])('climbs %s by stepSize times its slope', (_, labels) => {
    using net = model({ dtype: 'f64' })
    net.eval()
    const moved = scope(() => {
      const x = start('f64')
      sgld(net, x, new Generator(5), {
        ...{ steps: 1, stepSize: 0.5, noiseStd: 0 },
        labels: labels && tensor(Int32Array.from(labels)),
      })
      return x.dataSync()
    })
    const before = scope(() => start('f64').dataSync())
    // The slope by central differences of the sum over the batch.
    const height = (values: Float64Array): number =>
      scope(() =>
        noGrad(() => {
          const { logits, f } = net.forward(tensor(values, { shape: [2, 8, 8, 1] }))
          const all = labels ? logits.dataSync() : f.dataSync()
          return labels ? all[labels[0]] + all[3 + labels[1]] : all[0] + all[1]
        }),
      )
    for (const at of [0, 27, 64, 127]) {
      const [up, down] = [before.slice() as Float64Array, before.slice() as Float64Array]
      up[at] += 1e-6
      down[at] -= 1e-6
      const slope = (height(up) - height(down)) / 2e-6
      expect(moved[at] - before[at]).toBeCloseTo(0.5 * slope, 8)
    }
  })

  it('adds noise of its generator, one draw a step', () => {
    using net = model()
    const [moved, noise] = scope(() => {
      const x = start()
      sgld(net, x, new Generator(5), { steps: 3, stepSize: 0, noiseStd: 0.1 })
      const generator = new Generator(5)
      return [x.dataSync(), [0, 1, 2].map(() => normal([128], generator).dataSync())]
    })
    const before = scope(() => start().dataSync())
    const expected = before.map((v: number, i: number) => v + 0.1 * (noise[0][i] + noise[1][i] + noise[2][i]))
    expect(moved).toBeAllclose(expected, { atol: 1e-6 })
  })

  it('clips the slope and clamps the samples where asked', () => {
    using net = model()
    const moved = scope(() => {
      const x = start()
      sgld(net, x, new Generator(5), { steps: 1, stepSize: 1e6, noiseStd: 0, gradientClip: 1e-7 })
      return x.dataSync()
    })
    const before = scope(() => start().dataSync())
    for (const [i, v] of moved.entries()) expect(Math.abs(v - before[i])).toBeLessThan(0.1001)
    const clamped = scope(() => {
      const x = start()
      sgld(net, x, new Generator(5), { steps: 1, stepSize: 0, noiseStd: 3, clamp: [-1, 1] })
      return x.dataSync()
    })
    expect(clamped.every((v: number) => Math.abs(v) <= 1)).toBe(true)
    expect(clamped.some((v: number) => v === 1)).toBe(true)
  })

  it('runs in eval mode and leaves the model as it was: mode, statistics, no gradients', () => {
    using net = model({ norm: 'batch', dropout: 0.5 })
    net.train()
    const before = statistics(net)
    scope(() => sgld(net, start(), new Generator(5), { steps: 2, stepSize: 1, noiseStd: 0.01 }))
    expect(statistics(net)).toEqual(before)
    expect(net.training).toBe(true)
    expect(net.parameters().every((p) => p.requiresGrad && p.grad === undefined)).toBe(true)
  })

  it('in training mode updates the statistics, unless they are to be kept', () => {
    using net = model({ norm: 'batch' })
    const before = statistics(net)
    const options = { steps: 1, stepSize: 1, noiseStd: 0, mode: 'train' as const }
    scope(() => sgld(net, start(), new Generator(5), { ...options, keepStatistics: true }))
    expect(statistics(net)).toEqual(before)
    scope(() => sgld(net, start(), new Generator(5), options))
    expect(statistics(net)).not.toEqual(before)
  })
})

describe('PYLD, several updates with one gradient', () => {
  const moved = (net: JemModel, options: Partial<SamplerOptions>, dtype: 'f32' | 'f64' = 'f32'): number[] =>
    scope(() => {
      const x = start(dtype)
      sgld(net, x, new Generator(5), { steps: 3, stepSize: 0.3, noiseStd: 0.01, ...options })
      return Array.from(x.dataSync())
    })

  it('is SGLD to the bit where there is one inner step', () => {
    using net = model()
    for (const options of [{}, { gradientClip: 1e-3, clamp: [-1, 1] as const }]) {
      expect(moved(net, { ...options, innerSteps: 1 })).toEqual(moved(net, options))
      expect(moved(net, { ...options, innerSteps: 2 })).not.toEqual(moved(net, options))
    }
  })

  // JEMPP `sample_q` in float64, with the trunk written out and every inner gradient taken anew through the first layer.
  it('is the released loop of M outer and N inner steps', () => {
    using net = model({ dtype: 'f64' })
    net.eval()
    const state = net.stateDict()
    const layer = (name: string, x: Tensor, stride = 1) => {
      const weight = state.get(`${name}.weight`)!
      return conv2d(x, weight, { bias: state.get(`${name}.bias`)!, stride, padding: weight.shape[0] >> 1 })
    }
    const head = (h: Tensor): Tensor => {
      for (const [i, stride] of [1, 2, 2].entries()) {
        const block = `f.layer${i + 1}.0`
        const inner = layer(`${block}.conv1`, leakyRelu(h, 0.2))
        const outer = layer(`${block}.conv2`, leakyRelu(inner, 0.2), stride)
        h = add(outer, state.has(`${block}.shortcut.0.weight`) ? layer(`${block}.shortcut.0`, h, stride) : h)
      }
      const features = globalAvgPool(leakyRelu(h, 0.2))
      return logsumexp(linear(features, state.get('class_output.weight')!, state.get('class_output.bias')!))
    }
    const leafOf = (x: Tensor) => {
      const leaf = x.detach()
      leaf.requiresGrad = true
      return leaf
    }
    const [M, N, stepSize, clip] = [3, 4, 2.5, 2e-3]
    const expected = scope(() =>
      net.frozen(() => {
        let x = start('f64')
        for (let m = 0; m < M; m++) {
          const h = leafOf(layer('f.conv1', x))
          const p = grad(sum(head(h)), [h])[0]
          for (let n = 0; n < N; n++) {
            const leaf = leafOf(x)
            const gradient = grad(sum(mul(layer('f.conv1', leaf), p)), [leaf])[0]
            x = clamp(add(x.detach(), affine(clamp(gradient, -clip, clip), stepSize, 0)), -1, 1)
          }
        }
        return Array.from(x.dataSync())
      }),
    )
    const options = { steps: M, innerSteps: N, stepSize, noiseStd: 0, gradientClip: clip, clamp: [-1, 1] as const }
    const got = moved(net, options, 'f64')
    expect(got).toBeAllclose(expected, { atol: 1e-12, rtol: 0 })
    // Some elements were clipped, some were not: both ways were taken.
    const from = scope(() => Array.from(start('f64').dataSync()))
    const distances = got.map((v, i) => Math.abs(v - from[i]))
    const longest = M * N * stepSize * clip
    expect(distances.some((d) => Math.abs(d - longest) < 1e-9)).toBe(true)
    expect(distances.some((d) => d < 0.5 * longest)).toBe(true)
  })

  it('adds noise once for each gradient', () => {
    using net = model()
    const got = moved(net, { steps: 1, innerSteps: 3, stepSize: 0, noiseStd: 0.1 })
    const [noise, from] = scope(() => {
      const generator = new Generator(5)
      const draws = [0, 1, 2].map(() => normal([128], generator).dataSync())
      return [draws[2], start().dataSync()]
    })
    expect(got).toBeAllclose(
      from.map((v: number, i: number) => v + 0.1 * noise[i]),
      { atol: 1e-6 },
    )
  })
})

describe('Langevin scaling', () => {
  /** log p(x) = −Σ x²/(2s²): any model of energies can be sampled. */
  const gaussian = (s: number): EnergyModel => ({
    training: false,
    train: () => {},
    frozen: (fn) => fn(),
    namedBuffers: () => [],
    logDensity: (x) => affine(sum(square(x), { axes: [1, 2, 3] }), -1 / (2 * s * s), 0),
  })

  // x' = (1 − h/s²)·x + √(2hT)·n has the stationary variance 2hT/(1 − (1 − h/s²)²) = T·s²/(1 − h/(2s²)).
  it.each([
    { s: 1, stepSize: 0.1, temperature: 1 },
    { s: 0.5, stepSize: 0.05, temperature: 1 },
    { s: 1, stepSize: 0.2, temperature: 0.25 },
  ])('of temperature $temperature gives a Gaussian of deviation $s its variance', ({ s, stepSize, temperature }) => {
    const count = 40_000
    const steps = 60 // what is left of the start: (1 − h/s²)^60 ≤ 0.002
    const { noiseStd } = samplerOptions({ ...defaultConfig, stepSize, langevinTemperature: temperature, noiseStd: 9 })
    expect(noiseStd).toBe(langevinNoise(stepSize, temperature))
    const values = scope(() => {
      const x = zeros([count, 1, 1, 1], { dtype: 'f64' })
      sgld(gaussian(s), x, new Generator(7), { steps, stepSize, noiseStd })
      return Array.from(x.dataSync() as Float64Array)
    })
    const shrink = 1 - stepSize / (s * s)
    const variance = ((temperature * s * s) / (1 - stepSize / (2 * s * s))) * (1 - shrink ** (2 * steps))
    const mean = values.reduce((a, b) => a + b) / count
    const measured = values.reduce((total, v) => total + (v - mean) ** 2, 0) / count
    // Five standard errors of a Gaussian's mean and variance.
    expect(Math.abs(mean)).toBeLessThan(5 * Math.sqrt(variance / count))
    expect(Math.abs(measured / variance - 1)).toBeLessThan(5 * Math.sqrt(2 / count))
  })

  it('is off as released: step and noise are numbers of their own', () => {
    expect(samplerOptions(defaultConfig)).toMatchObject({ stepSize: 1, noiseStd: 0.01 })
    // A paper's x + α/2·∂f/∂x + √α·n.
    expect(langevinNoise(0.04 / 2)).toBeCloseTo(Math.sqrt(0.04), 15)
  })
})
