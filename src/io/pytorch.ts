import { ShapeError } from '../errors.ts'

/* PyTorch keeps images as NCHW, convolution weights as OIHW and linear weights as [out, in]; this package as NHWC, HWIO
 * ([kh, kw, in, out]) and [in, out]. Each function here copies; none changes its argument. */

export type NumericArray =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Uint16Array
  | Int32Array
  | BigInt64Array
  | Int8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint32Array
  | BigUint64Array

export type ShapedArray<A extends NumericArray> = { data: A; shape: number[] }

/** Convolution weight, PyTorch's [out, in, kh, kw] → [kh, kw, in, out]. Throws ShapeError. */
export function convWeightFromPyTorch<A extends NumericArray>(data: A, shape: readonly number[]): ShapedArray<A> {
  return permuteAxes('convWeightFromPyTorch', data, shape, [2, 3, 1, 0])
}

/** Convolution weight, [kh, kw, in, out] → PyTorch's [out, in, kh, kw]. Throws ShapeError. */
export function convWeightToPyTorch<A extends NumericArray>(data: A, shape: readonly number[]): ShapedArray<A> {
  return permuteAxes('convWeightToPyTorch', data, shape, [3, 2, 0, 1])
}

/** Linear weight, PyTorch's [out, in] → [in, out]. Throws ShapeError. */
export function linearWeightFromPyTorch<A extends NumericArray>(data: A, shape: readonly number[]): ShapedArray<A> {
  return permuteAxes('linearWeightFromPyTorch', data, shape, [1, 0])
}

/** Linear weight, [in, out] → PyTorch's [out, in]. Throws ShapeError. */
export function linearWeightToPyTorch<A extends NumericArray>(data: A, shape: readonly number[]): ShapedArray<A> {
  return permuteAxes('linearWeightToPyTorch', data, shape, [1, 0])
}

/** Images, PyTorch's [batch, channels, height, width] → [batch, height, width, channels]. Throws ShapeError. */
export function imagesFromPyTorch<A extends NumericArray>(data: A, shape: readonly number[]): ShapedArray<A> {
  return permuteAxes('imagesFromPyTorch', data, shape, [0, 2, 3, 1])
}

/** Images, [batch, height, width, channels] → PyTorch's [batch, channels, height, width]. Throws ShapeError. */
export function imagesToPyTorch<A extends NumericArray>(data: A, shape: readonly number[]): ShapedArray<A> {
  return permuteAxes('imagesToPyTorch', data, shape, [0, 3, 1, 2])
}

/** Axis i of the result is axis `axes[i]` of the argument. */
function permuteAxes<A extends NumericArray>(
  caller: string,
  data: A,
  shape: readonly number[],
  axes: readonly number[],
): ShapedArray<A> {
  if (shape.length !== axes.length) {
    throw new ShapeError(`${caller}: expected ${axes.length} dimensions, got shape [${shape.join(', ')}]`)
  }
  const strides = shape.map((_, axis) => product(shape.slice(axis + 1)))
  if (product(shape) !== data.length) {
    throw new ShapeError(`${caller}: shape [${shape.join(', ')}] does not fit data of ${data.length} elements`)
  }
  const target = emptyLike(data)
  const from = data as unknown as number[]
  const to = target as unknown as number[]
  let next = 0
  const fill = (depth: number, offset: number): void => {
    const extent = shape[axes[depth]]
    const stride = strides[axes[depth]]
    if (depth === axes.length - 1) {
      for (let i = 0; i < extent; i++) to[next++] = from[offset + i * stride]
    } else {
      for (let i = 0; i < extent; i++) fill(depth + 1, offset + i * stride)
    }
  }
  fill(0, 0)
  return { data: target, shape: axes.map((axis) => shape[axis]) }
}

function product(extents: readonly number[]): number {
  return extents.reduce((total, extent) => total * extent, 1)
}

/** A Buffer, which is a Uint8Array too, becomes a plain Uint8Array. */
function emptyLike<A extends NumericArray>(data: A): A {
  if (data instanceof Uint8Array) return new Uint8Array(data.length) as A
  return new (data.constructor as new (length: number) => A)(data.length)
}
