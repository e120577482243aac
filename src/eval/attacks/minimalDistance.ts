import { ConfigError } from '../../errors.ts'
import { type AttackTarget, Search } from './attack.ts'
import { distances, type Values } from './ball.ts'
import { expectCount, type PgdOptions, pgd } from './pgd.ts'

export interface MinimalDistanceOptions extends Omit<PgdOptions, 'stepSize' | 'relativeStepSize'> {
  /** The first ε in 1/255 of [0, 1]; default 76.5, the 0.3 of foolbox 2. */
  epsilon?: number
  /** Length of a step as a share of ε; default 1/30, the 0.01 of 0.3 of foolbox 2. */
  relativeStepSize?: number
  /** How often ε grows by half until the attack succeeds, and how often the interval is then halved; default 20 each. */
  expansions?: number
  bisections?: number
}

/**
 * How near each image has a misclassified neighbour that PGD can find: the search of the released `attack_model.py`, that
 * is foolbox 2's `binary_search=True`. ε starts at `epsilon` and grows by the factor 1.5 until PGD succeeds; then the
 * interval between the largest ε that failed since (0 at first) and the smallest that succeeded is halved. The answer is
 * the distance of the nearest adversarial image found. Images that are misclassified as they are have distance 0.
 *
 * [batch] in 1/255 of [0, 1]; Infinity where no ε succeeded. Each image has an ε of its own, so that the batch is
 * searched at once. Cost: up to (expansions + bisections)·restarts PGD runs. Throws ConfigError, DataError.
 */
export async function minimalDistances(
  target: Omit<AttackTarget, 'epsilon'>,
  options: MinimalDistanceOptions = {},
): Promise<Float64Array> {
  const { epsilon = 76.5, relativeStepSize = 1 / 30, expansions = 20, bisections = 20, ...rest } = options
  if (!(epsilon > 0)) throw new ConfigError(`epsilon must be > 0, got ${epsilon}`)
  expectCount('expansions', expansions)
  expectCount('bisections', bisections)
  const attack = pgd({ ...rest, relativeStepSize })
  const given = (await target.images.data()) as Values
  const searches = Array.from(
    await cleanMargins(target),
    (margin) => new EpsilonSearch(epsilon, expansions, bisections, margin > 0),
  )
  while (searches.some((search) => !search.done)) {
    const { images, margins } = await attack({ ...target, epsilon: searches.map(({ epsilon }) => epsilon) })
    const pixels = (await images.data().finally(() => images.dispose())) as Values
    const found = distances(target.norm, pixels, given, searches.length)
    for (const [i, search] of searches.entries()) search.tried(margins[i] > 0, found[i])
  }
  return Float64Array.from(searches, ({ nearest }) => nearest)
}

async function cleanMargins(target: Omit<AttackTarget, 'epsilon'>): Promise<Values> {
  using search = await Search.open({ ...target, epsilon: 0 })
  const { images, margins } = await search.result()
  images.dispose()
  return margins
}

/** The search for one image's distance. */
class EpsilonSearch {
  /** To be tried next. */
  epsilon: number
  nearest = Number.POSITIVE_INFINITY
  private low = 0
  private high = Number.POSITIVE_INFINITY
  private expansions: number
  private bisections: number

  constructor(epsilon: number, expansions: number, bisections: number, misclassified: boolean) {
    this.epsilon = misclassified ? 0 : epsilon
    this.nearest = misclassified ? 0 : Number.POSITIVE_INFINITY
    this.expansions = misclassified ? 0 : expansions
    this.bisections = misclassified ? 0 : bisections
  }

  get done(): boolean {
    return this.high === Number.POSITIVE_INFINITY ? this.expansions === 0 : this.bisections === 0
  }

  tried(succeeded: boolean, distance: number): void {
    if (this.done) return
    if (this.high === Number.POSITIVE_INFINITY) this.expansions--
    else this.bisections--
    if (succeeded) {
      this.high = this.epsilon
      this.nearest = Math.min(this.nearest, distance)
    } else if (this.high < Number.POSITIVE_INFINITY) {
      this.low = this.epsilon
    }
    this.epsilon = this.high === Number.POSITIVE_INFINITY ? this.epsilon * 1.5 : (this.low + this.high) / 2
  }
}
