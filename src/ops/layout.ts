/** Strides, broadcasting, and the six-number form in which the native ops take them. */
import { ShapeError } from '../errors.ts'
import type { Dims } from '../native/contract.ts'
import { maxRank } from '../tensor/tensor.ts'
import { shapeText } from './check.ts'

/** Strides in elements of a dense row-major tensor. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride
    stride *= shape[i]
  }
  return strides
}

/** Extents padded in front with 1. */
export function dims(shape: readonly number[]): Dims {
  return [...new Array(maxRank - shape.length).fill(1), ...shape] as Dims
}

/** Strides padded in front with 0. */
export function strides(values: readonly number[]): Dims {
  return [...new Array(maxRank - values.length).fill(0), ...values] as Dims
}

/** Numpy's rule: axes are matched from the last; an extent of 1 stretches. Throws ShapeError. */
export function broadcastShape(op: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length)
  if (rank > maxRank) throw new ShapeError(`${op}: tensors of at most ${maxRank} axes are supported, got ${rank}`)
  const shape = new Array<number>(rank)
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1
    const y = b[b.length - i] ?? 1
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(`${op}: shapes ${shapeText(a)} and ${shapeText(b)} do not broadcast`)
    }
    shape[rank - i] = x === 1 ? y : x
  }
  return shape
}

/** Strides that read a dense tensor of `from` as one of `to`: 0 along the stretched axes. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const dense = denseStrides(from)
  const skip = to.length - from.length
  return to.map((_, i) => (i < skip || from[i - skip] === 1 ? 0 : dense[i - skip]))
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i])
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}
