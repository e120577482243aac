/** Rows of a tensor by index: x is [rows, …], index an i32 vector. A bad index is a fault that surfaces at the next
 *  read. All throw ShapeError, DTypeError. */
import { record } from '../autograd/graph.ts'
import { zeros } from '../tensor/create.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectAlike, expectDType, expectShape } from './check.ts'
import { sizeOf } from './layout.ts'

/** y[i] = x[index[i]] */
export function gatherRows(x: Tensor, index: Tensor): Tensor {
  expectDType('gatherRows', 'index', index, ['i32'])
  const [count] = expectShape('gatherRows', 'index', index, ['count'])
  const [rows, ...rest] = expectShape('gatherRows', 'x', x, ['rows', ...x.shape.slice(1)])
  const rowSize = sizeOf(rest)
  const y = empty([count, ...rest], x.dtype, x.device)
  x.native.gatherRows(x.handle, index.handle, y.handle, rows, count, rowSize)
  return record('gatherRows', y, [x], [index], (dy, [picked]) => {
    const dx = zeros(x.shape, { dtype: dy.dtype, device: dy.device })
    dy.native.scatterRows(dy.handle, picked.handle, dx.handle, rows, count, rowSize, 1)
    return [dx]
  })
}

/** x[index[i]] = values[i] in place, in order of i: the last of duplicate indices wins. No history. */
export function scatterRows(x: Tensor, index: Tensor, values: Tensor): void {
  expectDType('scatterRows', 'index', index, ['i32'])
  const [count] = expectShape('scatterRows', 'index', index, ['count'])
  const [rows, ...rest] = expectShape('scatterRows', 'x', x, ['rows', ...x.shape.slice(1)])
  expectShape('scatterRows', 'values', values, [count, ...rest])
  expectAlike('scatterRows', { x, values })
  x.native.scatterRows(values.handle, index.handle, x.handle, rows, count, sizeOf(rest), 0)
  x.changed()
}

/** y[i] = x[i, index[i]]: [rows, columns], i32 [rows] → [rows]. */
export function pick(x: Tensor, index: Tensor): Tensor {
  const [rows, columns] = expectShape('pick', 'x', x, ['rows', 'columns'])
  expectShape('pick', 'index', index, [rows])
  expectDType('pick', 'x', x)
  expectDType('pick', 'index', index, ['i32'])
  const y = empty([rows], x.dtype, x.device)
  x.native.pick(x.handle, index.handle, y.handle, rows, columns, 1)
  return record('pick', y, [x], [index], (dy, [picked]) => {
    const dx = empty(x.shape, dy.dtype, dy.device)
    dy.native.pickBackward(picked.handle, dy.handle, dx.handle, rows, columns, 1)
    return [dx]
  })
}
