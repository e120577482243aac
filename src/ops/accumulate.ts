import type { Tensor } from '../tensor/tensor.ts'
import { expectAlike, expectDType, expectShape } from './check.ts'

/** y += x in place, without history. Same shape, dtype and device; throws ShapeError, DTypeError, DeviceError. */
export function accumulate(y: Tensor, x: Tensor): void {
  expectDType('accumulate', 'y', y)
  expectShape('accumulate', 'x', x, y.shape)
  expectAlike('accumulate', { y, x })
  y.native.accumulate(x.handle, y.handle, y.size)
  y.changed()
}
