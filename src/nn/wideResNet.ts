import { ConfigError, ShapeError } from '../errors.ts'
import { expectShape } from '../ops/check.ts'
import { globalAvgPool } from '../ops/pool.ts'
import { dropout } from '../ops/random.ts'
import { leakyRelu } from '../ops/unary.ts'
import type { Generator } from '../random/generator.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type LayerOptions, leakySlope } from './init.ts'
import { Conv2d } from './layers.ts'
import { Module } from './module.ts'
import { makeNorm, type Norm, type NormName } from './norms.ts'

export interface WideResNetOptions extends LayerOptions {
  depth: number
  width: number
  /** Channels of the images: 1 or 3. */
  channels: number
  norm?: NormName
  /** Probability of dropping an activation between a block's convolutions. */
  dropout?: number
}

/** Height and width below which the last feature map would be a single pixel or less (the strides make 4 of 1). */
export const smallestImage = 8

/** `wrn-28-10` → depth 28, width 10. Throws ConfigError. */
export function parseModelName(name: string): { depth: number; width: number } {
  const match = /^wrn-(\d+)-(\d+)$/.exec(name)
  const [depth, width] = match ? [Number(match[1]), Number(match[2])] : [0, 0]
  if (!match || depth < 10 || (depth - 4) % 6 !== 0 || width < 1) {
    throw new ConfigError(
      `model must be wrn-<depth>-<width> with depth 10, 16, 22, 28, … and width >= 1, got "${name}"`,
    )
  }
  return { depth, width }
}

/** A feature map on its way through the trunk: before LeakyReLU, and, where the last kernel made it too, after. */
interface Features {
  pre: Tensor
  activated?: Tensor
}

/**
 * The trunk of the released code (wideresnet.py): 3×3 stem without activation, three stages of pre-activation blocks
 * with 16·width, 32·width and 64·width channels, norm and LeakyReLU, mean over the last map.
 * Forward: [batch, height, width, channels] → [batch, 64·width]. Height and width ≥ 8.
 */
export class WideResNet extends Module {
  readonly featureCount: number
  private readonly conv1: Conv2d
  private readonly blocks: Block[]
  private readonly bn1: Norm | undefined
  private readonly channels: number

  constructor(options: WideResNetOptions) {
    super()
    const { depth, width, channels, norm = 'none' } = options
    const blocksPerStage = (depth - 4) / 6
    this.channels = channels
    this.conv1 = this.part('conv1', new Conv2d(channels, 16, 3, { ...options, padding: 1 }))
    this.blocks = []
    let cin = 16
    for (const [stage, cout] of [16 * width, 32 * width, 64 * width].entries()) {
      for (let i = 0; i < blocksPerStage; i++) {
        const stride = stage > 0 && i === 0 ? 2 : 1
        this.blocks.push(this.part(`layer${stage + 1}.${i}`, new Block(cin, cout, stride, options)))
        cin = cout
      }
    }
    this.featureCount = cin
    this.bn1 = makeNorm(norm, cin, options)
    if (this.bn1) this.part('bn1', this.bn1)
  }

  /** One generator step per block with dropout in training mode. */
  forward(x: Tensor, dropoutGenerator?: Generator): Tensor {
    const map = this.featureMap(x, dropoutGenerator)
    const pooled = globalAvgPool(map)
    map.dispose()
    return pooled
  }

  /** The last feature map, activated, whose mean is the features: [batch, ⌈height/4⌉, ⌈width/4⌉, 64·width]. */
  featureMap(x: Tensor, dropoutGenerator?: Generator): Tensor {
    const [, height, width] = expectShape('WideResNet', 'x', x, ['batch', 'height', 'width', this.channels])
    if (height < smallestImage || width < smallestImage) {
      throw new ShapeError(
        `WideResNet: images must be at least ${smallestImage}×${smallestImage}, got ${height}×${width}`,
      )
    }
    // Without norms the kernel that makes a feature map also makes its LeakyReLU.
    const fused = this.bn1 === undefined
    let features: Features
    if (fused) {
      const [activated, pre] = this.conv1.forwardBoth(x, { leakySlope })
      features = { pre, activated }
    } else {
      features = { pre: this.conv1.forward(x) }
    }
    // Each block's feature maps go as soon as the next has used them; what a gradient needs, the graph holds.
    for (const [i, block] of this.blocks.entries()) {
      const last = i === this.blocks.length - 1
      const next = scope(() => block.forward(features, fused, last, dropoutGenerator))
      release(features)
      features = next
    }
    if (features.activated) return features.activated
    const activated = scope(() => leakyRelu(this.bn1!.forward(features.pre), leakySlope))
    release(features)
    return activated
  }
}

function release({ pre, activated }: Features): void {
  pre.dispose()
  activated?.dispose()
}

/**
 * `wide_basic`: conv2(lrelu(bn2(dropout(conv1(lrelu(bn1(x))))))) + shortcut(x). conv1 has stride 1; conv2 carries the
 * stride. The shortcut is a 1×1 convolution of the raw x where the shape changes, part of conv2's kernel; else x itself.
 */
class Block extends Module {
  private readonly bn1: Norm | undefined
  private readonly conv1: Conv2d
  private readonly bn2: Norm | undefined
  private readonly conv2: Conv2d
  private readonly shortcut: Conv2d | undefined
  private readonly dropout: number

  constructor(cin: number, cout: number, stride: number, options: WideResNetOptions) {
    super()
    const norm = options.norm ?? 'none'
    this.dropout = options.dropout ?? 0
    this.bn1 = makeNorm(norm, cin, options)
    if (this.bn1) this.part('bn1', this.bn1)
    this.conv1 = this.part('conv1', new Conv2d(cin, cout, 3, { ...options, padding: 1 }))
    this.bn2 = makeNorm(norm, cout, options)
    if (this.bn2) this.part('bn2', this.bn2)
    this.conv2 = this.part('conv2', new Conv2d(cout, cout, 3, { ...options, padding: 1, stride }))
    if (stride !== 1 || cin !== cout) {
      this.shortcut = this.part('shortcut.0', new Conv2d(cin, cout, 1, { ...options, stride }))
    }
  }

  forward(x: Features, fused: boolean, last: boolean, dropoutGenerator: Generator | undefined): Features {
    const dropping = this.training && this.dropout > 0
    let h = x.activated ?? leakyRelu(this.bn1!.forward(x.pre), leakySlope)
    if (fused && !dropping) {
      h = this.conv1.forward(h, { leakySlope })
    } else {
      h = this.conv1.forward(h)
      if (dropping) h = dropout(h, this.dropout, dropoutGenerator ?? missingGenerator())
      h = leakyRelu(this.bn2 ? this.bn2.forward(h) : h, leakySlope)
    }
    const { shortcut } = this
    const added = shortcut
      ? { shortcut: { x: x.pre, weight: shortcut.weight, bias: shortcut.bias } }
      : { residual: x.pre }
    if (!fused) return { pre: this.conv2.forward(h, added) }
    if (last) {
      const activated = this.conv2.forward(h, { ...added, leakySlope })
      return { pre: activated, activated }
    }
    const [activated, pre] = this.conv2.forwardBoth(h, { ...added, leakySlope })
    return { pre, activated }
  }
}

function missingGenerator(): never {
  throw new ConfigError('WideResNet: dropout in training mode needs a generator')
}
