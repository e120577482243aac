import { ConfigError } from '../../errors.ts'
import { add, mul } from '../../ops/arithmetic.ts'
import { clone } from '../../ops/cast.ts'
import { affine } from '../../ops/unary.ts'
import { keep, scope } from '../../tensor/scope.ts'
import { type Attack, type AttackTarget, Search } from './attack.ts'
import { epsilonUnit } from './ball.ts'
import { marginOf, slope } from './evaluate.ts'
import { type AttackLoss, crossEntropyLogOdds } from './losses.ts'

export interface PgdOptions {
  /** Default 40, as the released `attack_model.py`. */
  steps?: number
  /** Length of a step in 1/255 of [0, 1], as ε; default: by `relativeStepSize`. */
  stepSize?: number
  /** Length of a step as a share of ε; default 2.5/steps (Madry et al. 2018, arXiv 1706.06083), so that the steps can
   *  cross the ball. */
  relativeStepSize?: number
  /** Attempts an image, each from a start of its own; default 1. */
  restarts?: number
  /** Whether to start at a random point of the ball (default) or at the image. A restart is always random. */
  randomStart?: boolean
  /** What to maximise; default: the cross-entropy, by its log-odds. */
  loss?: AttackLoss
}

/**
 * Projected gradient descent (Madry et al. 2018, arXiv 1706.06083, §2.1): x ← P(x + stepSize·d), P the projection on
 * ball and image range, d the sign of the gradient in L∞, and the gradient divided by its length in L2. Gives the iterate
 * of the largest margin. Ends early once every image is misclassified. Throws ConfigError for settings out of range.
 */
export function pgd(options: PgdOptions = {}): Attack {
  const { steps = 40, stepSize, relativeStepSize, restarts = 1 } = options
  expectCount('steps', steps)
  expectCount('restarts', restarts)
  for (const [name, size] of Object.entries({ stepSize, relativeStepSize })) {
    if (size !== undefined && !(size > 0)) throw new ConfigError(`${name} must be > 0, got ${size}`)
  }
  return async (target) => {
    using search = await Search.open(target)
    for (let attempt = 0; attempt < restarts; attempt++) {
      if (await climb(search, target, options, attempt > 0)) break
    }
    return search.result()
  }
}

/** One attempt. Tells whether every image is misclassified. */
async function climb(search: Search, target: AttackTarget, options: PgdOptions, again: boolean): Promise<boolean> {
  const {
    steps = 40,
    stepSize,
    relativeStepSize = 2.5 / steps,
    randomStart = true,
    loss = crossEntropyLogOdds,
  } = options
  const { ball, labels, draws } = search
  const { classifier } = target
  let x = keep(randomStart || again ? ball.randomPoint(target.generator) : clone(ball.center))
  try {
    for (let step = 0; step < steps; step++) {
      const next = scope(() => {
        const { margin, gradient } = slope(classifier, x, labels, loss, draws)
        search.offer(x, margin)
        const direction = ball.steepest(gradient)
        const change =
          stepSize === undefined
            ? mul(affine(direction, relativeStepSize, 0), ball.radius)
            : affine(direction, stepSize * epsilonUnit, 0)
        return ball.project(add(x, change))
      })
      x.dispose()
      x = keep(next)
      if (await search.succeeded()) return true
    }
    scope(() => search.offer(x, marginOf(classifier, x, labels, draws)))
    return await search.succeeded()
  } finally {
    x.dispose()
  }
}

/** Throws ConfigError unless a count is a whole number >= 1. */
export function expectCount(name: string, count: number): void {
  if (!(Number.isInteger(count) && count >= 1))
    throw new ConfigError(`${name} must be a whole number >= 1, got ${count}`)
}
