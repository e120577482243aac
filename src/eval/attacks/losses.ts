/** Losses that attacks maximise: logits [batch, classes] and i32 labels [batch] → [batch]. */
import { ConfigError } from '../../errors.ts'
import { add, div, equal, sub, where } from '../../ops/arithmetic.ts'
import { argmax, max } from '../../ops/reduce.ts'
import { pick } from '../../ops/rows.ts'
import { reshape } from '../../ops/shape.ts'
import { logsumexp } from '../../ops/softmax.ts'
import { tensor } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'

export type AttackLoss = (logits: Tensor, labels: Tensor) => Tensor

/** max_{k≠y} z_k − z_y: positive where the image is misclassified. A tie counts as right. */
export function margin(logits: Tensor, labels: Tensor): Tensor {
  return scope(() => sub(max(without(logits, labels), { axis: 1 }), pick(logits, labels)))
}

/**
 * log Σ_{k≠y} exp z_k − z_y, the log-odds of p(y|x) turned round: L of cross-entropy = log(1 + e^L). It rises where the
 * cross-entropy does and its gradient has the same direction, so that PGD and APGD take the same steps; but where a model
 * is sure, the cross-entropy's own gradient is too small for f32, and a step nowhere looks like robustness.
 */
export function crossEntropyLogOdds(logits: Tensor, labels: Tensor): Tensor {
  return scope(() => sub(logsumexp(without(logits, labels)), pick(logits, labels)))
}

/**
 * The difference of logits ratio −(z_y − max_{k≠y} z_k) / (z_π1 − z_π3), z_π1 ≥ z_π2 ≥ … being the logits in order (Croce
 * & Hein 2020, arXiv 2003.01690, §4): as the margin, but the same for all multiples of the logits, so that large ones
 * cannot make its gradient vanish. Throws ConfigError for fewer than 3 classes, which have no third logit.
 */
export function differenceOfLogitsRatio(logits: Tensor, labels: Tensor): Tensor {
  if (logits.shape[1] < 3) {
    throw new ConfigError(`the DLR loss needs at least 3 classes, got ${logits.shape[1]}`, {
      hint: 'attack with the cross-entropy (apgd-ce)',
    })
  }
  return scope(() => {
    const afterFirst = without(logits, argmax(logits))
    const afterSecond = without(afterFirst, argmax(afterFirst))
    const spread = sub(max(logits, { axis: 1 }), max(afterSecond, { axis: 1 }))
    return div(margin(logits, labels), add(spread, 1e-12)) // 1e-12: as the authors' code, for three equal logits
  })
}

/** The logits with one class of each row out of the running. */
function without(logits: Tensor, classes: Tensor): Tensor {
  const [batch, count] = logits.shape
  const columns = tensor(
    Int32Array.from({ length: count }, (_, k) => k),
    { device: logits.device },
  )
  return where(equal(reshape(classes, [batch, 1]), columns), Number.NEGATIVE_INFINITY, logits)
}
