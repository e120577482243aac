import { record, wantsGrad } from '../autograd/graph.ts'
import { LazyGradient } from '../autograd/lazyGradient.ts'
import { ShapeError } from '../errors.ts'
import { scope } from '../tensor/scope.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { cast } from './cast.ts'
import { expectAlike, expectDType, expectSameDevice, expectShape, shapeText } from './check.ts'
import { linear } from './matmul.ts'
import { globalAvgPool } from './pool.ts'
import { pick } from './rows.ts'
import { logsumexp } from './softmax.ts'

export interface EnergyHeadOptions {
  /** [classes] */
  bias?: Tensor
  /** i32 [batch]: take the logit of this class instead of the log-sum-exp of all. */
  labels?: Tensor
}

/**
 * logsumexp(linear(globalAvgPool(x), weight, bias)) in one kernel, the head of an energy-based classifier: f(x), the
 * unnormalised log p(x) of JEM eq. 6; with labels f(x)[label], that of p(x, y). x [batch, height, width, channels], weight
 * [channels, classes] of x's dtype, or f32 where x is bf16 → [batch], of the weight's dtype. The graph keeps one gradient row per image, [batch, channels], which every pixel shares;
 * where weight or bias wants a gradient, it is that of the separate ops. A label outside [0, classes) is a fault at the
 * next read. Throws ShapeError, DTypeError.
 */
export function energyHead(x: Tensor, weight: Tensor, options: EnergyHeadOptions = {}): Tensor {
  const { bias, labels } = options
  expectDType('energyHead', 'x', x)
  if (x.dtype === 'bf16' && weight.dtype === 'f32') expectSameDevice('energyHead', 'x', x, 'weight', weight)
  else expectAlike('energyHead', { x, weight })
  expectAlike('energyHead', { weight, bias })
  const [batch, height, width, channels] = expectShape('energyHead', 'x', x, ['batch', 'height', 'width', 'channels'])
  const [, classes] = expectShape('energyHead', 'weight', weight, [channels, 'classes'], `x has ${channels} channels`)
  if (height * width === 0 || classes === 0) {
    throw new ShapeError(
      `energyHead: x must have pixels and weight classes, got ${shapeText(x.shape)} and ${shapeText(weight.shape)}`,
    )
  }
  if (bias) expectShape('energyHead', 'bias', bias, [classes])
  if (labels) {
    expectDType('energyHead', 'labels', labels, ['i32'])
    expectShape('energyHead', 'labels', labels, [batch], 'one for each image')
  }
  if (wantsGrad(weight) || wantsGrad(bias)) {
    return scope(() => {
      const pooled = globalAvgPool(x)
      const logits = linear(pooled.dtype === weight.dtype ? pooled : cast(pooled, weight.dtype), weight, bias)
      return labels ? pick(logits, labels) : logsumexp(logits)
    })
  }

  const f = empty([batch], weight.dtype, x.device)
  using gradient = wantsGrad(x) ? empty([batch, channels], x.dtype === 'bf16' ? 'f32' : x.dtype, x.device) : undefined
  x.native.energyHead(
    x.handle,
    weight.handle,
    bias?.handle ?? 0,
    labels?.handle ?? 0,
    f.handle,
    gradient?.handle ?? 0,
    batch,
    height * width,
    channels,
    classes,
  )
  return record('energyHead', f, [x], [gradient], (df, [gradient_]) => [
    new LazyGradient([gradient_!, df], ([row, df_], derivative, add) => {
      const dx = empty(x.shape, x.dtype, df_.device)
      const { signs, slope = 1 } = derivative ?? {}
      df_.native.energyHeadBackward(
        row.handle,
        df_.handle,
        signs?.handle ?? 0,
        add?.handle ?? 0,
        dx.handle,
        batch,
        height * width,
        channels,
        slope,
      )
      return dx // ∂f/∂x[i, p, :] = weight·softmax(logits[i]) / pixels
    }),
  ])
}
