import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bootstrapIntervals } from '../../src/eval/bootstrap.ts'
import { Detection, type DetectionMetrics, detectionMetricNames, detectionMetrics } from '../../src/eval/detection.ts'
import { auroc } from '../../src/eval/metrics.ts'
import { Generator } from '../../src/random/generator.ts'

interface Case {
  name: string
  inside: number[]
  outside: number[]
  expected: DetectionMetrics
}
const fixture = new URL('../fixtures/eval/detection.json', import.meta.url)
const cases = (JSON.parse(readFileSync(fixture, 'utf8')) as { detection: Case[] }).detection

describe('OOD metrics', () => {
  it.each(cases.map((one) => [one.name, one] as const))('are those of scikit-learn: %s', (_, one) => {
    const metrics = detectionMetrics(one.inside, one.outside)
    for (const name of detectionMetricNames) expect(metrics[name], name).toBeCloseTo(one.expected[name], 12)
  })

  it('by hand, with a tie between the sides', () => {
    // Thresholds 3 | 2, 2 | 1, with ID 3 and 2, OOD 2 and 1.
    const metrics = detectionMetrics([3, 2], [2, 1])
    expect(metrics.auroc).toBe(3.5 / 4)
    // Precision 1 at recall 1/2, 2/3 at recall 1.
    expect(metrics.auprIn).toBeCloseTo(0.5 * 1 + 0.5 * (2 / 3), 15)
    expect(metrics.auprOut).toBeCloseTo(0.5 * 1 + 0.5 * (2 / 3), 15)
    // Both ID images are accepted only at 2, which accepts one of two OOD images.
    expect(metrics.fpr95).toBe(0.5)
  })

  it('take the highest threshold that accepts 95 % of the ID images, and no more', () => {
    // 20 ID scores 1..20: 19 of them are >= 2.
    const inside = Array.from({ length: 20 }, (_, i) => i + 1)
    expect(detectionMetrics(inside, [1.5, 2.5, 2.5, 0]).fpr95).toBe(0.5)
    // With 21, 95 % are 19.95: 20 images, so the threshold is 1 of 0..20.
    expect(detectionMetrics([0, ...inside], [0.5, 1.5, 2.5, 2.5]).fpr95).toBe(0.75)
  })

  it('AUPR follows the base rate where AUROC does not', () => {
    const inside = [1, 2, 3]
    const outside = [0, 1.5, 2.5]
    const many = Array.from({ length: 10 }, () => outside).flat()
    expect(detectionMetrics(inside, many).auroc).toBeCloseTo(detectionMetrics(inside, outside).auroc, 15)
    expect(detectionMetrics(inside, many).auprIn).toBeLessThan(detectionMetrics(inside, outside).auprIn - 0.2)
  })

  it('an uninformative score has AUROC 1/2, AUPR the base rates and FPR 1', () => {
    const metrics = detectionMetrics(new Float32Array(30), new Float32Array(10))
    expect(metrics).toEqual({ auroc: 0.5, auprIn: 0.75, auprOut: 0.25, fpr95: 1 })
  })

  it('do not change under any rising map of the scores, and mirror when the sides swap', () => {
    const values = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(values, values, (inside, outside) => {
        const metrics = detectionMetrics(inside, outside)
        const risen = (x: number) => Math.exp(x / 3) - 5
        expect(detectionMetrics(inside.map(risen), outside.map(risen))).toEqual(metrics)
        expect(metrics.auroc).toBeCloseTo(auroc(inside, outside), 12)
        const mirrored = detectionMetrics(
          outside.map((x) => -x),
          inside.map((x) => -x),
        )
        expect(mirrored.auroc).toBeCloseTo(metrics.auroc, 12)
        expect(mirrored.auprIn).toBeCloseTo(metrics.auprOut, 12)
        expect(mirrored.auprOut).toBeCloseTo(metrics.auprIn, 12)
      }),
    )
  })

  it('refuse NaN, counted, and a missing side', () => {
    expect(() => detectionMetrics([1, Number.NaN, Number.NaN], [0])).toThrow('2 of 3 in-distribution scores are NaN')
    expect(() => detectionMetrics([1], [Number.NaN])).toThrow('1 of 1 out-of-distribution scores are NaN')
    expect(() => detectionMetrics([1], [])).toThrow(/undefined without out-of-distribution scores: only one class/)
    expect(detectionMetrics([Number.POSITIVE_INFINITY, 0], [Number.NEGATIVE_INFINITY, -0]).auroc).toBe(0.875)
  })
})

describe('bootstrap intervals', () => {
  const normals = (seed: number, count: number, mean: number) => {
    const uniforms = new Generator(seed).uniforms(2 * count)
    return Float64Array.from(
      { length: count },
      (_, i) => mean + Math.sqrt(-2 * Math.log(1 - uniforms[2 * i])) * Math.cos(2 * Math.PI * uniforms[2 * i + 1]),
    )
  }

  it('are as wide as the standard error of DeLong et al. (1988) says', async () => {
    const [inside, outside] = [normals(1, 400, 1), normals(2, 300, 0)]
    const area = auroc(inside, outside)
    // Var(AUROC) ≈ Var_i P(i > OOD)/n + Var_j P(ID > j)/m over the placements of each score.
    const variance = (values: number[]) =>
      values.reduce((sum, v) => sum + (v - area) ** 2, 0) / (values.length - 1) / values.length
    const deLong = Math.sqrt(
      variance(Array.from(inside, (x) => auroc([x], outside))) +
        variance(Array.from(outside, (x) => auroc(inside, [x]))),
    )
    const sizes = { inside: 400, outside: 300 }
    const draw = (seed: number) =>
      bootstrapIntervals({ x: new Detection(inside, outside) }, sizes, new Generator(seed), {
        resamples: 1000,
        level: 0.95,
      })
    const [low, high] = (await draw(3)).x.auroc
    expect(low).toBeLessThan(area)
    expect(high).toBeGreaterThan(area)
    // The ends of 1000 resamples vary by about 5 % of the width.
    expect((high - low) / (2 * 1.96 * deLong)).toBeGreaterThan(0.85)
    expect((high - low) / (2 * 1.96 * deLong)).toBeLessThan(1.15)
    expect((await draw(3)).x).toEqual((await draw(3)).x)
    expect((await draw(3)).x).not.toEqual((await draw(4)).x)
  })

  it('resampling every place once gives the metrics themselves', () => {
    const [inside, outside] = [normals(1, 50, 1), normals(2, 40, 0)]
    const detection = new Detection(inside, outside)
    const all = (count: number) => Int32Array.from({ length: count }, (_, i) => count - 1 - i)
    expect(detection.resampled(all(50), all(40))).toEqual(detection.metrics())
    const twice = Int32Array.of(3, 3)
    expect(detection.resampled(twice, all(40)).auroc).toBeCloseTo(auroc([inside[3], inside[3]], outside), 14)
  })
})
