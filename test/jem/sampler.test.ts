import { describe, expect, it } from 'vitest'
import { noGrad } from '../../src/autograd/graph.ts'
import { JemModel } from '../../src/jem/model.ts'
import { sgld } from '../../src/jem/sampler.ts'
import { normal, uniform } from '../../src/ops/random.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
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
