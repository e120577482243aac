/** What every attack takes and gives. */
import { DataError } from '../../errors.ts'
import { greater, maximum, where } from '../../ops/arithmetic.ts'
import { clone } from '../../ops/cast.ts'
import { reshape } from '../../ops/shape.ts'
import type { Generator } from '../../random/generator.ts'
import { full, tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { Ball, expectImages, type Norm, type Values } from './ball.ts'
import type { Classifier } from './classifier.ts'
import { marginOf, readMargins } from './evaluate.ts'

/** A batch and what may be done to it. */
export interface AttackTarget {
  classifier: Classifier
  /** [batch, height, width, channels] in [-1, 1]; stays the caller's. */
  images: Tensor
  /** [batch], each in [0, classes). */
  labels: ArrayLike<number>
  norm: Norm
  /** Budget in 1/255 of [0, 1]: one for all images, or one for each. */
  epsilon: number | ArrayLike<number>
  /** Random starts and proposals; nothing else is random, so the same state gives the same attack. */
  generator: Generator
  /** Calls of a randomised classifier that are averaged, for gradients (EOT) and for judging; default 1. */
  draws?: number
  /** Called after each step. */
  onStep?: () => void
  /** Stops between steps; the promise then rejects with the signal's reason. */
  signal?: AbortSignal
}

export interface Adversarial {
  /** [batch, height, width, channels], inside the ball and the image range. The caller disposes it. */
  images: Tensor
  /** [batch]: max_{k≠y} z_k − z_y; positive where the attack succeeded. */
  margins: Values
}

/** Throws ConfigError, DataError (images outside [-1, 1], NaN logits). */
export type Attack = (target: AttackTarget) => Promise<Adversarial>

/** What attacks share while they run: the ball, the labels on the device, and the best images so far. */
export class Search {
  readonly ball: Ball
  readonly labels: Tensor
  readonly draws: number
  private readonly target: AttackTarget
  private best: Tensor
  private bestMargin: Tensor

  /** Throws ConfigError, DataError. */
  static async open(target: AttackTarget): Promise<Search> {
    const { images, labels, classifier } = target
    if (labels.length !== images.shape[0]) {
      throw new DataError(`attack: expected ${images.shape[0]} labels, one an image, got ${labels.length}`)
    }
    const wrong = Array.from(labels).find((y) => !(Number.isInteger(y) && y >= 0 && y < classifier.classes))
    if (wrong !== undefined) {
      throw new DataError(`attack: labels must be whole numbers in [0, ${classifier.classes - 1}], got ${wrong}`)
    }
    await expectImages(images)
    const search = new Search(target)
    try {
      scope(() => search.offer(images, marginOf(classifier, images, search.labels, search.draws)))
      return search
    } catch (error) {
      search.dispose()
      throw error
    }
  }

  private constructor(target: AttackTarget) {
    const { images, labels, norm, epsilon, draws = 1 } = target
    this.target = target
    this.draws = draws
    this.ball = new Ball(norm, images, epsilon)
    this.labels = keep(tensor(Int32Array.from(labels), { device: images.device }))
    this.best = keep(clone(images))
    this.bestMargin = keep(
      full([images.shape[0]], Number.NEGATIVE_INFINITY, { dtype: images.dtype, device: images.device }),
    )
  }

  /** Keeps those of `x` that are misclassified by more than any before, the given images being the first. */
  offer(x: Tensor, margin: Tensor): void {
    const [best, bestMargin] = scope(() => {
      const better = reshape(greater(margin, this.bestMargin), this.ball.radius.shape)
      return [where(better, x, this.best), maximum(margin, this.bestMargin)]
    })
    this.best.dispose()
    this.bestMargin.dispose()
    this.best = keep(best)
    this.bestMargin = keep(bestMargin)
  }

  /** Whether every image has been misclassified, for certain: never so where the classifier is randomised. Waits for the
   *  device, and stops where the signal says so. */
  async succeeded(): Promise<boolean> {
    const { classifier, signal, onStep } = this.target
    signal?.throwIfAborted()
    onStep?.()
    const margins = await readMargins(this.bestMargin)
    return !classifier.randomised && margins.every((margin) => margin > 0)
  }

  /** The best images. A randomised classifier judges them anew, as the best of many noisy margins is partly luck. */
  async result(): Promise<Adversarial> {
    const { classifier } = this.target
    const images = keep(this.best.detach())
    const margin = keep(
      classifier.randomised ? marginOf(classifier, images, this.labels, this.draws) : this.bestMargin.detach(),
    )
    try {
      return { images, margins: await readMargins(margin) }
    } catch (error) {
      images.dispose()
      throw error
    } finally {
      margin.dispose()
    }
  }

  dispose(): void {
    this.ball.dispose()
    this.labels.dispose()
    this.best.dispose()
    this.bestMargin.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
