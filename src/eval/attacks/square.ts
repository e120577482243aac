import { ConfigError } from '../../errors.ts'
import type { Generator } from '../../random/generator.ts'
import { tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import { type Attack, Search } from './attack.ts'
import type { Values } from './ball.ts'
import { marginOf, readMargins } from './evaluate.ts'
import { expectCount } from './pgd.ts'

export interface SquareOptions {
  /** Images that the classifier is shown; default 5000, as AutoAttack. */
  queries?: number
  /** Share of the pixels in the first squares; default 0.8, as AutoAttack. */
  share?: number
}

/** The share of pixels halves at these of 10,000 queries (the authors' `p_selection`). */
const halvings = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]

/**
 * Square attack in L∞ (Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1 and 2): a random search that sees
 * logits and no gradient. It starts from vertical stripes of ±ε; each query sets a random square to ±ε, one sign a
 * channel, which stays where the margin grows. A square that would change nothing takes the opposite signs, where the
 * authors draw anew. Ends early once every image is misclassified. Throws ConfigError for settings out of range, and for
 * L2.
 */
export function squareAttack({ queries = 5000, share = 0.8 }: SquareOptions = {}): Attack {
  expectCount('queries', queries)
  if (!(share > 0 && share <= 1)) throw new ConfigError(`share must be in (0, 1], got ${share}`)
  return async (target) => {
    if (target.norm !== 'linf') throw new ConfigError(`the Square attack is for linf, got ${target.norm}`)
    using search = await Search.open(target)
    const { device } = target.images
    const size = target.images.shape as Size
    const corners = await search.ball.corners()
    const best = stripes(size, corners, target.generator)
    let margins = await judged(best)
    for (let query = 1; query < queries && !(await search.succeeded()); query++) {
      const candidate = withSquares(best, size, squareSide(size, share, query / queries), corners, target.generator)
      const found = await judged(candidate)
      const each = best.length / size[0]
      for (let i = 0; i < size[0]; i++) {
        if (found[i] > margins[i]) best.set(candidate.subarray(i * each, (i + 1) * each), i * each)
      }
      margins = margins.map((margin, i) => Math.max(margin, found[i]))
    }
    return search.result()

    async function judged(pixels: Values): Promise<Values> {
      const margin = keep(
        scope(() => {
          const x = tensor(pixels, { shape: size, device })
          const margin = marginOf(target.classifier, x, search.labels, search.draws)
          search.offer(x, margin)
          return margin
        }),
      )
      return await readMargins(margin).finally(() => margin.dispose())
    }
  }
}

type Size = readonly [batch: number, height: number, width: number, channels: number]
type Corners = Record<'low' | 'high', Values>

/** Side in pixels of the squares after this share of the queries: at least 1, at most the image's shorter side less 1. */
function squareSide([, height, width]: Size, share: number, done: number): number {
  const halved = share / 2 ** halvings.filter((at) => done * 10_000 > at).length
  return Math.max(1, Math.min(Math.round(Math.sqrt(halved * height * width)), Math.min(height, width) - 1))
}

/** Every column of every channel at +ε or −ε. */
function stripes([batch, height, width, channels]: Size, { low, high }: Corners, generator: Generator): Values {
  const row = width * channels
  const signs = generator.words(batch * row)
  return low.map((value, at) => {
    const image = Math.floor(at / (height * row))
    return signs[image * row + (at % row)] & 1 ? high[at] : value
  })
}

/** A copy in which one square of each image is at +ε or −ε in each channel. */
function withSquares(best: Values, size: Size, side: number, { low, high }: Corners, generator: Generator): Values {
  const [batch, height, width, channels] = size
  const candidate = best.slice()
  const draws = generator.uniforms(batch * (2 + channels))
  for (let i = 0; i < batch; i++) {
    const [down, right, ...signs] = draws.subarray(i * (2 + channels), (i + 1) * (2 + channels))
    const top = Math.floor(down * (height - side + 1))
    const left = Math.floor(right * (width - side + 1))
    const fill = (flipped: boolean): boolean => {
      let changed = false
      for (let y = top; y < top + side; y++) {
        for (let x = left; x < left + side; x++) {
          for (let c = 0; c < channels; c++) {
            const at = ((i * height + y) * width + x) * channels + c
            candidate[at] = signs[c] < 0.5 === flipped ? high[at] : low[at]
            changed ||= candidate[at] !== best[at]
          }
        }
      }
      return changed
    }
    if (!fill(false)) fill(true)
  }
  return candidate
}
