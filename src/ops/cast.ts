import { record } from '../autograd/graph.ts'
import type { DType } from '../native/contract.ts'
import { isFloat } from '../tensor/dtype.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectLive, expectSameDevice, expectShape } from './check.ts'

/** x converted to another dtype: to bf16 by rounding to nearest even; to i32 and u8 by truncation, saturated. */
export function cast(x: Tensor, dtype: DType): Tensor {
  expectLive('cast', 'x', x)
  const y = empty(x.shape, dtype, x.device)
  x.native.convert(x.handle, y.handle, x.size)
  if (!isFloat(x.dtype) || !isFloat(dtype)) return y
  return record('cast', y, [x], [], (dy) => [cast(dy, x.dtype)])
}

/** A copy that shares nothing. */
export function clone(x: Tensor): Tensor {
  return cast(x, x.dtype)
}

/** Overwrites `target` with `source`, converted; same shape. No history. Throws ShapeError, DeviceError. */
export function assign(target: Tensor, source: Tensor): void {
  expectShape('assign', 'source', source, target.shape, "the target's shape")
  expectLive('assign', 'target', target)
  expectSameDevice('assign', 'target', target, 'source', source)
  source.native.convert(source.handle, target.handle, target.size)
  target.changed()
}
