import { describe, expect, it } from 'vitest'
import { apgd } from '../../../src/eval/attacks/apgd.ts'
import type { Attack } from '../../../src/eval/attacks/attack.ts'
import { epsilonUnit, type Norm } from '../../../src/eval/attacks/ball.ts'
import { minimalDistances } from '../../../src/eval/attacks/minimalDistance.ts'
import { pgd } from '../../../src/eval/attacks/pgd.ts'
import { squareAttack } from '../../../src/eval/attacks/square.ts'
import { Generator } from '../../../src/random/generator.ts'
import { tensor } from '../../../src/tensor/create.ts'
import { classifierOf, linearModel, logitsOf, marginOf } from './linear.ts'

// Of two classes the margin grows along w₁ − w₀, whatever the loss: the strongest image of a ball is known.
const shape = [1, 3, 3, 2]
const inputs = 18
const model = linearModel(2, inputs, 1)
const classifier = classifierOf(model)
const direction = model.weights[1].map((w, i) => w - model.weights[0][i])
const l1 = direction.reduce((sum, d) => sum + Math.abs(d), 0)
const l2 = Math.hypot(...direction)
// Well inside the range, so that balls of a few ε do not meet its bounds.
const image = Array.from(new Generator(7).uniforms(inputs), (u) => u - 0.5)
const label = logitsOf(model, image)[0] > logitsOf(model, image)[1] ? 0 : 1

async function strike(attack: Attack, norm: Norm, epsilon: number, seed = 3) {
  using images = tensor(image, { shape, dtype: 'f64' })
  const result = await attack({ classifier, images, labels: [label], norm, epsilon, generator: new Generator(seed) })
  using found = result.images
  return { margin: result.margins[0], pixels: (await found.data()) as Float64Array }
}

describe('attacks on a linear model of two classes', () => {
  const attacks: [string, Attack][] = [
    ['PGD', pgd({ steps: 40 })],
    ['PGD from the image', pgd({ steps: 40, randomStart: false })],
    ['APGD-CE', apgd({ loss: 'ce', steps: 60 })],
  ]
  it.each(attacks)('%s reaches the largest margin of the L∞ ball: ε·‖w₁ − w₀‖₁ more', async (_, attack) => {
    const { margin } = await strike(attack, 'linf', 3)
    const best = marginOf(model, image, label) + 3 * epsilonUnit * l1
    expect(margin).toBeLessThan(0) // else the attack may end early, and is not the strongest
    expect(margin).toBeCloseTo(best, 9)
  })

  it.each(attacks)('%s reaches the largest margin of the L2 ball: ε·‖w₁ − w₀‖₂ more', async (name, attack) => {
    const { margin } = await strike(attack, 'l2', 8)
    const best = marginOf(model, image, label) + 8 * epsilonUnit * l2
    expect(margin).toBeLessThan(0)
    expect(margin).toBeLessThan(best)
    // Sliding along the sphere from a random start, PGD closes in on the best point and does not reach it.
    const slack = name === 'PGD' ? 0.05 * 8 * epsilonUnit * l2 : 1e-4
    expect(margin).toBeGreaterThan(best - slack)
  })

  it('the Square attack finds the best corner of the L∞ ball without a gradient', async () => {
    const { margin } = await strike(squareAttack({ queries: 1500 }), 'linf', 3)
    expect(margin).toBeCloseTo(marginOf(model, image, label) + 3 * epsilonUnit * l1, 9)
  })

  it('no attack succeeds below the minimal distance, and each succeeds a tenth above', async () => {
    const gap = -marginOf(model, image, label)
    for (const [norm, dual] of [
      ['linf', l1],
      ['l2', l2],
    ] as const) {
      const minimal = gap / dual / epsilonUnit
      for (const [name, attack] of attacks) {
        expect((await strike(attack, norm, minimal * 0.999)).margin, `${name} ${norm} below`).toBeLessThan(0)
        expect((await strike(attack, norm, minimal * 1.1)).margin, `${name} ${norm} above`).toBeGreaterThan(0)
      }
    }
  })
})

describe('minimal distance', () => {
  it('of a linear model is the margin over the dual norm of w₁ − w₀, and 0 where misclassified', async () => {
    using images = tensor([...image, ...image], { shape: [2, 3, 3, 2], dtype: 'f64' })
    const target = { classifier, images, labels: [label, 1 - label] }
    for (const [norm, dual] of [
      ['linf', l1],
      ['l2', l2],
    ] as const) {
      const [distance, none] = await minimalDistances(
        { ...target, norm, generator: new Generator(1) },
        { epsilon: 1, randomStart: false },
      )
      const expected = -marginOf(model, image, label) / dual / epsilonUnit
      expect(distance / expected).toBeGreaterThan(1 - 1e-9)
      expect(distance / expected).toBeLessThan(1 + 1e-4)
      expect(none).toBe(0)
    }
  })

  it('is infinite where no image of the range is misclassified', async () => {
    using images = tensor(image, { shape, dtype: 'f64' })
    const sure = classifierOf({ weights: model.weights, bias: [label === 0 ? 1e3 : 0, label === 1 ? 1e3 : 0] })
    const target = { classifier: sure, images, labels: [label], norm: 'linf' as const, generator: new Generator(1) }
    expect([...(await minimalDistances(target, { steps: 2, expansions: 5 }))]).toEqual([Number.POSITIVE_INFINITY])
  })
})
