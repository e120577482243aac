import { noGrad } from '../../autograd/graph.ts'
import { add } from '../../ops/arithmetic.ts'
import { uniform } from '../../ops/random.ts'
import { slice } from '../../ops/shape.ts'
import { crossEntropy } from '../../ops/softmax.ts'
import { affine, neg } from '../../ops/unary.ts'
import type { Generator } from '../../random/generator.ts'
import { tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { ImageSize, Images } from '../pictures.ts'
import { Ball, epsilonUnit } from './ball.ts'
import type { Classifier } from './classifier.ts'
import { slope } from './evaluate.ts'
import type { AttackLoss } from './losses.ts'
import { expectCount } from './pgd.ts'

export interface DistalOptions {
  /** Default 200. */
  steps?: number
  /** L2 length of a step in 1/255 of [0, 1]; default 255, that is 1 in [0, 1]. */
  stepSize?: number
  signal?: AbortSignal
  onProgress?: (steps: number) => void
}

/**
 * Distal adversarials (Schott et al. 2018, arXiv 1805.09190; JEM §5.4): from uniform noise, steps up the gradient of log
 * p(y|x), of one length in L2, inside the image range. Where a model is sure of images that show nothing, its p(y|x)
 * tells little far from the data. The papers give no step sizes; these are ours: on the MNIST net of `langevin demo` 200
 * such steps bring every digit to p > 0.98, while 300 of a tenth of the length leave one at 0.01.
 * Gives one image for each label, and p(label|x) of it. Throws ConfigError.
 */
export async function distalAdversarials(
  classifier: Classifier,
  labels: Int32Array,
  size: ImageSize,
  generator: Generator,
  { steps = 200, stepSize = 255, signal, onProgress }: DistalOptions = {},
): Promise<{ images: Images; confidence: Float64Array }> {
  expectCount('steps', steps)
  const { device } = classifier
  const { height, width, channels } = size
  const shape = [labels.length, height, width, channels]
  using given = keep(tensor(labels, { device }))
  using start = keep(uniform(shape, generator, { low: -1, high: 1, device }))
  // Of this ball only the image range bounds anything.
  using ball = new Ball('l2', start, Number.POSITIVE_INFINITY)
  let x = keep(start.detach())
  try {
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted()
      const next = scope(() => {
        const { gradient } = slope(classifier, x, given, logLikelihood, 1)
        return ball.project(add(x, affine(ball.steepest(gradient), stepSize * epsilonUnit, 0)))
      })
      x.dispose()
      x = keep(next)
      await finished(x)
      onProgress?.(step + 1)
    }
    using likelihood = keep(scope(() => noGrad(() => logLikelihood(classifier.logits(x), given))))
    const confidence = Float64Array.from((await likelihood.data()) as Float32Array, Math.exp)
    return {
      images: { pixels: (await x.data()) as Float32Array, count: labels.length, height, width, channels },
      confidence,
    }
  } finally {
    x.dispose()
  }
}

/** log p(y|x) */
const logLikelihood: AttackLoss = (logits, labels) => neg(crossEntropy(logits, labels))

/** Waits until the device has computed x, with the event loop free. */
async function finished(x: Tensor): Promise<void> {
  using probe = keep(
    scope(() =>
      slice(
        x,
        x.shape.map(() => 0),
        x.shape.map(() => 1),
      ),
    ),
  )
  await probe.data()
}
