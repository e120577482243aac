import { describe, expect, test } from 'vitest'
import { normal, randomInt, uniform } from '../../src/ops/random.ts'
import { sgldUpdate } from '../../src/ops/training.ts'
import { affine } from '../../src/ops/unary.ts'
import { Generator } from '../../src/random/generator.ts'
import { zeros } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { erf } from '../ops/host.ts'

const count = 1_000_000
const normals = scope(() => normal([count], new Generator(2024)).dataSync() as Float32Array)
const moment = (k: number): number => normals.reduce((s, v) => s + v ** k, 0) / count

/** Of a statistic with this standard deviation: a right generator is beyond once in 10⁷ tests. */
const sigmas = 5.3

describe('a million normals', () => {
  // Var(n^k) = E n^2k − (E n^k)²: 1, 2, 15, 96, …
  test.each([
    [1, 0, 1],
    [2, 1, 2],
    [3, 0, 15],
    [4, 3, 96],
    [6, 15, 10_170],
  ])('have the moment of order %i', (order, expected, variance) => {
    expect(Math.abs(moment(order) - expected)).toBeLessThan(sigmas * Math.sqrt(variance / count))
  })

  test('follow the normal distribution (Kolmogorov–Smirnov)', () => {
    const sorted = normals.slice().sort()
    let distance = 0
    sorted.forEach((v, i) => {
      const cdf = 0.5 * (1 + erf(v / Math.SQRT2))
      distance = Math.max(distance, Math.abs(cdf - i / count), Math.abs(cdf - (i + 1) / count))
    })
    // P(√n·D > 2.7) = 2·exp(−2·2.7²) ≈ 1e-6
    expect(distance * Math.sqrt(count)).toBeLessThan(2.7)
  })

  test.each([1, 2, 3, 4, 4.5])('have the tails beyond %f standard deviations', (bound) => {
    const p = 1 - erf(bound / Math.SQRT2)
    const beyond = normals.reduce((n, v) => n + (Math.abs(v) > bound ? 1 : 0), 0)
    expect(Math.abs(beyond - count * p)).toBeLessThan(sigmas * Math.sqrt(count * p))
  })

  test('are independent of their neighbours, one to eight places away', () => {
    for (let lag = 1; lag <= 8; lag++) {
      let s = 0
      for (let i = lag; i < count; i++) s += normals[i] * normals[i - lag]
      expect(Math.abs(s) / Math.sqrt(count - lag), `lag ${lag}`).toBeLessThan(sigmas)
    }
  })

  test('are independent of the draw before', () => {
    const g = new Generator(2024)
    const [a, b] = scope(() => [normal([100_000], g).dataSync(), normal([100_000], g).dataSync()])
    let s = 0
    for (let i = 0; i < a.length; i++) s += a[i] * b[i]
    expect(Math.abs(s) / Math.sqrt(a.length)).toBeLessThan(sigmas)
  })
})

test('uniforms fill [0, 1) evenly', () => {
  const values = scope(() => uniform([count], new Generator(8)).dataSync() as Float32Array)
  expect(values.every((v) => v >= 0 && v < 1)).toBe(true)
  const bins = new Array<number>(256).fill(0)
  for (const v of values) {
    bins[Math.floor(v * 256)]++
  }
  const chi2 = bins.reduce((s, n) => s + (n - count / 256) ** 2 / (count / 256), 0)
  expect(Math.abs(chi2 - 255)).toBeLessThan(sigmas * Math.sqrt(2 * 255))
})

test('integers fill their range evenly', () => {
  const values = scope(() => randomInt([count], new Generator(8), { low: -3, high: 10 }).dataSync() as Int32Array)
  const bins = new Array<number>(13).fill(0)
  for (const v of values) bins[v + 3]++
  const chi2 = bins.reduce((s, n) => s + (n - count / 13) ** 2 / (count / 13), 0)
  expect(Math.abs(chi2 - 12)).toBeLessThan(sigmas * Math.sqrt(2 * 12) + 10)
})

describe('SGLD on f(x) = −x²/(2s²)', () => {
  // x' = x + stepSize·(−x/s²) + noiseStd·n = (1 − a)·x + noiseStd·n has the stationary variance
  // noiseStd² / (1 − (1 − a)²), a = stepSize/s².
  test.each([
    { s: 1, stepSize: 0.1, noiseStd: Math.sqrt(0.2) }, // the Langevin form: α/2 and √α
    { s: 0.5, stepSize: 0.1, noiseStd: 0.3 },
    { s: 2, stepSize: 1, noiseStd: 0.01 }, // the released code's step and noise
    { s: 1, stepSize: 1.5, noiseStd: 1 }, // overshoots at each step
  ])('reaches the variance of its discretised chain: $stepSize, $noiseStd at s = $s', ({ s, stepSize, noiseStd }) => {
    const chains = 100_000
    const a = stepSize / s ** 2
    const expected = noiseStd ** 2 / (1 - (1 - a) ** 2)
    const steps = Math.ceil(Math.log(1e-5) / Math.log(Math.abs(1 - a)))
    scope(() => {
      const x = zeros([chains])
      const generator = new Generator(11, 'sgld')
      for (let i = 0; i < steps; i++) {
        scope(() => sgldUpdate(x, affine(x, -1 / s ** 2, 0), generator, { stepSize, noiseStd }))
      }
      const values = x.dataSync() as Float32Array
      const mean = values.reduce((t, v) => t + v, 0) / chains
      const variance = values.reduce((t, v) => t + (v - mean) ** 2, 0) / (chains - 1)
      expect(Math.abs(mean)).toBeLessThan(sigmas * Math.sqrt(expected / chains))
      // Var(s²) of normals = 2σ⁴/n
      expect(Math.abs(variance / expected - 1)).toBeLessThan(sigmas * Math.sqrt(2 / chains))
    })
  })
})
