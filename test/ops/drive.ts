/** Runs the cases of the op table on a device. */
import { expect } from 'vitest'
import type { Device, DType } from '../../src/native/contract.ts'
import { addonPath, nativeDevice } from '../../src/native/device.ts'
import { tensor } from '../../src/tensor/create.ts'
import { memory } from '../../src/tensor/memory.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import type { Host } from './host.ts'
import { rounded } from './samples.ts'
import { type Case, type Row, running, type Tolerance, tolerances } from './table.ts'

/** The devices that are built here and can be opened; one that cannot, although it was asked for, is an error. */
export const devices: readonly Device[] = (['cpu', 'cuda'] as const).filter((device) => {
  if (!addonPath(device)) return false
  try {
    return nativeDevice(device).kind === device
  } catch (error) {
    if (device === 'cpu' || process.env.LANGEVIN_CUDA_ADDON) throw error
    return false
  }
})

/** Whether the device is there and is the emulator, which is thousands of times slower than what it stands for. */
export function emulated(device: Device): boolean {
  return devices.includes(device) && nativeDevice(device).addon.properties().compiledFor === 'the emulator'
}

/** The dtypes that the device computes with: a GPU has no f64 kernels. */
export function dtypesOn<D extends DType>(device: Device, dtypes: readonly D[]): D[] {
  return dtypes.filter((dtype) => device === 'cpu' || dtype !== 'f64')
}

/** Ops whose kernels on a GPU differ from level to level. */
const levelled: ReadonlySet<string> = new Set(['conv2d', 'conv2dBoth', 'matmul', 'linear'])

/** Runs `fn` with every instruction set that this machine has, or every level of kernels of a GPU where `op` has
 *  several, and goes back to the best. */
export function forEachVariant(device: Device, fn: (variant: string) => void, op = ''): void {
  const { addon } = nativeDevice(device)
  const before = addon.variant()
  const variants = device === 'cpu' || levelled.has(op) ? addon.variants().split(',') : [before]
  try {
    for (const variant of variants) {
      expect(addon.setVariant(variant)).toBe(true)
      fn(variant)
    }
  } finally {
    addon.setVariant(before)
  }
}

/** Whether bf16 convolutions round Winograd's transformed tiles and weights to bf16 as well. */
export function roundsTiles(variant: string): boolean {
  return variant === 'avx512bf16'
}

/** What rounding may do to the outputs of the case on the variant that is in use. */
export function toleranceOf(c: Case, dtype: DType, device: Device): Tolerance {
  if (dtype === 'bf16' && c.roundedTiles && roundsTiles(nativeDevice(device).addon.variant())) return c.roundedTiles
  return c.tolerance?.[dtype] ?? tolerances[dtype]
}

/** Runs `fn` with this many threads. */
export function withThreads<R>(threads: number, fn: () => R): R {
  const { addon } = nativeDevice('cpu')
  addon.setThreads(threads)
  try {
    return fn()
  } finally {
    addon.setThreads(0)
  }
}

/** The rows by op, those of one op joined. */
export function byOp(rows: readonly Row[]): Map<string, Row> {
  const joined = new Map<string, Row>()
  for (const row of rows) {
    const { cases, bad } = joined.get(row.op) ?? { cases: [], bad: [] }
    joined.set(row.op, { op: row.op, cases: [...cases, ...row.cases], bad: [...bad, ...row.bad] })
  }
  return joined
}

/** The case's inputs on the device; those that a gradient is checked of want it where `wantGrads`. */
export function inputsOf(c: Case, dtype: DType, device: Device, wantGrads: boolean): Tensor[] {
  running.device = device
  return c.inputs.map((input) => {
    const { shape, data } = rounded(input, dtype)
    const made = tensor(data, { shape, dtype: input.dtype === 'float' ? dtype : input.dtype, device })
    made.requiresGrad = wantGrads && input.wantsGrad && input.dtype === 'float'
    return made
  })
}

export function list<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T]
}

export function disposeAll(tensors: Iterable<Tensor>): void {
  for (const x of tensors) x.dispose()
}

/** What the outputs of the case must be for inputs rounded to the dtype. */
export function expectedOf(c: Case, dtype: DType): readonly Host[] {
  return list(c.reference(...c.inputs.map((input) => rounded(input, dtype))))
}

/** Runs the case, compares its outputs, and checks that it made no tensor but those. */
export function checkForward(c: Case, dtype: DType, device: Device, expected: readonly Host[], context: string): void {
  const inputs = inputsOf(c, dtype, device, false)
  const before = memory(device)
  const outputs = list(c.run(...inputs))
  const made = outputs.filter((y) => !inputs.includes(y))
  expect(memory(device).tensors - before.tensors, `${context}: tensors made`).toBe(made.length)
  expect(outputs.length).toBe(expected.length)
  outputs.forEach((y, i) => {
    expect(y.shape, `${context}: shape of output ${i}`).toEqual(expected[i].shape)
    const { rtol, atol } = toleranceOf(c, y.dtype, device)
    const tolerance = { rtol, atol: atol * magnitude(expected[i].data) }
    const got = y.dataSync()
    expect(got, `${context}: output ${i}`).toBeAllclose(roundedTo(expected[i].data, y.dtype), tolerance)
  })
  disposeAll(made)
  expect(memory(device).tensors, `${context}: tensors left`).toBe(before.tensors)
  expect(memory(device).buffers, `${context}: buffers left`).toBe(before.buffers)
  disposeAll(inputs)
}

/** The largest finite magnitude. */
export function magnitude(data: ArrayLike<number>): number {
  let most = 0
  for (let i = 0; i < data.length; i++) if (Number.isFinite(data[i])) most = Math.max(most, Math.abs(data[i]))
  return most
}

/** A reference beyond the dtype's range is infinite there. */
function roundedTo(data: Float64Array, dtype: DType): Float64Array {
  return dtype === 'f32' || dtype === 'bf16' ? data.map((v) => (Math.abs(v) > 3.4e38 ? Math.fround(v) : v)) : data
}
