import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { apgd } from '../../../src/eval/attacks/apgd.ts'
import type { Attack } from '../../../src/eval/attacks/attack.ts'
import { Ball, epsilonUnit, type Norm } from '../../../src/eval/attacks/ball.ts'
import { pgd } from '../../../src/eval/attacks/pgd.ts'
import { squareAttack } from '../../../src/eval/attacks/square.ts'
import { Generator } from '../../../src/random/generator.ts'
import { tensor } from '../../../src/tensor/create.ts'
import { scope } from '../../../src/tensor/scope.ts'
import { classifierOf, linearModel } from './linear.ts'

const shape = [2, 4, 3, 2]
const each = 24

/** Pixels as data sets have them, the bounds often. */
const pixels = fc.array(
  fc.oneof(
    fc.constantFrom(-1, 1, 0),
    fc.integer({ min: 0, max: 255 }).map((byte) => byte / 127.5 - 1),
  ),
  { minLength: 2 * each, maxLength: 2 * each },
)
const epsilons = fc.oneof(fc.constantFrom(0, 1e-6, 8, 255), fc.double({ min: 0, max: 400, noNaN: true }))
const norms = fc.constantFrom<Norm>('linf', 'l2')

/** What is wrong with `found`, judged in float64 from the f32 values themselves. */
function violations(norm: Norm, found: Float32Array, from: Float32Array, epsilon: number): string[] {
  const told: string[] = []
  for (const [i, value] of found.entries()) {
    if (!(value >= -1 && value <= 1)) told.push(`value ${value} at ${i} is outside the image range`)
    if (norm === 'linf' && !(Math.abs(value - from[i]) <= epsilon * epsilonUnit)) told.push(`${i} is outside epsilon`)
  }
  if (norm === 'l2') {
    for (let image = 0; image * each < found.length; image++) {
      const difference = Array.from(
        found.subarray(image * each, (image + 1) * each),
        (v, i) => v - from[image * each + i],
      )
      const length = Math.sqrt(difference.reduce((sum, d) => sum + d * d, 0))
      if (!(length <= epsilon * epsilonUnit)) told.push(`image ${image} is ${length} away`)
    }
  }
  return told
}

describe('the budget', () => {
  it('holds for every projection: no value outside epsilon or the image range, by a single bit', () => {
    const anywhere = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), {
      minLength: 2 * each,
      maxLength: 2 * each,
    })
    fc.assert(
      fc.property(norms, pixels, anywhere, fc.tuple(epsilons, epsilons), (norm, given, candidate, [first, second]) => {
        const center = Float32Array.from(given)
        const projected = scope(() => {
          using ball = new Ball(norm, tensor(center, { shape }), [first, second])
          return ball.project(tensor(Float32Array.from(candidate), { shape })).dataSync() as Float32Array
        })
        const half = (values: Float32Array, i: number) => values.subarray(i * each, (i + 1) * each)
        expect(violations(norm, half(projected, 0), half(center, 0), first)).toEqual([])
        expect(violations(norm, half(projected, 1), half(center, 1), second)).toEqual([])
      }),
      { numRuns: 200 },
    )
  })

  it('holds for random starts, which fill the ball', () => {
    fc.assert(
      fc.property(norms, pixels, epsilons, fc.nat(), (norm, given, epsilon, seed) => {
        const center = Float32Array.from(given)
        const start = scope(() => {
          using ball = new Ball(norm, tensor(center, { shape }), epsilon)
          return ball.randomPoint(new Generator(seed)).dataSync() as Float32Array
        })
        expect(violations(norm, start, center, epsilon)).toEqual([])
        if (epsilon >= 1) expect(start).not.toEqual(center)
      }),
    )
  })

  const classifier = classifierOf(linearModel(3, each, 5), 'f32')
  const attacks: [string, Attack, readonly Norm[]][] = [
    ['PGD', pgd({ steps: 3, stepSize: 40, restarts: 2 }), ['linf', 'l2']],
    ['APGD-CE', apgd({ loss: 'ce', steps: 9 }), ['linf', 'l2']],
    ['APGD-DLR', apgd({ loss: 'dlr', steps: 9, restarts: 2 }), ['linf', 'l2']],
    ['Square', squareAttack({ queries: 12 }), ['linf']],
  ]
  it.each(attacks)('holds for the images that %s gives', async (_, attack, norms) => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...norms), pixels, epsilons, fc.nat(), async (norm, given, epsilon, seed) => {
        const center = Float32Array.from(given)
        using images = tensor(center, { shape })
        const labels = [seed % 3, 2]
        const result = await attack({ classifier, images, labels, norm, epsilon, generator: new Generator(seed) })
        using found = result.images
        expect(violations(norm, (await found.data()) as Float32Array, center, epsilon)).toEqual([])
      }),
      { numRuns: 30 },
    )
  })

  it('of epsilon 0 leaves every image as it is', async () => {
    using images = tensor(new Float32Array(2 * each).fill(0.25), { shape })
    for (const [, attack] of attacks) {
      const result = await attack({
        ...{ classifier, images, labels: [0, 1], norm: 'linf' as const, epsilon: 0 },
        generator: new Generator(1),
      })
      using found = result.images
      expect(Array.from(await found.data())).toEqual(new Array(2 * each).fill(0.25))
    }
  })
})
