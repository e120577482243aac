import type { Device, DType } from '../native/contract.ts'
import { normal, uniform } from '../ops/random.ts'
import type { Generator } from '../random/generator.ts'
import { zeros } from '../tensor/create.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** How a layer's weights start. `released`: U(±1/√fanIn) for weights and biases, PyTorch's default, with which the
 *  released code runs (its own conv_init is never applied). `he`: N(0, 2/((1 + slope²)·fanIn)), He et al. 2015 eq. 15,
 *  biases 0. */
export type Init = 'released' | 'he'

export interface LayerOptions {
  generator: Generator
  init?: Init
  dtype?: DType
  device?: Device
}

/** The slope of every LeakyReLU of the released WideResNet (wideresnet.py). */
export const leakySlope = 0.2

export function initWeight(shape: readonly number[], fanIn: number, options: LayerOptions): Tensor {
  if (options.init === 'he') {
    return normal(shape, options.generator, { std: Math.sqrt(2 / ((1 + leakySlope ** 2) * fanIn)), ...options })
  }
  return uniformByFanIn(shape, fanIn, options)
}

export function initBias(shape: readonly number[], fanIn: number, options: LayerOptions): Tensor {
  return options.init === 'he' ? zeros(shape, options) : uniformByFanIn(shape, fanIn, options)
}

function uniformByFanIn(shape: readonly number[], fanIn: number, options: LayerOptions): Tensor {
  const bound = 1 / Math.sqrt(fanIn)
  return uniform(shape, options.generator, { low: -bound, high: bound, ...options })
}
