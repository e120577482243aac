import { describe, expect, it } from 'vitest'
import { GaussianStart, uniformStart } from '../../src/jem/chainStart.ts'
import { ReplayBuffer } from '../../src/jem/replayBuffer.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
import { keep, scope } from '../../src/tensor/scope.ts'

const [height, width, channels] = [2, 2, 1]
const pixels = height * width * channels

// Two groups of correlated bytes about mid-grey, so that clamping to [-1, 1] never matters.
const bytes = Uint8Array.from({ length: 60 * pixels }, (_, at) => {
  const [image, p] = [Math.floor(at / pixels), at % pixels]
  const shared = ((image * 37) % 29) - 14
  return 127 + (image % 2 === 0 ? 20 : -30) + (p < 2 ? shared : -shared) + ((at * 53) % 11)
})
const groupOf = (image: number) => image % 2
const groups = [0, 1].map((g) => Int32Array.from({ length: 30 }, (_, i) => 2 * i + g))

const images = () => keep(tensor(bytes, { shape: [60, height, width, channels] }))

/** Mean and covariance (divided by n) in float64. */
function moments(rows: number[][]): { mean: number[]; covariance: number[][] } {
  const mean = rows[0].map((_, p) => rows.reduce((total, row) => total + row[p], 0) / rows.length)
  const covariance = mean.map((mp, p) =>
    mean.map((mq, q) => rows.reduce((total, row) => total + (row[p] - mp) * (row[q] - mq), 0) / rows.length),
  )
  return { mean, covariance }
}

const rowsOf = (values: ArrayLike<number>) =>
  Array.from({ length: values.length / pixels }, (_, i) =>
    Array.from({ length: pixels }, (_, p) => values[i * pixels + p]),
  )

const rowsOfGroup = (g: number) =>
  rowsOf(Array.from(bytes, (byte) => byte / 127.5 - 1)).filter((_, image) => groupOf(image) === g)

/** Within five standard errors of what n draws from this Gaussian give. */
function expectDrawnFrom(rows: number[][], { mean, covariance }: ReturnType<typeof moments>): void {
  const n = rows.length
  const drawn = moments(rows)
  // JEMPP adds 1e-4 to the diagonal.
  const s = covariance.map((row, p) => row.map((v, q) => v + (p === q ? 1e-4 : 0)))
  for (let p = 0; p < pixels; p++) {
    expect(Math.abs(drawn.mean[p] - mean[p])).toBeLessThan(5 * Math.sqrt(s[p][p] / n))
    for (let q = 0; q < pixels; q++) {
      const error = Math.sqrt((s[p][p] * s[q][q] + s[p][q] ** 2) / n)
      expect(Math.abs(drawn.covariance[p][q] - s[p][q])).toBeLessThan(5 * error)
    }
  }
}

describe('chains that start from Gaussians', () => {
  it('have the mean and the covariance of the images of their class', () => {
    using given = images()
    const labels = Uint8Array.from({ length: 20_000 }, (_, i) => (i % 3 === 0 ? 1 : 0))
    const rows = rowsOf(
      scope(() =>
        new GaussianStart(given, groups).draw(20_000, new Generator(1), { labelOf: (i) => labels[i] }).dataSync(),
      ),
    )
    for (const g of [0, 1]) {
      expectDrawnFrom(
        rows.filter((_, i) => labels[i] === g),
        moments(rowsOfGroup(g)),
      )
    }
  })

  it('have those of all images, where there is one Gaussian', () => {
    using given = images()
    const all = Int32Array.from({ length: 60 }, (_, i) => i)
    const rows = rowsOf(scope(() => new GaussianStart(given, [all]).draw(10_000, new Generator(2)).dataSync()))
    expectDrawnFrom(rows, moments([...rowsOfGroup(0), ...rowsOfGroup(1)]))
  })

  it('without labels draw their class uniformly', () => {
    using given = images()
    const rows = rowsOf(scope(() => new GaussianStart(given, groups).draw(2000, new Generator(3)).dataSync()))
    // The classes' means lie apart by far more than their spread.
    const means = groups.map((_, g) => moments(rowsOfGroup(g)).mean)
    const middle = (means[0].reduce((a, b) => a + b) + means[1].reduce((a, b) => a + b)) / 2
    const first = rows.filter((row) => row.reduce((a, b) => a + b) > middle).length
    expect(Math.abs(first - 1000)).toBeLessThan(5 * Math.sqrt(2000 * 0.25))
  })

  it('stay in [-1, 1]', () => {
    const extremes = Uint8Array.from({ length: 8 * pixels }, (_, at) => (at % 3 === 0 ? 255 : 0))
    using given = keep(tensor(extremes, { shape: [8, height, width, channels] }))
    const all = Int32Array.from({ length: 8 }, (_, i) => i)
    const drawn = scope(() => new GaussianStart(given, [all]).draw(500, new Generator(4)).dataSync())
    expect(drawn.every((v: number) => Math.abs(v) <= 1)).toBe(true)
    expect(drawn.some((v: number) => v === 1)).toBe(true)
  })

  it('are refused for a class without images', () => {
    using given = images()
    expect(() => new GaussianStart(given, [groups[0], new Int32Array(0)])).toThrow(
      expect.objectContaining({ code: 'CONFIG', message: expect.stringContaining('class 1 has no labelled') }),
    )
  })
})

describe('a replay buffer that starts from Gaussians', () => {
  const options = { height, width, channels, classes: 2, reinitProbability: 0.5, seed: 5 }
  const total = (row: number[]) => row.reduce((a, b) => a + b)

  it('fills the segment of each class with that class, and starts its chains afresh there', () => {
    using given = images()
    const start = new GaussianStart(given, groups)
    const means = groups.map((_, g) => total(moments(rowsOfGroup(g)).mean))
    const classOf = (row: number[]) => (Math.abs(total(row) - means[0]) < Math.abs(total(row) - means[1]) ? 0 : 1)
    const buffer = new ReplayBuffer({ ...options, size: 400, start })
    const first = rowsOf(buffer.samples.dataSync()).map(classOf)
    // Three standard deviations lie between the classes' sums: some samples are on the other side.
    expect(first.slice(0, 200).filter((k) => k === 0).length).toBeGreaterThan(180)
    expect(first.slice(200).filter((k) => k === 1).length).toBeGreaterThan(180)
    scope(() => {
      const labels = Uint8Array.from({ length: 200 }, (_, i) => i % 2)
      const drawn = rowsOf(buffer.draw(200, labels).x.dataSync()).map(classOf)
      expect(drawn.filter((k, i) => k === labels[i]).length).toBeGreaterThan(180)
    })
    buffer.dispose()
  })

  it('keeps the samples of chains that do not start afresh', () => {
    using given = images()
    const buffer = new ReplayBuffer({
      ...options,
      reinitProbability: 0,
      size: 8,
      start: new GaussianStart(given, groups),
    })
    scope(() => {
      const kept = rowsOf(buffer.samples.dataSync())
      const { x, slots } = buffer.draw(16)
      const chosen = slots.dataSync() as Int32Array
      expect(rowsOf(x.dataSync())).toEqual(Array.from(chosen, (slot) => kept[slot]))
    })
    buffer.dispose()
  })

  it('of size 0 starts every chain from them', () => {
    using given = images()
    const buffer = new ReplayBuffer({ ...options, size: 0, start: new GaussianStart(given, groups) })
    const labels = new Uint8Array(4000)
    const rows = rowsOf(scope(() => buffer.draw(4000, labels).x.dataSync()))
    expectDrawnFrom(rows, moments(rowsOfGroup(0)))
    buffer.dispose()
  })

  it('of uniform noise has the moments of U(-1, 1)', () => {
    const rows = rowsOf(scope(() => uniformStart(options, 'cpu').draw(8000, new Generator(6)).dataSync()))
    const { mean, covariance } = moments(rows)
    // Variance 1/3; that of x² is 1/5 − 1/9.
    for (let p = 0; p < pixels; p++) {
      expect(Math.abs(mean[p])).toBeLessThan(5 * Math.sqrt(1 / 3 / 8000))
      expect(Math.abs(covariance[p][p] - 1 / 3)).toBeLessThan(5 * Math.sqrt((1 / 5 - 1 / 9) / 8000))
    }
  })
})
