/** What attacks see of a classifier. */
import { noGrad } from '../../autograd/graph.ts'
import { ConfigError } from '../../errors.ts'
import type { JemModel } from '../../jem/model.ts'
import { inMode, sgld } from '../../jem/sampler.ts'
import type { Device } from '../../native/contract.ts'
import { add, sub } from '../../ops/arithmetic.ts'
import { normal } from '../../ops/random.ts'
import { mean } from '../../ops/reduce.ts'
import { broadcastTo, reshape } from '../../ops/shape.ts'
import type { SgldOptions } from '../../ops/training.ts'
import type { Generator } from '../../random/generator.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'

export interface Classifier {
  readonly classes: number
  readonly device: Device
  /** Whether calls draw random numbers, so that two on the same images differ. */
  readonly randomised: boolean
  /** x [batch, height, width, channels] in [-1, 1] → logits [batch, classes], with a gradient to x. */
  logits(x: Tensor): Tensor
}

/** A model in eval mode, without noise. */
export function classifierOf(model: JemModel): Classifier {
  return {
    classes: model.options.classes,
    device: model.parameters()[0].device,
    randomised: false,
    logits: (x) => scope(() => inMode(model, 'eval', () => model.frozen(() => model.forward(x).logits))),
  }
}

/** With the sampler's own options; step size and noise default to the released ones, 1 and 0.01. */
export interface RefinementOptions extends Partial<SgldOptions> {
  /** SGLD steps on each input before it is classified: n of "JEM-n". */
  steps: number
  /** Chains an image, whose logits are averaged; default 5. */
  copies?: number
  /** Standard deviation of the noise added to each copy before its chain; default 0.03. */
  sigma?: number
}

/**
 * JEM-n (JEM §5.4; the model class of the released `attack_model.py`): each image is copied, noise is added, each copy
 * takes n SGLD steps up f(x), and the logits of the copies are averaged. Defaults are the released ones.
 *
 * The gradient passes the refinement as if it were the identity (BPDA, Athalye et al. 2018, arXiv 1802.00420, §4.1), and
 * every call draws anew, so that gradients averaged over calls are those of EOT (there, §4.2). **Accuracy of such a
 * randomised classifier is an upper bound**: what a better attack on the refinement itself would reach is unknown, and
 * RobustBench excludes such defences for that reason.
 */
export function refinedClassifier(model: JemModel, generator: Generator, options: RefinementOptions): Classifier {
  const { steps, copies = 5, sigma = 0.03, stepSize = 1, noiseStd = 0.01, ...limits } = options
  if (!(Number.isInteger(steps) && steps >= 0)) {
    throw new ConfigError(`refinement steps must be a whole number >= 0, got ${steps}`)
  }
  if (!(Number.isInteger(copies) && copies >= 1))
    throw new ConfigError(`copies must be a whole number >= 1, got ${copies}`)
  if (!(sigma >= 0)) throw new ConfigError(`sigma must be >= 0, got ${sigma}`)
  const plain = classifierOf(model)
  return {
    ...plain,
    randomised: sigma > 0 || (steps > 0 && noiseStd > 0),
    logits: (x) => {
      const [batch, ...size] = x.shape
      return scope(() => {
        const copied = broadcastTo(reshape(x, [1, batch, ...size]), [copies, batch, ...size])
        const inputs = reshape(copied, [copies * batch, ...size])
        const change = noGrad(() => {
          const chains = add(inputs, normal(inputs.shape, generator, { std: sigma, dtype: x.dtype, device: x.device }))
          sgld(model, chains, generator, { ...limits, steps, stepSize, noiseStd })
          return sub(chains, inputs)
        })
        const logits = plain.logits(add(inputs, change))
        return mean(reshape(logits, [copies, batch, plain.classes]), { axes: 0 })
      })
    },
  }
}
