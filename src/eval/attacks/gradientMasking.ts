import type { Dataset } from '../../data/dataset.ts'
import { accuracyCurve, type CurveOptions } from './accuracyCurve.ts'
import type { Classifier } from './classifier.ts'
import { pgd } from './pgd.ts'
import { squareAttack } from './square.ts'

export interface MaskingOptions extends Pick<CurveOptions, 'seed' | 'batch' | 'draws' | 'signal'> {
  /** Budget in 1/255 of [0, 1]; default 8. */
  epsilon?: number
  /** Steps of the weaker and of the stronger PGD; default 10 and 100. */
  steps?: readonly [few: number, many: number]
  /** Of the Square attack; default 1000. */
  queries?: number
  /** By how much an accuracy may be on the wrong side before it counts, as random starts differ; default 0.01. */
  tolerance?: number
  /** Told the images done with, counted once for each attack: images·4 in all. */
  onProgress?: (done: number) => void
}

export interface MaskingCheck {
  name: 'more-steps' | 'black-box' | 'unbounded'
  /** What was found, in words. */
  finding: string
  passed: boolean
}

export interface MaskingReport {
  images: number
  epsilon: number
  /** Accuracy in [0, 1] under each attack in L∞. */
  accuracy: { clean: number; fewSteps: number; manySteps: number; blackBox: number; unbounded: number }
  checks: MaskingCheck[]
}

/**
 * Whether gradients mislead attacks (gradient masking), which makes a classifier look robust that is not. Of the signs
 * that Athalye et al. 2018 (arXiv 1802.00420, §3.1) list, three are measured, in L∞:
 * - PGD with more steps leaves more images standing than with fewer;
 * - a black-box attack (Square) breaks more than PGD;
 * - an unbounded attack (ε = 255, every image is within reach) does not break all.
 * A failed check means that accuracy under gradient attacks is no evidence of robustness.
 */
export async function gradientMasking(
  classifier: Classifier,
  data: Dataset,
  options: MaskingOptions = {},
): Promise<MaskingReport> {
  const { epsilon = 8, steps = [10, 100], queries = 1000, tolerance = 0.01, onProgress, ...rest } = options
  const [few, many] = steps
  const attacks = [
    { attack: pgd({ steps: few }), epsilon },
    { attack: pgd({ steps: many }), epsilon },
    { attack: squareAttack({ queries }), epsilon },
    { attack: pgd({ steps: many }), epsilon: 255 },
  ]
  const found: number[] = []
  let clean = 0
  for (const [i, { attack, epsilon }] of attacks.entries()) {
    const { points } = await accuracyCurve(classifier, data, attack, {
      ...{ ...rest, norm: 'linf', epsilons: [epsilon] },
      onProgress: (done) => onProgress?.(i * data.count + done),
    })
    clean = points[0].accuracy
    found.push(points[1].accuracy)
  }
  const [fewSteps, manySteps, blackBox, unbounded] = found
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  return {
    images: data.count,
    epsilon,
    accuracy: { clean, fewSteps, manySteps, blackBox, unbounded },
    checks: [
      {
        name: 'more-steps',
        finding: `PGD leaves ${percent(fewSteps)} with ${few} steps, ${percent(manySteps)} with ${many}`,
        passed: manySteps <= fewSteps + tolerance,
      },
      {
        name: 'black-box',
        finding: `${queries} queries of the Square attack leave ${percent(blackBox)}, PGD ${percent(manySteps)}`,
        passed: blackBox >= manySteps - tolerance,
      },
      {
        name: 'unbounded',
        finding: `PGD without a bound leaves ${percent(unbounded)}`,
        passed: unbounded <= tolerance,
      },
    ],
  }
}
