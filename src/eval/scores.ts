import { grad } from '../autograd/backward.ts'
import type { Dataset } from '../data/dataset.ts'
import type { JemModel } from '../jem/model.ts'
import { type PredictOptions, predict } from '../jem/predict.ts'
import { l2Norm, sum } from '../ops/reduce.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { auroc, type ClassificationMetrics, classificationMetrics, softmaxRows } from './metrics.ts'

/** The three scores by which the released code tells in-distribution from other images (`eval_wrn_ebm.py`, `--eval OOD`);
 *  higher means more in-distribution. */
export const scoreNames = ['logpx', 'maxprob', 'mass'] as const
export type ScoreName = (typeof scoreNames)[number]

/** What a model says of each of n images. */
export interface Scores {
  /** [n, classes] */
  logits: Float32Array
  /** f(x), which is log p(x) up to a constant: [n]. */
  logpx: Float32Array
  /** max p(y|x), in float64 so that confident images keep their order: [n]. */
  maxprob: Float64Array
  /** −‖∂f/∂x‖₂, the approximate mass (JEM §5.3.2): [n]. */
  mass: Float64Array
}

export type ScoreOptions = Omit<PredictOptions, 'indices' | 'gradients'>

/** Scores every image of a set, in eval mode. Costs a forward and an input gradient an image. */
export async function scoreImages(model: JemModel, data: Dataset, options: ScoreOptions): Promise<Scores> {
  const { logits, f, gradientNorm } = await predict(model, data, (x) => judge(model, x), {
    ...options,
    gradients: true,
  })
  const { classes } = model.options
  const probabilities = softmaxRows(logits, classes)
  return {
    logits,
    logpx: f,
    maxprob: Float64Array.from(f, (_, i) => Math.max(...probabilities.subarray(i * classes, (i + 1) * classes))),
    mass: Float64Array.from(gradientNorm, (norm) => -norm),
  }
}

function judge(model: JemModel, images: Tensor): Record<'logits' | 'f' | 'gradientNorm', Tensor> {
  const x = images.detach()
  x.requiresGrad = true
  const { logits, f } = model.forward(x)
  const [gradient] = grad(sum(f), [x])
  return { logits: logits.detach(), f: f.detach(), gradientNorm: l2Norm(gradient, { axes: [1, 2, 3] }) }
}

/** How well each score tells a set from the test data. */
export type OodResult = { n: number } & Record<ScoreName, { auroc: number }>

/** AUROC of each score, the test images being positive. Throws DataError where a score is NaN. */
export function oodMetrics(test: Scores, other: Scores): OodResult {
  const area = (name: ScoreName) => ({ auroc: auroc(test[name], other[name]) })
  return { n: other.logpx.length, logpx: area('logpx'), maxprob: area('maxprob'), mass: area('mass') }
}

export interface Evaluation extends ClassificationMetrics {
  ood: Record<string, OodResult>
}

export interface EvaluateOptions extends ScoreOptions {
  /** Sets that the model was not trained on, by the name to report them under. */
  ood?: Readonly<Record<string, Dataset>>
}

/**
 * Accuracy, NLL, calibration error, and the AUROC of the three scores for each out-of-distribution set, under the same
 * noise for all sets. `onProgress` counts images over all of them. Throws DataError where a score is not a number.
 */
export async function evaluate(
  model: JemModel,
  test: Dataset,
  { ood = {}, ...options }: EvaluateOptions,
): Promise<Evaluation> {
  const { classes } = model.options
  const others = Object.entries(ood)
  let before = 0
  const scored = async (data: Dataset): Promise<Scores> => {
    const scores = await scoreImages(model, data, {
      ...options,
      onProgress: (done) => options.onProgress?.(before + done),
    })
    before += data.count
    return scores
  }
  const labels = test.labels
  if (others.length === 0) {
    const { logits } = await predict(model, test, (x) => ({ logits: model.forward(x).logits }), options)
    return { ...classificationMetrics(logits, labels, classes), ood: {} }
  }
  const inside = await scored(test)
  const results: Record<string, OodResult> = {}
  for (const [name, data] of others) results[name] = oodMetrics(inside, await scored(data))
  return { ...classificationMetrics(inside.logits, labels, classes), ood: results }
}
