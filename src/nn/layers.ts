import { type Conv2dOptions, conv2d, conv2dBoth } from '../ops/conv2d.ts'
import { linear } from '../ops/matmul.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { initBias, initWeight, type LayerOptions } from './init.ts'
import { Module } from './module.ts'

type FusedOptions = Pick<Conv2dOptions, 'residual' | 'shortcut' | 'leakySlope'>

/** Convolution with bias: weight [kernel, kernel, cin, cout], bias [cout]. */
export class Conv2d extends Module {
  readonly weight: Tensor
  readonly bias: Tensor
  private readonly stride: number
  private readonly padding: number

  constructor(
    cin: number,
    cout: number,
    kernel: number,
    options: LayerOptions & { stride?: number; padding?: number },
  ) {
    super()
    const fanIn = cin * kernel * kernel
    this.weight = this.parameter('weight', initWeight([kernel, kernel, cin, cout], fanIn, options))
    this.bias = this.parameter('bias', initBias([cout], fanIn, options))
    this.stride = options.stride ?? 1
    this.padding = options.padding ?? 0
  }

  /** [batch, height, width, cin] → [batch, outHeight, outWidth, cout]; residual or shortcut and LeakyReLU fused. */
  forward(x: Tensor, fused: FusedOptions = {}): Tensor {
    return conv2d(x, this.weight, { bias: this.bias, stride: this.stride, padding: this.padding, ...fused })
  }

  /** [after LeakyReLU, before it] */
  forwardBoth(x: Tensor, fused: FusedOptions & { leakySlope: number }): [Tensor, Tensor] {
    return conv2dBoth(x, this.weight, { bias: this.bias, stride: this.stride, padding: this.padding, ...fused })
  }
}

/** weight [in, out], bias [out]. */
export class Linear extends Module {
  readonly weight: Tensor
  readonly bias: Tensor

  constructor(inputs: number, outputs: number, options: LayerOptions) {
    super()
    this.weight = this.parameter('weight', initWeight([inputs, outputs], inputs, options))
    this.bias = this.parameter('bias', initBias([outputs], inputs, options))
  }

  /** [batch, in] → [batch, out] */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias)
  }
}
