import { ConfigError } from '../errors.ts'
import type { LayerOptions } from '../nn/init.ts'
import { Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { NormName } from '../nn/norms.ts'
import { parseModelName, WideResNet } from '../nn/wideResNet.ts'
import { cast } from '../ops/cast.ts'
import { energyHead } from '../ops/energyHead.ts'
import { withPrecision } from '../ops/precision.ts'
import { reshape } from '../ops/shape.ts'
import { logsumexp } from '../ops/softmax.ts'
import type { Generator } from '../random/generator.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface JemModelOptions extends LayerOptions {
  /** `wrn-<depth>-<width>` */
  model: string
  classes: number
  /** Channels of the images. */
  channels: number
  norm?: NormName
  dropout?: number
  /** A separate scalar energy head (class `F` of the released code) instead of logsumexp of the logits (class `CCF`). */
  unconditional?: boolean
}

/** Measured on two cores of an AMD EPYC (Zen 4), see docs/kernels.md: WRN-10-1 (78,000 parameters) and WRN-16-2 (690,000). */
const mostParametersInLanes = 1e6
const imagesOfLane = 4

/** What one pass through the network says of a batch. */
export interface JemOutput {
  /** [batch, classes]: f(x)[y], the unnormalised log p(x, y). */
  logits: Tensor
  /** [batch]: f(x), the unnormalised log p(x); the energy is −f(x). */
  f: Tensor
}

/** The joint energy-based model: a WideResNet whose logits are read as p(y|x), p(x, y) and p(x) (JEM eq. 5 to 7). */
export class JemModel extends Module {
  readonly options: JemModelOptions
  private readonly trunk: WideResNet
  private readonly classOutput: Linear
  private readonly energyOutput: Linear | undefined

  constructor(options: JemModelOptions) {
    super()
    if (options.classes < 1) throw new ConfigError(`classes must be >= 1, got ${options.classes}`)
    this.options = options
    this.trunk = this.part('f', new WideResNet({ ...options, ...parseModelName(options.model) }))
    this.classOutput = this.part('class_output', new Linear(this.trunk.featureCount, options.classes, options))
    if (options.unconditional) {
      this.energyOutput = this.part('energy_output', new Linear(this.trunk.featureCount, 1, options))
    }
  }

  /** A few images at a time pay where the weights are few: each core reads all of them for so many images. In training
   *  mode norms see the batch, and dropout draws. */
  get chainsAtOnce(): number | undefined {
    if (this.parameterCount() > mostParametersInLanes) return undefined
    const { norm = 'none', dropout = 0 } = this.options
    return this.training && (norm !== 'none' || dropout > 0) ? undefined : imagesOfLane
  }

  /** x: [batch, height, width, channels] in about [-1, 1]. `withPrecision` holds for the trunk; the head, whose
   *  differences are the samples' energies, computes in f32. */
  forward(x: Tensor, dropoutGenerator?: Generator): JemOutput {
    const features = this.trunk.forward(x, dropoutGenerator)
    return withPrecision('fp32', () => {
      const wide = features.dtype === 'bf16' && x.dtype !== 'bf16' ? cast(features, x.dtype) : features
      const logits = this.classOutput.forward(wide)
      const f = this.energyOutput ? reshape(this.energyOutput.forward(wide), [x.shape[0]]) : logsumexp(logits)
      return { logits, f }
    })
  }

  /** f(x), or f(x)[y] for one label (i32) each: [batch]. As `forward`, but where no parameter wants a gradient one kernel
   *  goes from the last feature map to f, which makes sampling cheaper. */
  logDensity(x: Tensor, labels?: Tensor): Tensor {
    const head = labels ? this.classOutput : (this.energyOutput ?? this.classOutput) // of one logit, logsumexp is itself
    const map = this.trunk.featureMap(x)
    const f = withPrecision('fp32', () => energyHead(map, head.weight, { bias: head.bias, labels }))
    map.dispose()
    return f
  }
}
