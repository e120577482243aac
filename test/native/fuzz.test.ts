// The raw contract, below all checks of the TypeScript ops: no call, however wrong, may crash, hang, or read or write
// outside its buffers. Under AddressSanitizer (scripts/test-native.mjs) this is the search for kernels that trust a size.
import { describe, expect, test } from 'vitest'
import type { DType, NativeAddon } from '../../src/native/contract.ts'
import { nativeDevice } from '../../src/native/device.ts'
import { devices } from '../ops/drive.ts'

const fields: Record<string, number> = { dims: 6, convShape: 9, poolShape: 6, normShape: 4, philox: 4 }

/** A small repeatable source of choices (mulberry32); the engine's own generator is under test. */
function chooser(seed: number) {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    pick: <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)],
    chance: (p: number) => next() < p,
  }
}
type Chooser = ReturnType<typeof chooser>

/** What the buffers of an op hold in order, where it is not all one floating-point dtype. */
const dtypesOf: Record<string, string> = {
  gatherRows: 'f32 i32 f32',
  scatterRows: 'f32 i32 f32',
  compare: 'f32 f32 u8',
  where: 'u8 f32 f32 f32',
  leakyRelu: 'f32 f32 u8',
  leakyReluBackward: 'f32 u8 f32 f32',
  argmax: 'f32 i32',
  pick: 'f32 i32 f32',
  pickBackward: 'i32 f32 f32',
  conv2d: 'f32 f32 f32 f32 f32 f32 f32 f32 f32 u8',
  conv2dBackwardInput: 'f32 f32 u8 f32 f32',
  crossEntropy: 'f32 i32 f32',
  crossEntropyBackward: 'f32 i32 f32 f32',
  energyHead: 'f32 f32 f32 i32 f32 f32',
  energyHeadBackward: 'f32 f32 u8 f32 f32',
  randomInt: 'i32',
  adam: 'f32 f32 f32 f32 f64',
  sgd: 'f32 f32 f32 f64',
  sumSquares: 'f32 f64',
  clipScale: 'f64 f64',
  imageBatch: 'u8 i32 f32',
}

/** A call is plausible (small sizes, large buffers) or wild (any size, any buffer). */
function integer({ pick, chance }: Chooser, wild: boolean): number {
  if (!wild) return chance(0.05) ? 0 : pick([1, 1, 1, 2, 2, 3, 4])
  if (chance(0.08)) return pick([-1, -7, 2 ** 31, -(2 ** 31), 2 ** 32 + 3, 2 ** 52, -(2 ** 53)])
  return pick([0, 1, 1, 2, 3, 4, 5, 6, 8, 12, 16, 17, 24])
}

function number({ pick, chance }: Chooser): number {
  return chance(0.2) ? pick([Number.NaN, Infinity, -Infinity, 1e300, -1]) : pick([0, 0.2, 0.5, 1, 2, 3])
}

type Buffers = Record<DType, number[]>
const counts = [0, 1, 6, 24, 144, 600]

function makeBuffers(addon: NativeAddon, { pick }: Chooser): Buffers {
  const make = (dtype: DType): number[] =>
    counts.map((count) => {
      const handle = addon.alloc(count, dtype)
      addon.ops.fill(handle, count, pick([0, 1, 2, 5]))
      return handle
    })
  return { f32: make('f32'), f64: make('f64'), bf16: make('bf16'), i32: make('i32'), u8: make('u8') }
}

function argumentsOf(op: string, signature: string, choose: Chooser, buffers: Buffers): unknown[] {
  const { pick, chance } = choose
  const wild = chance(0.5)
  const dtypes = dtypesOf[op]?.split(' ') ?? []
  const float = pick(['f32', 'f32', 'f64', 'bf16'])
  let position = 0
  const handle = (): number => {
    if (chance(0.01)) return pick([0, 1, 2 ** 22, 2 ** 50])
    const dtype = (wild && chance(0.1) ? pick(Object.keys(buffers)) : (dtypes[position] ?? float)) as DType
    return wild ? pick(buffers[dtype]) : buffers[dtype].at(-1)!
  }
  const valuesOf = (word: string): unknown[] => {
    if (word in fields) return Array.from({ length: fields[word] }, () => integer(choose, wild))
    switch (word) {
      case 'in?':
      case 'out?':
        return [chance(0.5) ? 0 : handle()]
      case 'in':
      case 'out':
      case 'inout':
        return [handle()]
      case 'list':
        return [Array.from({ length: pick([0, 1, 1, 2]) }, handle)]
      case 'integer':
        return [integer(choose, wild)]
      case 'flag':
        return [pick([0, 1])]
      case 'number':
        return [number(choose)]
    }
    throw new Error(`no values for ${word}`)
  }
  return signature.split(' ').flatMap((word) => {
    const values = valuesOf(word)
    if (/^(in|out|inout|list)\??$/.test(word)) position++
    return values
  })
}

/** Waits for the stream; whether a kernel refused the call. */
function refused({ synchronize }: Pick<NativeAddon, 'synchronize'>): boolean {
  try {
    synchronize()
    return false
  } catch (error) {
    expect((error as { code?: string }).code).toBe('FAULT')
    return true
  }
}

describe.each(devices)('%s: a call with arbitrary arguments is done or refused', (device) => {
  const { addon } = nativeDevice(device)
  const call = addon.ops as unknown as Record<string, (...args: unknown[]) => void>
  for (const [op, signature] of Object.entries(addon.signatures)) {
    test(op, () => {
      const choose = chooser(1)
      const buffers = makeBuffers(addon, choose)
      let done = 0
      for (let i = 0; i < 1500; i++) {
        const args = argumentsOf(op, signature, choose, buffers)
        try {
          call[op](...args)
        } catch (error) {
          expect(['HANDLE', 'ARGUMENT']).toContain((error as { code?: string }).code)
          continue
        }
        if (!refused(addon)) done++
      }
      for (const handle of Object.values(buffers).flat()) addon.free(handle)
      expect(done, 'calls that were right by chance').toBeGreaterThan(30)
    })
  }
})
