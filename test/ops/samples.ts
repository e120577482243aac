/** Inputs of the op table: deterministic values, independent of the engine's own generators. */
import type { DType } from '../../src/native/contract.ts'
import { fromBf16, toBf16 } from '../../src/tensor/dtype.ts'
import { type Host, sizeOf } from './host.ts'

/** An argument of a case. 'float' stands for the dtype under test. */
export interface Input {
  shape: readonly number[]
  values: Float64Array
  dtype: 'float' | 'f64' | 'i32' | 'u8'
  /** Whether a gradient to it is checked. */
  wantsGrad: boolean
}

let seed = 1
/** Uniform on [0, 1): mulberry32. */
function random(): number {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

export interface Domain {
  low?: number
  high?: number
  /** Values nearer to one of these than `gap` are moved off, so that central differences do not cross a corner. */
  corners?: readonly number[]
  gap?: number
  integer?: boolean
}

export function values(count: number, { low = -2, high = 2, corners = [], gap = 0.02, integer }: Domain = {}) {
  return Float64Array.from({ length: count }, () => {
    let v = low + (high - low) * random()
    if (integer) return Math.round(v)
    for (const corner of corners) if (Math.abs(v - corner) < gap) v = corner + (v < corner ? -gap : gap)
    return v
  })
}

/** A differentiable input of these extents. */
export function x(shape: readonly number[], domain: Domain = {}): Input {
  return { shape, values: values(sizeOf(shape), domain), dtype: 'float', wantsGrad: true }
}

/** An input held fixed. */
export function fixed(shape: readonly number[], domain: Domain = {}): Input {
  return { ...x(shape, domain), wantsGrad: false }
}

/** The given values. */
export function given(shape: readonly number[], data: readonly number[], wantsGrad = false): Input {
  return { shape, values: Float64Array.from(data), dtype: 'float', wantsGrad }
}

export function integers(shape: readonly number[], data: readonly number[], dtype: 'i32' | 'u8' = 'i32'): Input {
  return { shape, values: Float64Array.from(data), dtype, wantsGrad: false }
}

/** `count` values all different by at least 0.01, in random order: no ties for max, none near enough to swap. */
export function distinct(shape: readonly number[]): Input {
  const count = sizeOf(shape)
  const data = Float64Array.from({ length: count }, (_, i) => 0.01 * (i - count / 2))
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const swap = data[i]
    data[i] = data[j]
    data[j] = swap
  }
  return { shape, values: data, dtype: 'float', wantsGrad: true }
}

const kept = new WeakMap<Input, Map<DType, Host>>()

/** What the dtype keeps of the values; not to be changed. */
export function rounded(input: Input, dtype: DType): Host {
  const known = kept.get(input) ?? new Map<DType, Host>()
  kept.set(input, known)
  const host = known.get(dtype) ?? round(input, dtype)
  known.set(dtype, host)
  return host
}

function round(input: Input, dtype: DType): Host {
  const kind = input.dtype === 'float' ? dtype : input.dtype
  const nearest = kind === 'f32' ? Math.fround : kind === 'bf16' ? (v: number) => fromBf16(toBf16(v)) : (v: number) => v
  return { shape: input.shape, data: input.values.map(nearest) }
}

/** Sizes around the widths of vectors (4, 8, 16 lanes), primes, no element, one, no axis, and six axes. */
export const edgeShapes: readonly (readonly number[])[] = [
  [],
  [0],
  [1],
  [7],
  [8],
  [9],
  [15],
  [16],
  [17],
  [31],
  [33],
  [3, 0, 2],
  [2, 3, 1, 2, 1, 3],
]
/** Three blocks of an element-wise loop and a rest, so that threads share it. */
export const largeShape: readonly number[] = [50021]

/** Bytes of a shape, not at random. */
export const bytes = (shape: readonly number[]): Input =>
  integers(
    shape,
    Array.from({ length: shape.reduce((n, e) => n * e, 1) }, (_, i) => (i * 37) % 256),
    'u8',
  )
