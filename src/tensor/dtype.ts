import type { DType } from '../native/contract.ts'

/** The host array of each dtype. bf16 travels as its raw 16 bits. */
export interface HostArrays {
  f32: Float32Array
  f64: Float64Array
  bf16: Uint16Array
  i32: Int32Array
  u8: Uint8Array
}
export type HostArray = HostArrays[DType]

export const dtypes: readonly DType[] = ['f32', 'f64', 'bf16', 'i32', 'u8']
export const floatDTypes: readonly DType[] = ['f32', 'f64', 'bf16']

const bytes: Record<DType, number> = { f32: 4, f64: 8, bf16: 2, i32: 4, u8: 1 }
export function bytesOf(dtype: DType): number {
  return bytes[dtype]
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'f32' || dtype === 'f64' || dtype === 'bf16'
}

export function hostArray<D extends DType>(dtype: D, count: number): HostArrays[D]
export function hostArray(dtype: DType, count: number): HostArray {
  switch (dtype) {
    case 'f32':
      return new Float32Array(count)
    case 'f64':
      return new Float64Array(count)
    case 'bf16':
      return new Uint16Array(count)
    case 'i32':
      return new Int32Array(count)
    case 'u8':
      return new Uint8Array(count)
  }
}

const scratchF32 = new Float32Array(1)
const scratchU32 = new Uint32Array(scratchF32.buffer)

/** Nearest bfloat16 (ties to even) of a number, as 16 bits. */
export function toBf16(value: number): number {
  scratchF32[0] = value
  const word = scratchU32[0]
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff
}

export function fromBf16(bits: number): number {
  scratchU32[0] = bits << 16
  return scratchF32[0]
}
