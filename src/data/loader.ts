import { ConfigError } from '../errors.ts'
import { Generator } from '../random/generator.ts'

/** Where a loader stands: plain numbers, as checkpoints save them. */
export interface LoaderState {
  epoch: number
  position: number
}

/**
 * Endless shuffled batches of indices: each epoch is a permutation of its own, of which a last part shorter than a
 * batch is dropped, as the released loaders do. The permutation of an epoch follows from the seed, the stream and the
 * epoch, so that the state is two numbers.
 */
export class IndexLoader {
  readonly batchesPerEpoch: number
  private readonly indices: Int32Array
  private readonly batch: number
  private readonly seed: number
  private readonly stream: number
  private epoch = 0
  private position = 0
  private order: Int32Array

  /** `indices`: the images to draw from, which errors call `what`. Throws ConfigError where they do not fill one batch. */
  constructor(indices: Int32Array, batch: number, seed: number, stream: number, what = 'training images') {
    if (indices.length < batch) {
      throw new ConfigError(`the batch must be at most the ${indices.length} ${what}, got ${batch}`, {
        hint: 'choose a smaller batch, or hold out fewer images for validation',
      })
    }
    this.indices = indices
    this.batch = batch
    this.seed = seed
    this.stream = stream
    this.batchesPerEpoch = Math.floor(indices.length / batch)
    this.order = this.orderOf(0)
  }

  next(): Int32Array {
    if (this.position === this.batchesPerEpoch) {
      this.position = 0
      this.epoch++
      this.order = this.orderOf(this.epoch)
    }
    const start = this.position * this.batch
    this.position++
    return this.order.slice(start, start + this.batch)
  }

  state(): LoaderState {
    return { epoch: this.epoch, position: this.position }
  }

  restore({ epoch, position }: LoaderState): void {
    this.epoch = epoch
    this.position = position
    this.order = this.orderOf(epoch)
  }

  private orderOf(epoch: number): Int32Array {
    const generator = new Generator(this.seed, 'shuffle', this.stream)
    generator.restore({ ...generator.state(), step: epoch })
    return generator.permutation(this.indices.length).map((i) => this.indices[i])
  }
}

export interface TrainValidSplit {
  train: Int32Array
  labelled: Int32Array
  validation: Int32Array
}

/**
 * The released split: a shuffle by a fixed seed whose first `validationSize` images are held out; of the others, the
 * first `labelsPerClass` of each class (−1: all) are labelled. Throws ConfigError.
 */
export function splitIndices(
  labels: ArrayLike<number>,
  classes: number,
  validationSize: number,
  labelsPerClass: number,
): TrainValidSplit {
  if (validationSize >= labels.length) {
    throw new ConfigError(`validationSize must be below the ${labels.length} images of the set, got ${validationSize}`)
  }
  const order = new Generator(1234, 'shuffle', 1000).permutation(labels.length) // 1234: as the released code
  const train = order.slice(validationSize)
  const taken = new Array<number>(classes).fill(0)
  const labelled = labelsPerClass < 0 ? train : train.filter((i) => taken[labels[i]]++ < labelsPerClass)
  return { train, labelled, validation: order.slice(0, validationSize) }
}
