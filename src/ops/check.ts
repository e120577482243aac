/** Checks that every op makes on its arguments. Messages name the op, the argument, what was expected and what came. */
import { DeviceError, DTypeError, ShapeError } from '../errors.ts'
import type { Device, DType } from '../native/contract.ts'
import { floatDTypes } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Before an op allocates its output: a disposed argument is told while nothing has been made. Throws DeviceError. */
export function expectLive(op: string, argument: string, x: Tensor): void {
  if (x.isDisposed) {
    throw new DeviceError(`${op}: ${argument} ${shapeText(x.shape)} is used after it was disposed`, {
      hint: 'return it from scope(), or keep() it',
    })
  }
}

export function shapeText(shape: readonly (number | string)[]): string {
  return `[${shape.join(', ')}]`
}

/** The tensor's extents, matched with `pattern`: a number must be equal, a name stands for any extent. `why` tells where
 *  the numbers of the pattern come from. Throws ShapeError. */
export function expectShape(
  op: string,
  argument: string,
  x: Tensor,
  pattern: readonly (number | string)[],
  why = '',
): readonly number[] {
  expectLive(op, argument, x)
  const fits =
    x.shape.length === pattern.length && pattern.every((want, i) => typeof want === 'string' || want === x.shape[i])
  if (!fits) {
    throw new ShapeError(
      `${op}: ${argument} must be ${shapeText(pattern)}${why ? ` (${why})` : ''}, got ${shapeText(x.shape)}`,
    )
  }
  return x.shape
}

/** Throws DTypeError unless x has one of `allowed`. */
export function expectDType(op: string, argument: string, x: Tensor, allowed: readonly DType[] = floatDTypes): void {
  expectLive(op, argument, x)
  if (!allowed.includes(x.dtype)) {
    throw new DTypeError(`${op}: ${argument} must be ${allowed.join(' or ')}, got ${x.dtype}`)
  }
  if (allowed.length > 1) expectComputable(op, argument, x.dtype, x.device)
}

/** A GPU keeps f64, and computes with it only where an op says so. Throws DTypeError. */
export function expectComputable(op: string, argument: string, dtype: DType, device: Device): void {
  if (dtype !== 'f64' || device === 'cpu') return
  throw new DTypeError(`${op}: ${argument} is f64, which the ${device} device does not compute with`, {
    hint: "convert it with cast(x, 'f32'), or compute on the cpu device",
  })
}

/** Throws DTypeError or DeviceError unless all have the dtype and device of the first. */
export function expectAlike(op: string, tensors: Record<string, Tensor | undefined>): void {
  let first: [string, Tensor] | undefined
  for (const [name, x] of Object.entries(tensors)) {
    if (!x) continue
    expectLive(op, name, x)
    if (!first) first = [name, x]
    if (x.dtype !== first[1].dtype) {
      throw new DTypeError(
        `${op}: ${name} must be ${first[1].dtype} like ${first[0]}, got ${x.dtype}; convert it with cast()`,
      )
    }
    expectSameDevice(op, first[0], first[1], name, x)
  }
}

export function expectSameDevice(op: string, aName: string, a: Tensor, bName: string, b: Tensor): void {
  if (a.device !== b.device) {
    throw new DeviceError(`${op}: ${aName} is on ${a.device}, ${bName} on ${b.device}; bring both to one device`)
  }
}

/** A non-negative axis from one that may count from the end. Throws ShapeError. */
export function expectAxis(op: string, axis: number, rank: number): number {
  const a = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(a) || a < 0 || a >= rank) {
    throw new ShapeError(`${op}: axis must be a whole number in [${-rank}, ${rank - 1}], got ${axis}`)
  }
  return a
}
