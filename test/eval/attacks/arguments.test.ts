import { describe, expect, it } from 'vitest'
import { gradcheck } from '../../../src/autograd/gradcheck.ts'
import { apgd, apgdCheckpoints, StepSizes } from '../../../src/eval/attacks/apgd.ts'
import type { AttackTarget } from '../../../src/eval/attacks/attack.ts'
import { differenceOfLogitsRatio, margin } from '../../../src/eval/attacks/losses.ts'
import { pgd } from '../../../src/eval/attacks/pgd.ts'
import { squareAttack } from '../../../src/eval/attacks/square.ts'
import { Generator } from '../../../src/random/generator.ts'
import { tensor } from '../../../src/tensor/create.ts'
import { scope } from '../../../src/tensor/scope.ts'
import { classifierOf, linearModel } from './linear.ts'

describe('losses', () => {
  const labels = () => tensor(Int32Array.of(0, 1, 3))
  const logits = () =>
    tensor(
      [
        [4, 1, 3, -2],
        [5, 2, 0, 1],
        [1, 7, 3, 2],
      ],
      { dtype: 'f64' },
    )

  it('are as worked by hand: margin and difference of logits ratio', () => {
    scope(() => {
      expect([...margin(logits(), labels()).dataSync()]).toEqual([-1, 3, 5])
      // −(4 − 3)/(4 − 1), −(2 − 5)/(5 − 1), −(2 − 7)/(7 − 2)
      expect([...differenceOfLogitsRatio(logits(), labels()).dataSync()]).toBeAllclose([-1 / 3, 3 / 4, 1], {
        atol: 1e-11,
      })
    })
  })

  it('of the ratio stays as it is when the logits grow, and is the gradient of what it says', () => {
    scope(() => {
      const large = tensor([[4e3, 1e3, 3e3, -2e3]], { dtype: 'f64' })
      expect(differenceOfLogitsRatio(large, tensor(Int32Array.of(0))).itemSync()).toBeCloseTo(-1 / 3, 11)
      const leaf = logits()
      leaf.requiresGrad = true
      gradcheck((x) => differenceOfLogitsRatio(x, labels()), [leaf])
    })
  })

  it('of the ratio needs a third class', async () => {
    using images = tensor(new Float32Array(4), { shape: [1, 2, 2, 1] })
    const target: AttackTarget = {
      ...{ classifier: classifierOf(linearModel(2, 4, 1), 'f32'), images, labels: [0], norm: 'linf', epsilon: 8 },
      generator: new Generator(1),
    }
    await expect(apgd({ loss: 'dlr' })(target)).rejects.toThrow('the DLR loss needs at least 3 classes, got 2')
  })
})

describe('the schedule of APGD', () => {
  it('has the published checkpoints', () => {
    // p: 0.22, +0.19, +0.16, +0.13, +0.10, +0.07, then +0.06 each (Croce & Hein 2020, §3.1)
    expect(apgdCheckpoints(100)).toEqual([22, 41, 57, 70, 80, 87, 93, 99])
    expect(apgdCheckpoints(1000)).toEqual([220, 410, 570, 700, 800, 870, 930, 990])
    expect(apgdCheckpoints(10)).toEqual([3, 5, 6, 7, 8, 9, 10, 10])
  })

  it('starts at 2ε and halves where fewer than three in four steps rose, or the best stands still', () => {
    const steps = new StepSizes(100, [0, 0, 0])
    expect([...steps.sizes]).toEqual([2, 2, 2])
    // To the first checkpoint, 22 steps: image 0 always rises; image 1 rises on 16 of 22 (16.5 would do); image 2 on 17.
    const rises = (image: number, step: number) => image === 0 || step > (image === 1 ? 6 : 5)
    const losses = [0, 0, 0]
    let halved: Uint8Array | undefined
    for (let step = 1; step <= 22; step++) {
      for (const image of [0, 1, 2]) losses[image] += rises(image, step) ? 1 : -0.01
      halved = steps.record(losses)
      expect(halved === undefined, `step ${step}`).toBe(step < 22)
    }
    expect([...halved!]).toEqual([0, 1, 0])
    expect([...steps.sizes]).toEqual([2, 1, 2])
    // To the next, 19 steps: image 0 rises always but never above its best; 1 falls; 2 rises above its best.
    losses[0] = -100
    for (let step = 1; step <= 19; step++) {
      losses[0] += 1
      losses[1] -= 1
      losses[2] += 1
      halved = steps.record(losses)
    }
    expect([...halved!]).toEqual([1, 1, 0])
    expect([...steps.sizes]).toEqual([1, 0.5, 2])
  })
})

describe('bad arguments', () => {
  const classifier = classifierOf(linearModel(3, 4, 1), 'f32')
  const attempt = async (changes: Partial<AttackTarget>, values: number[] = [0, 0, 0, 0]) => {
    using images = tensor(values, { shape: [1, 2, 2, 1] })
    const target: AttackTarget = {
      classifier,
      images,
      labels: [0],
      norm: 'linf',
      epsilon: 8,
      generator: new Generator(1),
      ...changes,
    }
    const { images: found } = await pgd({ steps: 2 })(target)
    found.dispose()
  }

  it.each([
    ['a negative epsilon', { epsilon: -1 }, 'epsilon must be a number >= 0, got -1'],
    ['an epsilon that is no number', { epsilon: Number.NaN }, 'epsilon must be a number >= 0, got NaN'],
    ['too few epsilons', { epsilon: [] }, 'expected 1 values of epsilon, got 0'],
    ['a label too many', { labels: [0, 1] }, 'expected 1 labels, one an image, got 2'],
    ['a label that is no class', { labels: [3] }, 'labels must be whole numbers in [0, 2], got 3'],
  ] as const)('%s is told', async (_, changes, message) => {
    await expect(attempt(changes)).rejects.toThrow(message)
  })

  it('images outside the range are told, and so are NaN logits, which must not count as resisting', async () => {
    await expect(attempt({}, [0, 1.5, Number.NaN, 0])).rejects.toThrow('2 of 4 values are not')
    const broken = classifierOf({ weights: linearModel(3, 4, 1).weights, bias: [Number.NaN, 0, 0] }, 'f32')
    await expect(attempt({ classifier: broken })).rejects.toThrow('logits are NaN for 1 of 1 images')
  })

  it('settings out of range are told before anything runs', () => {
    expect(() => pgd({ steps: 0 })).toThrow('steps must be a whole number >= 1, got 0')
    expect(() => pgd({ restarts: 1.5 })).toThrow('restarts must be a whole number >= 1, got 1.5')
    expect(() => pgd({ stepSize: -1 })).toThrow('stepSize must be > 0, got -1')
    expect(() => apgd({ loss: 'ce', steps: 0 })).toThrow('steps must be')
    expect(() => squareAttack({ queries: 0 })).toThrow('queries must be')
    expect(() => squareAttack({ share: 0 })).toThrow('share must be in (0, 1], got 0')
  })

  it('an abort stops between steps and leaves nothing behind', async () => {
    const stop = new AbortController()
    const counting = {
      ...classifier,
      logits: (x: Parameters<typeof classifier.logits>[0]) => {
        calls++
        if (calls === 3) stop.abort(new Error('stopped'))
        return classifier.logits(x)
      },
    }
    let calls = 0
    await expect(attempt({ classifier: counting, signal: stop.signal })).rejects.toThrow('stopped')
    expect(calls).toBe(3)
  })
})
