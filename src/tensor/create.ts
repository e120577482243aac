import { DTypeError, ShapeError } from '../errors.ts'
import type { Device, DType } from '../native/contract.ts'
import { type HostArray, hostArray, toBf16 } from './dtype.ts'
import { keep } from './scope.ts'
import { empty, type Tensor } from './tensor.ts'

export interface TensorOptions {
  dtype?: DType
  device?: Device
}

export function full(shape: readonly number[], value: number, { dtype, device }: TensorOptions = {}): Tensor {
  const y = empty(shape, dtype, device)
  y.native.fill(y.handle, y.size, value)
  return y
}

export function zeros(shape: readonly number[], options?: TensorOptions): Tensor {
  return full(shape, 0, options)
}

export function ones(shape: readonly number[], options?: TensorOptions): Tensor {
  return full(shape, 1, options)
}

export type NestedNumbers = number | readonly NestedNumbers[]

/**
 * A tensor of these values: a number, nested arrays (whose shape is inferred), or a flat array with `shape`. Numbers
 * become f32 unless `dtype` says otherwise; a typed array keeps its own dtype (Uint16Array: raw bf16 bits where `dtype`
 * is 'bf16'). Throws ShapeError for ragged arrays or a shape of another size, DTypeError for an array of another dtype.
 */
export function tensor(
  values: NestedNumbers | HostArray,
  { shape, dtype, device }: TensorOptions & { shape?: readonly number[] } = {},
): Tensor {
  let flat: ArrayLike<number>
  let inferred: readonly number[]
  if (ArrayBuffer.isView(values)) {
    flat = values
    inferred = [values.length]
    dtype ??= dtypeOfArray(values)
  } else {
    inferred = shapeOf(values)
    flat = flatten(values, [])
  }
  shape ??= inferred
  const y = empty(shape, dtype ?? 'f32', device)
  if (y.size !== flat.length) {
    y.dispose()
    throw new ShapeError(`tensor: shape [${shape.join(', ')}] has ${y.size} elements, but ${flat.length} values came`)
  }
  y.storage.device.write(y.handle, toHost(flat, y.dtype))
  return y
}

/** A copy on another device, of the same dtype and without history. Throws DeviceError where it cannot be opened, or
 *  where a kernel failed. */
export async function to(x: Tensor, device: Device): Promise<Tensor> {
  const host = hostArray(x.dtype, x.size)
  const y = keep(empty(x.shape, x.dtype, device))
  try {
    await x.storage.device.read(x.handle, host)
    y.storage.device.write(y.handle, host)
    return y
  } catch (error) {
    y.dispose()
    throw error
  }
}

function toHost(values: ArrayLike<number>, dtype: DType): HostArray {
  const host = hostArray(dtype, 0)
  if (values.constructor === host.constructor) return values as HostArray
  const converted = hostArray(dtype, values.length)
  if (dtype === 'bf16') for (let i = 0; i < values.length; i++) converted[i] = toBf16(values[i])
  else converted.set(values)
  return converted
}

function dtypeOfArray(values: HostArray): DType {
  if (values instanceof Float32Array) return 'f32'
  if (values instanceof Float64Array) return 'f64'
  if (values instanceof Int32Array) return 'i32'
  if (values instanceof Uint8Array) return 'u8'
  throw new DTypeError(
    `tensor: a ${(values as object).constructor.name} has no dtype of its own; give dtype ('bf16' for raw 16-bit words)`,
  )
}

function flatten(values: NestedNumbers, into: number[]): number[] {
  if (typeof values === 'number') into.push(values)
  else for (const value of values) flatten(value, into)
  return into
}

function shapeOf(values: NestedNumbers): number[] {
  if (typeof values === 'number') return []
  const shapes = values.map(shapeOf)
  const inner = shapes[0] ?? []
  for (const s of shapes) {
    if (s.length !== inner.length || s.some((extent, i) => extent !== inner[i])) {
      throw new ShapeError(`tensor: the nested arrays are ragged: [${s.join(', ')}] beside [${inner.join(', ')}]`)
    }
  }
  return [values.length, ...inner]
}
