/** Where SGLD chains begin: the replay buffer's first contents and its fresh chains. */
import type { Dataset } from '../data/dataset.ts'
import type { TrainValidSplit } from '../data/loader.ts'
import { ConfigError } from '../errors.ts'
import { add, sub } from '../ops/arithmetic.ts'
import { matmul } from '../ops/matmul.ts'
import { normal, uniform } from '../ops/random.ts'
import { mean } from '../ops/reduce.ts'
import { scatterRows } from '../ops/rows.ts'
import { reshape } from '../ops/shape.ts'
import { imageBatch } from '../ops/training.ts'
import { affine, clamp } from '../ops/unary.ts'
import type { Generator } from '../random/generator.ts'
import { tensor, zeros } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { JemConfig } from './config.ts'

export interface ChainRequest {
  /** The class of each chain; absent: each draws its own, uniformly, where it matters. */
  labelOf?: (chain: number) => number
  /** Which chains are wanted; what the others get is not specified. Absent: all. */
  isWanted?: (chain: number) => boolean
}

export interface ChainStart {
  /** Starting points [count, height, width, channels] f32 in [-1, 1]. */
  draw(count: number, generator: Generator, request?: ChainRequest): Tensor
}

/** U(-1, 1), as the released code. Takes one step of the generator. */
export function uniformStart(
  { height, width, channels }: Pick<Dataset, 'height' | 'width' | 'channels'>,
  device: Tensor['device'],
): ChainStart {
  return {
    draw: (count, generator) => uniform([count, height, width, channels], generator, { low: -1, high: 1, device }),
  }
}

/** Where the chains of a run start: as `config.chainStart` says, Gaussians being fitted to the images of `split`.
 *  `images`: those of `data`, u8, on the device. Throws ConfigError for a class without images. */
export function chainStartOf(
  kind: JemConfig['chainStart'],
  data: Dataset,
  { train, labelled }: Pick<TrainValidSplit, 'train' | 'labelled'>,
  images: Tensor,
): ChainStart {
  switch (kind) {
    case 'uniform':
      return uniformStart(data, images.device)
    case 'gaussian':
      return new GaussianStart(images, [train])
    case 'class-gaussians': {
      const ofClass = (k: number) => labelled.filter((i) => data.labels[i] === k)
      return new GaussianStart(
        images,
        Array.from({ length: data.classes }, (_, k) => ofClass(k)),
      )
    }
  }
}

/** Added to the covariance's diagonal (JEMPP `init_from_centers`). */
const covarianceFloor = 1e-4

/** Chains drawn by one product, which bounds the memory of the weights: [this, images of a class]. */
const chainsAtOnce = 256

/**
 * Gaussians fitted to groups of training images: N(μ, Σ + 1e-4·I) with the mean and the covariance (divided by n) of a
 * group's n images, clamped to [-1, 1]. One group for each class is JEM++'s informative initialisation
 * (`init_from_centers`), a single group of all images M-JEM's (`one_center.py`).
 *
 * Neither Σ nor a factor of it is ever formed: with z ~ N(0, Iₙ), w ~ N(0, I) and X the images as rows,
 * Σᵢ (1/n + (zᵢ − z̄)/√n)·Xᵢ + 0.01·w has just that mean and covariance, and costs one product with X: n·pixels
 * multiplications a chain, where a Cholesky factor would cost pixels³/3 once, pixels² a chain and memory for both.
 */
export class GaussianStart implements ChainStart {
  private readonly images: Tensor
  private readonly groups: readonly Int32Array[]
  private readonly size: readonly [height: number, width: number, channels: number]

  /** `images`: u8 [count, height, width, channels], kept by the caller; `groups`: indices of images. Throws ConfigError
   *  for a group without images. */
  constructor(images: Tensor, groups: readonly Int32Array[]) {
    const empty = groups.findIndex((group) => group.length === 0)
    if (empty >= 0) {
      throw new ConfigError(`chainStart: class ${empty} has no labelled training image to fit a Gaussian to`, {
        hint: 'start chains with --chain-start gaussian or uniform',
      })
    }
    this.images = images
    this.groups = groups
    this.size = images.shape.slice(1) as [number, number, number]
  }

  draw(count: number, generator: Generator, { labelOf, isWanted = () => true }: ChainRequest = {}): Tensor {
    return scope(() => {
      const x = zeros([count, ...this.size], { device: this.images.device })
      const groupOf = this.groups.length === 1 ? () => 0 : (labelOf ?? this.drawLabels(count, generator))
      const chainsOf = this.groups.map((): number[] => [])
      for (let chain = 0; chain < count; chain++) if (isWanted(chain)) chainsOf[groupOf(chain)].push(chain)
      for (const [g, chains] of chainsOf.entries()) {
        if (chains.length > 0) scope(() => this.drawGroup(x, chains, this.groups[g], generator))
      }
      return x
    })
  }

  private drawLabels(count: number, generator: Generator): (chain: number) => number {
    const labels = generator.integers(count, this.groups.length)
    return (chain) => labels[chain]
  }

  /** Writes starting points of one group into the rows `chains` of x. */
  private drawGroup(x: Tensor, chains: number[], members: Int32Array, generator: Generator): void {
    const { device } = this.images
    const n = members.length
    const plain = { padding: 0, flip: false, noiseStd: 0 }
    const group = reshape(imageBatch(this.images, tensor(members, { device }), generator, plain), [n, -1])
    for (let at = 0; at < chains.length; at += chainsAtOnce) {
      scope(() => {
        const rows = Int32Array.from(chains.slice(at, at + chainsAtOnce))
        const z = normal([rows.length, n], generator, { device })
        const centred = sub(z, mean(z, { axes: 1, keepDims: true }))
        const fitted = matmul(affine(centred, 1 / Math.sqrt(n), 1 / n), group)
        const spread = normal(fitted.shape, generator, { std: Math.sqrt(covarianceFloor), device })
        const drawn = clamp(add(fitted, spread), -1, 1)
        scatterRows(x, tensor(rows, { device }), reshape(drawn, [rows.length, ...this.size]))
      })
    }
  }
}
