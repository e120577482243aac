/** Ops that only move elements; any dtype, gradients for f32, f64 and bf16. All throw ShapeError. */
import { record } from '../autograd/graph.ts'
import { ShapeError } from '../errors.ts'
import { zeros } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { clone } from './cast.ts'
import { expectAlike, expectAxis, expectLive, shapeText } from './check.ts'
import { broadcastShape, broadcastStrides, denseStrides, dims, sameShape, sizeOf, strides } from './layout.ts'
import { sumTo } from './reduce.ts'

/** The same elements in another shape (shared memory); one extent may be −1, and is inferred. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const known = shape.filter((extent) => extent !== -1).reduce((product, extent) => product * extent, 1)
  const full = shape.map((extent) => (extent === -1 ? x.size / known : extent))
  if (shape.filter((extent) => extent === -1).length > 1 || sizeOf(full) !== x.size || !full.every(Number.isInteger)) {
    throw new ShapeError(`reshape: ${shapeText(x.shape)} (${x.size} elements) cannot become ${shapeText(shape)}`)
  }
  return record('reshape', x.alias(full), [x], [], (dy) => [dy.alias(x.shape)])
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0
}

/** Copies `shape` elements between two strided views. */
function stridedCopy(
  x: Tensor,
  y: Tensor,
  shape: readonly number[],
  from: { strides: readonly number[]; offset?: number },
  to: { strides: readonly number[]; offset?: number },
): void {
  x.native.stridedCopy(
    x.handle,
    y.handle,
    ...dims(shape),
    ...strides(from.strides),
    from.offset ?? 0,
    ...strides(to.strides),
    to.offset ?? 0,
  )
}

/** Axes in another order; default: reversed. */
export function transpose(x: Tensor, order: readonly number[] = x.shape.map((_, i) => x.rank - 1 - i)): Tensor {
  expectLive('transpose', 'x', x)
  const axes = order.map((axis) => expectAxis('transpose', axis, x.rank))
  if (axes.length !== x.rank || new Set(axes).size !== x.rank) {
    throw new ShapeError(`transpose: order must name each of the ${x.rank} axes once, got ${shapeText(order)}`)
  }
  const shape = axes.map((axis) => x.shape[axis])
  const from = denseStrides(x.shape)
  const y = empty(shape, x.dtype, x.device)
  stridedCopy(x, y, shape, { strides: axes.map((axis) => from[axis]) }, { strides: denseStrides(shape) })
  return record('transpose', y, [x], [], (dy) => [
    transpose(
      dy,
      axes.map((_, i) => axes.indexOf(i)),
    ),
  ])
}

/** x stretched to `shape` by numpy's rule. */
export function broadcastTo(x: Tensor, shape: readonly number[]): Tensor {
  expectLive('broadcastTo', 'x', x)
  if (!sameShape(broadcastShape('broadcastTo', x.shape, shape), shape)) {
    throw new ShapeError(`broadcastTo: ${shapeText(x.shape)} does not stretch to ${shapeText(shape)}`)
  }
  const y = empty(shape, x.dtype, x.device)
  stridedCopy(x, y, shape, { strides: broadcastStrides(x.shape, shape) }, { strides: denseStrides(shape) })
  return record('broadcastTo', y, [x], [], (dy) => [sumTo(dy, x.shape)])
}

/** x[start[0] : start[0] + size[0], …]; a box of the tensor. */
export function slice(x: Tensor, start: readonly number[], size: readonly number[]): Tensor {
  expectLive('slice', 'x', x)
  const fits =
    start.length === x.rank &&
    size.length === x.rank &&
    x.shape.every((extent, i) => isCount(start[i]) && isCount(size[i]) && start[i] + size[i] <= extent)
  if (!fits) {
    throw new ShapeError(
      `slice: start ${shapeText(start)} and size ${shapeText(size)} must lie within ${shapeText(x.shape)}`,
    )
  }
  const from = denseStrides(x.shape)
  const offset = start.reduce((total, s, i) => total + s * from[i], 0)
  const y = empty(size, x.dtype, x.device)
  stridedCopy(x, y, size, { strides: from, offset }, { strides: denseStrides(size) })
  const after = x.shape.map((extent, i) => extent - start[i] - size[i])
  return record('slice', y, [x], [], (dy) => [
    pad(
      dy,
      start.map((s, i) => [s, after[i]] as const),
    ),
  ])
}

/** Zeros before and after each axis: `amounts[axis] = [before, after]`. */
export function pad(x: Tensor, amounts: readonly (readonly [number, number])[]): Tensor {
  expectLive('pad', 'x', x)
  if (amounts.length !== x.rank || amounts.some(([before, after]) => !isCount(before) || !isCount(after))) {
    throw new ShapeError(
      `pad: ${x.rank} pairs of whole amounts >= 0 are needed for x ${shapeText(x.shape)}, got ${JSON.stringify(amounts)}`,
    )
  }
  const shape = x.shape.map((extent, i) => extent + amounts[i][0] + amounts[i][1])
  const to = denseStrides(shape)
  const offset = amounts.reduce((total, [before], i) => total + before * to[i], 0)
  const y = zeros(shape, { dtype: x.dtype, device: x.device })
  stridedCopy(x, y, x.shape, { strides: denseStrides(x.shape) }, { strides: to, offset })
  return record('pad', y, [x], [], (dy) => [
    slice(
      dy,
      amounts.map(([before]) => before),
      x.shape,
    ),
  ])
}

/** Images [batch, height, width, channels] with `amount` rows and columns mirrored at each border, the border itself not
 *  repeated: amount < height, width. */
export function padReflect(x: Tensor, amount: number): Tensor {
  if (x.rank !== 4 || !(isCount(amount) && amount < x.shape[1] && amount < x.shape[2])) {
    throw new ShapeError(
      `padReflect: x must be [batch, height > ${amount}, width > ${amount}, channels], got ${shapeText(x.shape)}`,
    )
  }
  if (amount === 0) return clone(x)
  return scope(() => mirrorAxis(mirrorAxis(x, 1, amount), 2, amount))
}

function mirrorAxis(x: Tensor, axis: number, amount: number): Tensor {
  const box = (start: number, size: number): Tensor =>
    slice(
      x,
      x.shape.map((_, i) => (i === axis ? start : 0)),
      x.shape.map((extent, i) => (i === axis ? size : extent)),
    )
  const last = x.shape[axis] - 1
  return concat([flip(box(1, amount), axis), x, flip(box(last - amount, amount), axis)], axis)
}

/** The box of `height`×`width` pixels at (top, left) of every image [batch, height, width, channels]. */
export function crop(x: Tensor, top: number, left: number, height: number, width: number): Tensor {
  if (x.rank !== 4) throw new ShapeError(`crop: x must be [batch, height, width, channels], got ${shapeText(x.shape)}`)
  return slice(x, [0, top, left, 0], [x.shape[0], height, width, x.shape[3]])
}

/** The elements in reverse order along one axis. */
export function flip(x: Tensor, axis: number): Tensor {
  expectLive('flip', 'x', x)
  const a = expectAxis('flip', axis, x.rank)
  const from = denseStrides(x.shape)
  const offset = Math.max(0, x.shape[a] - 1) * from[a]
  const y = empty(x.shape, x.dtype, x.device)
  stridedCopy(
    x,
    y,
    x.shape,
    { strides: from.map((s, i) => (i === a ? -s : s)), offset },
    { strides: denseStrides(x.shape) },
  )
  return record('flip', y, [x], [], (dy) => [flip(dy, a)])
}

/** Tensors one after another along an axis; their other extents must be equal. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const first = tensors[0]
  if (!first) throw new ShapeError('concat: at least one tensor is needed')
  const a = expectAxis('concat', axis, first.rank)
  for (const x of tensors) {
    if (x.rank !== first.rank || x.shape.some((extent, i) => i !== a && extent !== first.shape[i])) {
      throw new ShapeError(
        `concat: tensors must agree but for axis ${a}: ${shapeText(first.shape)} and ${shapeText(x.shape)}`,
      )
    }
  }
  expectAlike('concat', Object.fromEntries(tensors.map((x, i) => [`tensors[${i}]`, x])))
  const shape = first.shape.map((extent, i) => (i === a ? tensors.reduce((n, x) => n + x.shape[a], 0) : extent))
  const to = denseStrides(shape)
  const y = empty(shape, first.dtype, first.device)
  const starts: number[] = []
  let start = 0
  for (const x of tensors) {
    starts.push(start)
    stridedCopy(x, y, x.shape, { strides: denseStrides(x.shape) }, { strides: to, offset: start * to[a] })
    start += x.shape[a]
  }
  return record('concat', y, tensors, [], (dy, _, needs) =>
    tensors.map((x, i) =>
      needs[i]
        ? slice(
            dy,
            x.shape.map((_, axis_) => (axis_ === a ? starts[i] : 0)),
            x.shape,
          )
        : undefined,
    ),
  )
}
