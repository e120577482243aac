import { afterAll, describe, expect, it } from 'vitest'
import { accuracyCurve, curveOfDistances, imageTensor } from '../../../src/eval/attacks/accuracyCurve.ts'
import { apgd } from '../../../src/eval/attacks/apgd.ts'
import type { Attack } from '../../../src/eval/attacks/attack.ts'
import { type Classifier, classifierOf, refinedClassifier } from '../../../src/eval/attacks/classifier.ts'
import { distalAdversarials } from '../../../src/eval/attacks/distal.ts'
import { marginOf, slope } from '../../../src/eval/attacks/evaluate.ts'
import { gradientMasking } from '../../../src/eval/attacks/gradientMasking.ts'
import { margin } from '../../../src/eval/attacks/losses.ts'
import { minimalDistances } from '../../../src/eval/attacks/minimalDistance.ts'
import { pgd } from '../../../src/eval/attacks/pgd.ts'
import { sgld } from '../../../src/jem/sampler.ts'
import { add, mul } from '../../../src/ops/arithmetic.ts'
import { clone } from '../../../src/ops/cast.ts'
import { sum } from '../../../src/ops/reduce.ts'
import { Generator } from '../../../src/random/generator.ts'
import { tensor } from '../../../src/tensor/create.ts'
import { scope } from '../../../src/tensor/scope.ts'
import { trainedOnBars } from '../small-net.ts'

const { model, data } = trainedOnBars()
const net = classifierOf(model)
afterAll(() => model.dispose())

const epsilons = [4, 16, 32, 64, 128]
const curve = (classifier: Classifier, attack: Attack, options = {}) =>
  accuracyCurve(classifier, data, attack, { norm: 'linf', epsilons, ...options })

describe('accuracy against epsilon', () => {
  it('starts at the accuracy without an attack, never rises, and is what the images say', async () => {
    const { points, brokenAt, images } = await curve(net, pgd({ steps: 10 }))
    expect(points.map(({ epsilon }) => epsilon)).toEqual([0, ...epsilons])
    expect(points[0].accuracy).toBe(1)
    expect(points.at(-1)!.accuracy).toBeLessThan(1)
    for (const [i, { epsilon, accuracy }] of points.entries()) {
      if (i > 0) expect(accuracy).toBeLessThanOrEqual(points[i - 1].accuracy)
      expect(accuracy).toBe(brokenAt.filter((at) => at > epsilon).length / images)
    }
  })

  it('is the same for the same seed, whatever ran before, and counts progress to its end', async () => {
    const told: number[] = []
    const once = await curve(net, pgd({ steps: 3 }), {
      seed: 5,
      batch: 16,
      onProgress: (done: number) => told.push(done),
    })
    expect(await curve(net, pgd({ steps: 3 }), { seed: 5, batch: 16 })).toEqual(once)
    expect(told.at(-1)).toBe(40 * epsilons.length)
    expect(told).toEqual([...told].sort((a, b) => a - b))
  })

  it('counts wrong images as broken at 0', async () => {
    const wrong = { ...data, labels: data.labels.map((label, i) => (i < 10 ? (label + 1) % 4 : label)) }
    const { points, brokenAt } = await accuracyCurve(net, wrong, pgd({ steps: 1 }), { norm: 'l2', epsilons: [0] })
    expect(points).toEqual([{ epsilon: 0, accuracy: 0.75 }])
    expect(brokenAt.findIndex((at) => at > 0)).toBe(10)
  })

  it('agrees with minimal distances: no image is broken nearer than a stronger search found', async () => {
    const first = Array.from({ length: 8 }, (_, i) => i)
    using images = imageTensor(data, first, 'cpu')
    const target = { classifier: net, images, labels: first.map((i) => data.labels[i]), norm: 'linf' as const }
    const distances = await minimalDistances(
      { ...target, generator: new Generator(1) },
      { epsilon: 8, steps: 20, relativeStepSize: 0.1, bisections: 5 },
    )
    const { brokenAt } = await curve(net, pgd({ steps: 10 }))
    for (const i of first) expect(distances[i]).toBeLessThanOrEqual(Math.min(brokenAt[i], 255))
    expect(curveOfDistances(distances, [256, 0])).toEqual([
      { epsilon: 0, accuracy: 1 },
      { epsilon: 256, accuracy: 0 },
    ])
  })

  it('gives a negative epsilon, no epsilon and no images a clear error', async () => {
    await expect(curve(net, pgd(), { epsilons: [8, -1] })).rejects.toThrow('epsilon must be a number >= 0, got -1')
    await expect(curve(net, pgd(), { epsilons: [] })).rejects.toThrow('give at least one epsilon')
    const none = { ...data, count: 0 }
    await expect(accuracyCurve(net, none, pgd(), { norm: 'l2', epsilons: [8] })).rejects.toThrow('bars has no images')
  })
})

describe('what attacks must reach', () => {
  const attacks: [string, Attack][] = [
    ['PGD', pgd({ steps: 40 })],
    ['APGD-CE', apgd({ loss: 'ce', steps: 40 })],
    ['APGD-DLR', apgd({ loss: 'dlr', steps: 40 })],
  ]
  it.each(attacks)('%s breaks every image where nothing bounds it', async (_, attack) => {
    for (const norm of ['linf', 'l2'] as const) {
      const { points } = await curve(net, attack, { norm, epsilons: [255 * 8] })
      expect(points[1].accuracy, norm).toBe(0)
    }
  })

  it('also of a model so sure that the gradient of the cross-entropy is 0 in f32', async () => {
    const sure: Classifier = { ...net, logits: (x) => mul(net.logits(x), 1e4) }
    const { points } = await curve(sure, pgd({ steps: 40 }), { epsilons: [255] })
    expect(points[1].accuracy).toBe(0)
  })

  it('a restart never loses what an attempt has found', async () => {
    const [once, thrice] = await Promise.all(
      [1, 3].map(async (restarts) => {
        using images = imageTensor(data, [0, 1, 2, 3], 'cpu')
        const target = { classifier: net, images, labels: [0, 1, 2, 3], norm: 'linf' as const, epsilon: 8 }
        const found = await pgd({ steps: 3, restarts })({ ...target, generator: new Generator(9) })
        found.images.dispose()
        return found.margins
      }),
    )
    for (const [i, m] of once.entries()) expect(thrice[i]).toBeGreaterThanOrEqual(m)
  })
})

describe('gradient masking', () => {
  const options = { epsilon: 64, steps: [4, 20] as const, queries: 60 }

  it('is not found in a plain net', async () => {
    const report = await gradientMasking(net, data, options)
    expect(report.checks.map(({ name, passed }) => [name, passed])).toEqual([
      ['more-steps', true],
      ['black-box', true],
      ['unbounded', true],
    ])
    expect(report.accuracy.clean).toBe(1)
  })

  it('is found in a net that hides its gradient: a black-box attack beats PGD, which fails without a bound', async () => {
    const masked: Classifier = {
      ...net,
      // The gradient to x is 0.
      logits: (x) => scope(() => add(net.logits(x.detach()), mul(sum(x), 0))),
    }
    const { checks } = await gradientMasking(masked, data, options)
    const passed = Object.fromEntries(checks.map(({ name, passed }) => [name, passed]))
    expect(passed['black-box']).toBe(false)
    expect(passed.unbounded).toBe(false)
  })
})

describe('JEM-n', () => {
  const x = () => imageTensor(data, [0, 1, 2], 'cpu')
  const labels = () => tensor(Int32Array.of(0, 1, 2))

  it('without steps and noise is the classifier itself', () => {
    scope(() => {
      const refined = refinedClassifier(model, new Generator(1), { steps: 0, sigma: 0, copies: 3 })
      expect(refined.randomised).toBe(false)
      expect(refined.logits(x())).toBeAllclose(net.logits(x()), { rtol: 1e-5, atol: 1e-4 })
    })
  })

  it('classifies where n SGLD steps lead, and passes the gradient there on as if they were the identity', () => {
    scope(() => {
      const options = { steps: 2, stepSize: 0.3, noiseStd: 0 }
      const refined = refinedClassifier(model, new Generator(1), { ...options, sigma: 0, copies: 1 })
      const there = clone(x())
      sgld(model, there, new Generator(1), options)
      expect(there).not.toBeAllclose(x(), { atol: 1e-3 })
      const [found, direct] = [slope(refined, x(), labels(), margin, 1), slope(net, there, labels(), margin, 1)]
      expect(found.margin).toBeAllclose(direct.margin, { rtol: 1e-4, atol: 1e-3 })
      expect(found.gradient).toBeAllclose(direct.gradient, { rtol: 1e-3, atol: 1e-3 })
    })
  })

  it('averages the logits of copies under noise of their own', () => {
    scope(() => {
      const options = { steps: 0, sigma: 0.5 }
      const [two, wide] = [2, 400].map((copies) => refinedClassifier(model, new Generator(1), { ...options, copies }))
      expect(two.randomised).toBe(true)
      expect(two.logits(x())).not.toBeAllclose(two.logits(x()), { atol: 1 })
      // The mean of many copies hardly moves from call to call.
      const spread = (classifier: Classifier) => {
        const [a, b] = [0, 1].map(() => Array.from(classifier.logits(x()).dataSync()))
        return Math.sqrt(a.reduce((total, v, i) => total + (v - b[i]) ** 2, 0))
      }
      expect(spread(wide)).toBeLessThan(spread(two) / 3)
    })
  })

  it('is attacked through the mean gradient of several draws', () => {
    scope(() => {
      const options = { steps: 1, copies: 1 }
      const mean = slope(refinedClassifier(model, new Generator(3), options), x(), labels(), margin, 3)
      const single = refinedClassifier(model, new Generator(3), options)
      const each = [0, 1, 2].map(() => slope(single, x(), labels(), margin, 1).gradient)
      expect(mean.gradient).toBeAllclose(mul(add(add(each[0], each[1]), each[2]), 1 / 3), { rtol: 1e-4, atol: 1e-4 })
    })
  })

  it('is attacked for all steps: a lucky draw does not end the search', async () => {
    let calls = 0
    const lucky: Classifier = {
      ...{ ...net, randomised: true },
      logits: (x) => {
        calls++
        return net.logits(x)
      },
    }
    using images = imageTensor(data, [0], 'cpu')
    const target = { classifier: lucky, images, labels: [1], norm: 'linf' as const, epsilon: 8 }
    const found = await pgd({ steps: 5 })({ ...target, generator: new Generator(1) })
    found.images.dispose()
    // The image itself, 5 steps, where they lead, and the judgement; for a classifier that is sure, 2.
    expect(calls).toBe(8)
  })

  it('is judged anew on the images found, since the best of many noisy margins is partly luck', async () => {
    // Logits of pure noise: over 20 steps one margin in PGD's favour is all but certain, and means nothing.
    const generator = new Generator(1)
    const noisy: Classifier = {
      ...{ classes: 2, device: 'cpu' as const, randomised: true },
      logits: (x) => scope(() => add(mul(sum(x), 0), tensor(noise(generator, x.shape[0]), { shape: [x.shape[0], 2] }))),
    }
    const many = { ...data, classes: 2, labels: new Uint8Array(40) }
    const { points } = await accuracyCurve(noisy, many, pgd({ steps: 20 }), { norm: 'linf', epsilons: [8] })
    expect(points[0].accuracy).toBeGreaterThan(0.25)
    expect(points[1].accuracy).toBeGreaterThan(0.05)
  })

  it('refuses settings out of range', () => {
    const make = (options: Parameters<typeof refinedClassifier>[2]) =>
      refinedClassifier(model, new Generator(1), options)
    expect(() => make({ steps: -1 })).toThrow('refinement steps must be a whole number >= 0, got -1')
    expect(() => make({ steps: 1, copies: 0 })).toThrow('copies must be a whole number >= 1, got 0')
    expect(() => make({ steps: 1, sigma: -0.1 })).toThrow('sigma must be >= 0, got -0.1')
  })
})

describe('distal adversarials', () => {
  it('lead from noise to images in the range that the net is sure of, one for each label', async () => {
    const wanted = Int32Array.of(0, 1, 2, 3, 0)
    const { images, confidence } = await distalAdversarials(net, wanted, data, new Generator(2), { steps: 40 })
    expect(images.count).toBe(5)
    expect(images.pixels.every((v) => Math.abs(v) <= 1)).toBe(true)
    expect(Math.min(...confidence)).toBeGreaterThan(0.9)
    const margins = scope(() => {
      const x = tensor(images.pixels, { shape: [5, 8, 8, 1] })
      return marginOf(net, x, tensor(wanted), 1).dataSync()
    })
    expect(margins.every((m: number) => m < 0)).toBe(true)
    expect(images.pixels.subarray(0, 64)).not.toEqual(images.pixels.subarray(256)) // another start, another image
  })
})

/** Logits [count, 2] that mean nothing. */
function noise(generator: Generator, count: number): Float32Array {
  return Float32Array.from(generator.uniforms(count * 2), (u) => u - 0.5)
}
