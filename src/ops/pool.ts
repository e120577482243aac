import { record } from '../autograd/graph.ts'
import { ShapeError } from '../errors.ts'
import type { PoolShape } from '../native/contract.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectDType, expectShape, shapeText } from './check.ts'
import { mean } from './reduce.ts'

/** Mean of every window×window square, without padding: [batch, height, width, channels] → [batch, outHeight, outWidth,
 *  channels]. Rows and columns that no window covers are dropped. Throws ShapeError, DTypeError. */
export function avgPool2d(x: Tensor, window: number, stride = window): Tensor {
  expectDType('avgPool2d', 'x', x)
  const [batch, height, width, channels] = expectShape('avgPool2d', 'x', x, ['batch', 'height', 'width', 'channels'])
  const whole = Number.isInteger(window) && Number.isInteger(stride)
  if (!(whole && window >= 1 && stride >= 1 && window <= height && window <= width)) {
    throw new ShapeError(`avgPool2d: window ${window} with stride ${stride} does not fit x ${shapeText(x.shape)}`)
  }
  const s: PoolShape = [batch, height, width, channels, window, stride]
  const out = (extent: number): number => Math.floor((extent - window) / stride) + 1
  const y = empty([batch, out(height), out(width), channels], x.dtype, x.device)
  x.native.avgPool2d(x.handle, y.handle, ...s)
  return record('avgPool2d', y, [x], [], (dy) => {
    const dx = empty(x.shape, dy.dtype, dy.device)
    dy.native.avgPool2dBackward(dy.handle, dx.handle, ...s)
    return [dx]
  })
}

/** Mean over height and width: [batch, height, width, channels] → [batch, channels]. Throws ShapeError, DTypeError. */
export function globalAvgPool(x: Tensor): Tensor {
  expectShape('globalAvgPool', 'x', x, ['batch', 'height', 'width', 'channels'])
  return mean(x, { axes: [1, 2] })
}
