import { grad } from '../autograd/backward.ts'
import type { Dataset } from '../data/dataset.ts'
import type { JemModel } from '../jem/model.ts'
import { type PredictOptions, predict } from '../jem/predict.ts'
import { l2Norm, sum } from '../ops/reduce.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Numbers, softmaxRows } from './metrics.ts'

/** What a model says of each of n images. */
export interface Outputs {
  /** [n, classes] */
  logits: Float32Array
  /** f(x), which is log p(x) up to a constant: [n]. */
  f: Float32Array
  /** ‖∂f/∂x‖₂: [n]. Absent where it was not asked for. */
  gradientNorm?: Float32Array
}

/** Judges every image of a set in eval mode: a forward pass an image, with `gradients` an input gradient too. Numbers come
 *  as the model gives them, NaN included. */
export function modelOutputs(
  model: JemModel,
  data: Dataset,
  options: Omit<PredictOptions, 'indices'>,
): Promise<Outputs> {
  if (options.gradients) return predict(model, data, (x) => withGradient(model, x), options)
  return predict<'logits' | 'f'>(
    model,
    data,
    (x) => {
      const { logits, f } = model.forward(x)
      return { logits, f }
    },
    options,
  )
}

function withGradient(model: JemModel, images: Tensor): Record<'logits' | 'f' | 'gradientNorm', Tensor> {
  const x = images.detach()
  x.requiresGrad = true
  const { logits, f } = model.forward(x)
  const [gradient] = grad(sum(f), [x])
  return { logits: logits.detach(), f: f.detach(), gradientNorm: l2Norm(gradient, { axes: [1, 2, 3] }) }
}

/**
 * Scores by which in-distribution images are told from others; a higher one means more in-distribution.
 *
 * - `logpx`, `maxprob`, `mass`: f(x), max p(y|x) and −‖∂f/∂x‖₂, those of the released code (`eval_wrn_ebm.py`, `--eval
 *   OOD`, score_fn px, py and pxgrad).
 * - `maxlogit`: max_y f(x)[y] (Hendrycks et al. 2022, arXiv 1911.11132).
 * - `entropy`: Σ_y p(y|x) log p(y|x), the negative entropy.
 * - `typicality`: −|f(x) − mean f over in-distribution images|: the typicality test of Nalisnick et al. 2019 (arXiv
 *   1906.02994) for one image at a time; f's unknown constant cancels.
 */
export const scoreNames = ['logpx', 'maxprob', 'mass', 'maxlogit', 'entropy', 'typicality'] as const
export type ScoreName = (typeof scoreNames)[number]

/** How tables and axes call each score. */
export const scoreLabels: Readonly<Record<ScoreName, string>> = {
  logpx: 'log p(x)',
  maxprob: 'max p(y|x)',
  mass: '−‖∂log p/∂x‖₂',
  maxlogit: 'max logit',
  entropy: '−entropy of p(y|x)',
  typicality: 'typicality',
}

export type Scores = Record<ScoreName, Numbers>

/** The scores of each image, [n] each, in float64 where they are made from logits, so that confident images keep their
 *  order. `meanF`: mean f over in-distribution images (`typicality`). Throws DataError where a logit is not finite. */
export function scoresOf({ logits, f, gradientNorm }: Required<Outputs>, classes: number, meanF: number): Scores {
  const probabilities = softmaxRows(logits, classes)
  const perImage = (value: (row: number) => number): Float64Array =>
    Float64Array.from({ length: f.length }, (_, i) => value(i * classes))
  const over = (row: number, best: (value: number, k: number) => number, start: number): number => {
    let value = start
    for (let k = row; k < row + classes; k++) value = best(value, k)
    return value
  }
  return {
    logpx: f,
    maxprob: perImage((row) => over(row, (value, k) => Math.max(value, probabilities[k]), 0)),
    mass: Float64Array.from(gradientNorm, (norm) => -norm),
    maxlogit: perImage((row) => over(row, (value, k) => Math.max(value, logits[k]), Number.NEGATIVE_INFINITY)),
    // p log p → 0 as p → 0.
    entropy: perImage((row) =>
      over(row, (value, k) => value + (probabilities[k] > 0 ? probabilities[k] * Math.log(probabilities[k]) : 0), 0),
    ),
    typicality: Float64Array.from(f, (value) => -Math.abs(value - meanF)),
  }
}
