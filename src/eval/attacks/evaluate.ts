/** How a classifier does on a batch of images, and which way to change them. */
import { grad } from '../../autograd/backward.ts'
import { enableGrad, noGrad } from '../../autograd/graph.ts'
import { DataError } from '../../errors.ts'
import { add } from '../../ops/arithmetic.ts'
import { affine } from '../../ops/unary.ts'
import { full } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Values } from './ball.ts'
import type { Classifier } from './classifier.ts'
import { type AttackLoss, margin } from './losses.ts'

export interface Slope {
  /** [batch]: the margin of the logits' mean over the draws. */
  margin: Tensor
  /** [batch]: mean over the draws. */
  loss: Tensor
  /** The images' shape: mean over the draws of ∂loss/∂x (EOT; Athalye et al. 2018, arXiv 1802.00420, §4.2). */
  gradient: Tensor
}

/** The loss at `x` and its gradient, averaged over `draws` calls of the classifier. */
export function slope(classifier: Classifier, x: Tensor, labels: Tensor, loss: AttackLoss, draws: number): Slope {
  return scope(() => {
    const parts = Array.from({ length: draws }, () => onePass(classifier, x, labels, loss))
    const mean = (name: 'logits' | 'loss' | 'gradient') =>
      affine(
        parts.map((part) => part[name]).reduce((total, part) => add(total, part)),
        1 / draws,
        0,
      )
    return { margin: noGrad(() => margin(mean('logits'), labels)), loss: mean('loss'), gradient: mean('gradient') }
  })
}

function onePass(classifier: Classifier, x: Tensor, labels: Tensor, loss: AttackLoss) {
  return scope(() =>
    enableGrad(() => {
      const leaf = x.detach()
      leaf.requiresGrad = true
      const logits = classifier.logits(leaf)
      const value = loss(logits, labels)
      const seed = full(value.shape, 1, { dtype: value.dtype, device: value.device })
      const [gradient] = grad(value, [leaf], seed)
      return { logits: logits.detach(), loss: value.detach(), gradient }
    }),
  )
}

/** The margin of the logits' mean over `draws` calls: positive where an image is misclassified. [batch] */
export function marginOf(classifier: Classifier, x: Tensor, labels: Tensor, draws: number): Tensor {
  return scope(() =>
    noGrad(() => {
      const logits = Array.from({ length: draws }, () => classifier.logits(x)).reduce((total, one) => add(total, one))
      return margin(affine(logits, 1 / draws, 0), labels)
    }),
  )
}

/** Margins on the host. Throws DataError where one is NaN, which would otherwise count as an image that resists. */
export async function readMargins(margins: Tensor): Promise<Values> {
  const values = (await margins.data()) as Values
  const bad = values.filter(Number.isNaN).length
  if (bad === 0) return values
  throw new DataError(`attack: the classifier's logits are NaN for ${bad} of ${values.length} images`, {
    hint: 'the model has diverged or its checkpoint is broken',
  })
}
