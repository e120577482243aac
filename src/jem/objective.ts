/** The training objective (JEM eq. 8 and §1.4 of its released code), term by term. */
import { add, equal, mul, sub } from '../ops/arithmetic.ts'
import { cast } from '../ops/cast.ts'
import { argmax, mean } from '../ops/reduce.ts'
import { pick } from '../ops/rows.ts'
import { crossEntropy } from '../ops/softmax.ts'
import { square } from '../ops/unary.ts'
import type { Generator } from '../random/generator.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { JemConfig } from './config.ts'
import type { JemModel } from './model.ts'

/** The batches of one iteration; a term whose batch is absent is left out. */
export interface Batches {
  /** p(x): data and samples, [batch, height, width, channels] each. */
  px?: { data: Tensor; samples: Tensor }
  /** p(y|x): images and i32 labels. */
  pyx?: { images: Tensor; labels: Tensor }
  /** p(x, y): samples drawn given the labels of `pyx`. */
  pxySamples?: Tensor
}

/** Scalars of one iteration; those of absent terms are undefined. All are tensors of shape []. */
export interface Objective {
  loss: Tensor
  fData?: Tensor
  fSample?: Tensor
  crossEntropy?: Tensor
  accuracy?: Tensor
}

type Weights = Pick<JemConfig, 'pxWeight' | 'pyxWeight' | 'pxyWeight' | 'energyL2'> &
  Partial<Pick<JemConfig, 'energyL2Of'>>

/**
 * L = pxWeight·(mean f(x_q) − mean f(x_p)) + pyxWeight·CE + pxyWeight·(mean f(x_q)[y] − mean f(x)[y])
 *     + energyL2·(mean f(x_p)² + mean f(x_q)²), where energyL2Of says 'batch' of the squared means.
 * The third term's labels are the data's for the samples too, so its gradient is that of log p(x|y): with pxyWeight 1 and
 * the others 0 it trains the paper's "p(x|y) factored" model, with pyxWeight 1 besides p(x|y) and p(y|x).
 * The model runs once over each batch, in the order data, samples, labelled images (batch norm's running statistics
 * depend on it). Throws RangeError where no term is present.
 */
export function objective(model: JemModel, batches: Batches, weights: Weights, dropout?: Generator): Objective {
  const terms: Tensor[] = []
  const result: Partial<Objective> = {}

  if (batches.px) {
    const data = model.forward(batches.px.data, dropout).f
    const samples = model.forward(batches.px.samples, dropout).f
    result.fData = mean(data)
    result.fSample = mean(samples)
    terms.push(mul(sub(result.fSample, result.fData), weights.pxWeight))
    if (weights.energyL2 > 0) {
      const squared = (f: Tensor) => (weights.energyL2Of === 'batch' ? square(mean(f)) : mean(square(f)))
      terms.push(mul(add(squared(data), squared(samples)), weights.energyL2))
    }
  }
  if (batches.pyx) {
    const { images, labels } = batches.pyx
    const { logits } = model.forward(images, dropout)
    result.crossEntropy = mean(crossEntropy(logits, labels))
    result.accuracy = mean(cast(equal(argmax(logits), labels), 'f32'))
    if (weights.pyxWeight > 0) terms.push(mul(result.crossEntropy, weights.pyxWeight))
    if (batches.pxySamples) {
      const samples = model.forward(batches.pxySamples, dropout).logits
      const difference = sub(mean(pick(samples, labels)), mean(pick(logits, labels)))
      terms.push(mul(difference, weights.pxyWeight))
    }
  }
  if (terms.length === 0) throw new RangeError('objective: every term has weight 0')
  return { ...result, loss: terms.reduce((total, term) => add(total, term)) }
}
