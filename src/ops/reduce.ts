/** Reductions over axes: all axes where none is named; reduced axes disappear, or stay with extent 1 where `keepDims`.
 *  f32, f64, bf16 → same dtype. All throw ShapeError, DTypeError. */
import { record, wantsGrad } from '../autograd/graph.ts'
import { ShapeError } from '../errors.ts'
import { reduceKinds } from '../native/contract.ts'
import { scope } from '../tensor/scope.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { add, div, mul } from './arithmetic.ts'
import { expectAxis, expectDType, shapeText } from './check.ts'
import { sameShape, sizeOf } from './layout.ts'
import { broadcastTo, reshape } from './shape.ts'
import { affine, sqrt, square } from './unary.ts'

export interface ReduceOptions {
  /** Axes to reduce; negative ones count from the end. */
  axes?: number | readonly number[]
  keepDims?: boolean
}

type Kind = (typeof reduceKinds)[number]

/** x seen as [outer, axis, inner] for axes [first, last]. */
function reduceAdjacent(kind: Kind, x: Tensor, first: number, last: number): Tensor {
  const shape = [...x.shape.slice(0, first), ...x.shape.slice(last + 1)]
  const y = empty(shape, x.dtype, x.device)
  const outer = sizeOf(x.shape.slice(0, first))
  const inner = sizeOf(x.shape.slice(last + 1))
  x.native.reduce(reduceKinds.indexOf(kind), x.handle, y.handle, outer, sizeOf(x.shape.slice(first, last + 1)), inner)
  return y
}

function axesOf(op: string, x: Tensor, axes: ReduceOptions['axes']): number[] {
  if (axes === undefined) return x.shape.map((_, i) => i)
  const list = typeof axes === 'number' ? [axes] : axes
  return [...new Set(list.map((axis) => expectAxis(op, axis, x.rank)))].sort((a, b) => a - b)
}

/** One native reduction for each run of adjacent axes, last run first so that earlier axes keep their place. */
function reduceAxes(kind: Kind, x: Tensor, axes: readonly number[]): Tensor {
  if (axes.length === 0) return kind === 'sumSquares' ? square(x.detach()) : x.detach()
  let y = x
  for (let end = axes.length - 1; end >= 0; ) {
    let start = end
    while (start > 0 && axes[start - 1] === axes[start] - 1) start--
    y = reduceAdjacent(y === x || kind !== 'sumSquares' ? kind : 'sum', y, axes[start], axes[end])
    end = start - 1
  }
  return y
}

function keptShape(x: Tensor, axes: readonly number[]): number[] {
  return x.shape.map((extent, i) => (axes.includes(i) ? 1 : extent))
}

/** Σ x. The sum over no elements is 0. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  expectDType('sum', 'x', x)
  const axes = axesOf('sum', x, options.axes)
  const kept = keptShape(x, axes)
  return scope(() => {
    const total = reduceAxes('sum', x, axes)
    const y = options.keepDims ? total.alias(kept) : total
    return record('sum', y, [x], [], (dy) => [broadcastTo(dy.alias(kept), x.shape)])
  })
}

/** As `sum`; the mean of no elements is NaN. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const count = sizeOf(axesOf('mean', x, options.axes).map((axis) => x.shape[axis]))
  return scope(() => affine(sum(x, options), 1 / count, 0))
}

/** The largest element along one axis, or of all; NaN where there is one. The gradient goes to the first of them. */
export function max(x: Tensor, options: { axis?: number; keepDims?: boolean } = {}): Tensor {
  expectDType('max', 'x', x)
  const flat = options.axis === undefined
  const axis = flat ? 0 : expectAxis('max', options.axis!, x.rank)
  expectElements('max', x, flat ? x.size : x.shape[axis])
  const outer = flat ? 1 : sizeOf(x.shape.slice(0, axis))
  const extent = flat ? x.size : x.shape[axis]
  const inner = flat ? 1 : sizeOf(x.shape.slice(axis + 1))
  const kept = x.shape.map((e, i) => (flat || i === axis ? 1 : e))
  const y = empty(options.keepDims ? kept : kept.filter((_, i) => !flat && i !== axis), x.dtype, x.device)
  x.native.reduce(reduceKinds.indexOf('max'), x.handle, y.handle, outer, extent, inner)
  if (!wantsGrad(x)) return y
  using index = empty(y.shape, 'i32', x.device)
  x.native.argmax(x.handle, index.handle, outer, extent, inner)
  return record('max', y, [x], [index], (dy, [picked]) => {
    const dx = empty(x.shape, dy.dtype, dy.device)
    dy.native.pickBackward(picked.handle, dy.handle, dx.handle, outer, extent, inner)
    return [dx]
  })
}

/** The smallest element along one axis, or of all; as `max`. */
export function min(x: Tensor, options: { axis?: number; keepDims?: boolean } = {}): Tensor {
  return scope(() => affine(max(affine(x, -1, 0), options), -1, 0))
}

/** i32 index of the first largest element along an axis (default: the last). No gradient. */
export function argmax(x: Tensor, axis = -1): Tensor {
  expectDType('argmax', 'x', x)
  const a = expectAxis('argmax', axis, x.rank)
  expectElements('argmax', x, x.shape[a])
  const y = empty([...x.shape.slice(0, a), ...x.shape.slice(a + 1)], 'i32', x.device)
  x.native.argmax(x.handle, y.handle, sizeOf(x.shape.slice(0, a)), x.shape[a], sizeOf(x.shape.slice(a + 1)))
  return y
}

/** √Σ x²; the gradient at 0 is 0. */
export function l2Norm(x: Tensor, options: ReduceOptions = {}): Tensor {
  expectDType('l2Norm', 'x', x)
  const axes = axesOf('l2Norm', x, options.axes)
  const kept = keptShape(x, axes)
  return scope(() => {
    const length = sqrt(reduceAxes('sumSquares', x, axes))
    const y = options.keepDims ? length.alias(kept) : length
    return record('l2Norm', y, [x], [x, y], (dy, [saved, norm]) => {
      // ∂y/∂x = x/y; a tiny floor makes 0/0 into 0
      const ratio = div(dy, add(norm, norm.dtype === 'f64' ? 1e-300 : 1e-30))
      return [mul(saved, ratio.alias(kept))]
    })
  })
}

function expectElements(op: string, x: Tensor, count: number): void {
  if (count === 0) throw new ShapeError(`${op}: there is no element to choose in x ${shapeText(x.shape)}`)
}

/** Sums the axes along which `shape` was stretched to x's shape: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(x.shape, shape)) return x
  const skip = x.rank - shape.length
  const axes = x.shape.flatMap((extent, i) => (i < skip || (shape[i - skip] === 1 && extent !== 1) ? [i] : []))
  return scope(() => reshape(sum(x, { axes, keepDims: true }), shape))
}
