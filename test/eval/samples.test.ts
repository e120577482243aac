import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/data/dataset.ts'
import { imagesOf, pickImages } from '../../src/eval/pictures.ts'
import { type ChainTrace, judgeChains, longChains, pixelShares } from '../../src/eval/samples/longChains.ts'
import { nearestImages } from '../../src/eval/samples/neighbours.ts'
import { outputsOf } from '../../src/eval/samples/outputs.ts'
import { classRows, samplePool } from '../../src/eval/samples/pool.ts'
import { modelOutputs } from '../../src/eval/scores.ts'
import { Generator } from '../../src/random/generator.ts'
import { bars } from '../jem/tiny.ts'
import { trainedOnBars } from './small-net.ts'

const { model, data } = trainedOnBars()
afterAll(() => model.dispose())

describe('nearest images', () => {
  const set: Dataset = { ...bars(60), images: Uint8Array.from({ length: 60 * 64 }, (_, i) => (i * 7919) % 251) }

  it('are those of a search in float64 over all pairs, whatever the batch', async () => {
    const samples = { ...imagesOf(bars(7)), pixels: Float32Array.from({ length: 7 * 64 }, (_, i) => Math.sin(i * i)) }
    const expected = Array.from({ length: 7 }, (_, i) => {
      const distances = Array.from({ length: 60 }, (_, j) =>
        Math.hypot(
          ...Array.from(
            { length: 64 },
            (_, at) => (samples.pixels[i * 64 + at] + 1) / 2 - set.images[j * 64 + at] / 255,
          ),
        ),
      )
      return { place: distances.indexOf(Math.min(...distances)), distance: Math.min(...distances) }
    })
    for (const batch of [7, 60, 1000]) {
      const told: number[] = []
      const found = await nearestImages(samples, set, { batch, onProgress: (done) => told.push(done) })
      expect([...found.places]).toEqual(expected.map(({ place }) => place))
      for (const [i, { distance }] of expected.entries()) expect(found.distances[i]).toBeCloseTo(distance, 10)
      expect(told.at(-1)).toBe(60)
    }
  })

  it('of images of the set are themselves, at distance 0', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(59), { minLength: 1, maxLength: 5 }), async (places) => {
        const found = await nearestImages(pickImages(imagesOf(set), places), set, { batch: 11 })
        expect([...found.places]).toEqual(places)
        for (const distance of found.distances) expect(distance).toBeLessThan(1e-6)
      }),
      { numRuns: 20 },
    )
  })

  it('refuses images of another size', async () => {
    await expect(nearestImages(imagesOf(bars(2, { size: 4 })), set)).rejects.toThrow('images must be 8×8×1')
  })
})

describe('long chains', () => {
  const point = (step: number, mean: number | null, changes: Partial<ChainTrace> = {}): ChainTrace => ({
    ...{ step, f: mean === null ? null : { mean, min: mean, max: mean } },
    ...{ outside: 0, extreme: 0.1, rms: 0.5, notFinite: 0, ...changes },
  })
  const reference = { fStd: 2, extreme: 0.1 }
  const trace = (f: (i: number) => number) => Array.from({ length: 51 }, (_, i) => point(i * 200, f(i)))

  it('are fine where f settles', () => {
    const settled = trace((i) => (i < 10 ? -100 + 10 * i : (i % 2) * 0.1))
    const verdict = judgeChains(settled, reference)
    expect(verdict).toMatchObject({ blewUp: false, saturated: false, drifts: false })
    expect(Math.abs(verdict.drift!)).toBeLessThan(0.1)
  })

  it('drift where f still climbs by more than its spread over data', () => {
    // The last tenth is points 46 to 50, the tenth after the middle 25 to 29: 21 points apart.
    const verdict = judgeChains(
      trace((i) => i),
      reference,
    )
    expect(verdict.drift).toBeCloseTo(21 / 2, 12)
    expect(verdict.drifts).toBe(true)
  })

  it('blow up where a value is not finite or the images leave the range as a whole', () => {
    const start = trace(() => 0)
    expect(judgeChains([...start, point(1e4, 0, { rms: 2.1 })], reference).blewUp).toBe(true)
    expect(judgeChains([point(0, 0, { notFinite: 1 }), ...start], reference).blewUp).toBe(true)
    expect(judgeChains([...start, point(1e4, null)].slice(-2), reference)).toMatchObject({ drifts: true })
  })

  it('saturate where far more pixels than in data are black or white', () => {
    const start = trace(() => 0)
    expect(judgeChains([...start, point(1e4, 0, { extreme: 0.29 })], reference).saturated).toBe(false)
    expect(judgeChains([...start, point(1e4, 0, { extreme: 0.31 })], reference).saturated).toBe(true)
  })

  it('have their pixel shares counted by hand', () => {
    const values = Float32Array.of(-1, 1, 1.5, 0.999, 0, Number.NaN, Number.NEGATIVE_INFINITY, 0.99)
    const { outside, extreme, rms, notFinite } = pixelShares(values)
    expect(notFinite).toBe(2)
    expect(outside).toBeCloseTo(1 / 6, 12)
    expect(extreme).toBeCloseTo(4 / 6, 12)
    expect(rms).toBeCloseTo(Math.sqrt((1 + 1 + 2.25 + 0.999 ** 2 + 0.99 ** 2) / 6), 6)
  })

  it('are traced from their start to their last step, and stop where asked', async () => {
    const start = pickImages(imagesOf(data), [0, 1])
    const options = { stepSize: 0.1, noiseStd: 0.01, steps: 30, points: 4 }
    const { trace, frames } = await longChains(model, start, new Generator(1), options)
    expect(trace.map(({ step }) => step)).toEqual([0, 10, 20, 30])
    expect(frames[0].pixels).toEqual(start.pixels)
    const { f } = await outputsOf(model, frames[3])
    expect(trace[3].f!.mean).toBeCloseTo((f[0] + f[1]) / 2, 5)
    const signal = AbortSignal.abort(new Error('stopped'))
    await expect(longChains(model, start, new Generator(1), { ...options, signal })).rejects.toThrow('stopped')
    await expect(longChains(model, start, new Generator(1), { ...options, points: 1 })).rejects.toThrow('2 points')
  })
})

describe('sample pools', () => {
  it('hear of samples what a data set of the same pixels is told', async () => {
    const told = await outputsOf(model, imagesOf(data), { batch: 7 })
    const expected = await modelOutputs(model, data, { sigma: 0 })
    expect(told.f).toBeAllclose(expected.f, { rtol: 1e-5, atol: 1e-3 })
    expect(told.logits).toBeAllclose(expected.logits, { rtol: 1e-5, atol: 1e-3 })
  })

  it('leave out samples that are not finite, and put each into the row of its class', async () => {
    const images = imagesOf(data)
    images.pixels[0] = Number.NaN
    const pool = await samplePool(model, images, {})
    expect(pool.images.count).toBe(39)
    expect([...pool.predicted]).toEqual(Array.from(data.labels.slice(1)))
    const order = Int32Array.from({ length: 39 }, (_, i) => 38 - i)
    const rows = classRows(pool, order, 4, 3)
    expect(rows.count).toBe(12)
    // Of class 0, the last three of the set: 36, 32, 28.
    expect(rows.pixels.subarray(0, 3 * 64)).toEqual(pickImages(images, [36, 32, 28]).pixels)
  })
})
