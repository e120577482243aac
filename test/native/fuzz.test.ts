// The raw contract, below all checks of the TypeScript ops: no call, however wrong, may crash, hang, or read or write
// outside its buffers. Under AddressSanitizer (scripts/test-native.mjs) this is the search for kernels that trust a size.
import { describe, expect, test } from 'vitest'
import type { DType, NativeAddon } from '../../src/native/contract.ts'
import { nativeDevice } from '../../src/native/device.ts'

const { addon } = nativeDevice('cpu')
const call = addon.ops as unknown as Record<string, (...args: unknown[]) => void>
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

/** Mostly sizes that agree with some buffer, sometimes nonsense. */
function integer({ pick, chance }: Chooser): number {
  if (chance(0.08)) return pick([-1, -7, 2 ** 31, -(2 ** 31), 2 ** 32 + 3, 2 ** 52, -(2 ** 53)])
  return pick([0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 12, 16, 17, 24])
}

function number({ pick, chance }: Chooser): number {
  return chance(0.2) ? pick([Number.NaN, Infinity, -Infinity, 1e300, -1]) : pick([0, 0.2, 0.5, 1, 2, 3])
}

interface Buffers {
  all: number[]
  /** Of f32 only: most calls then get past the check of dtypes. */
  floats: number[]
}

function argument(word: string, choose: Chooser, { all, floats }: Buffers): unknown[] {
  const { pick, chance } = choose
  const handle = (): number => (chance(0.02) ? pick([0, 1, 2 ** 22, 2 ** 50]) : pick(chance(0.75) ? floats : all))
  if (word in fields) return Array.from({ length: fields[word] }, () => integer(choose))
  switch (word) {
    case 'in?':
    case 'out?':
      return [chance(0.5) ? 0 : handle()]
    case 'in':
    case 'out':
    case 'inout':
      return [handle()]
    case 'list':
      return [Array.from({ length: pick([0, 1, 2, 3]) }, handle)]
    case 'integer':
      return [integer(choose)]
    case 'flag':
      return [pick([0, 1])]
    case 'number':
      return [number(choose)]
  }
  throw new Error(`no values for ${word}`)
}

function makeBuffers({ pick }: Chooser): Buffers {
  const dtypes: DType[] = ['f32', 'f64', 'bf16', 'i32', 'u8']
  const all = dtypes.flatMap((dtype) =>
    [0, 1, 6, 24, 144, 600].map((count) => {
      const handle = addon.alloc(count, dtype)
      addon.ops.fill(handle, count, pick([0, 1, 2, 5]))
      return handle
    }),
  )
  return { all, floats: all.slice(0, 6) }
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

describe('a call with arbitrary arguments is done or refused', () => {
  for (const [op, signature] of Object.entries(addon.signatures)) {
    test(op, () => {
      const choose = chooser(1)
      const buffers = makeBuffers(choose)
      let done = 0
      // Some ops need several dtypes to be right at once: those get more tries.
      for (let i = 0; i < 1500 || (done === 0 && i < 50_000); i++) {
        const args = signature.split(' ').flatMap((word) => argument(word, choose, buffers))
        try {
          call[op](...args)
        } catch (error) {
          expect(['HANDLE', 'ARGUMENT']).toContain((error as { code?: string }).code)
          continue
        }
        if (!refused(addon)) done++
      }
      for (const handle of buffers.all) addon.free(handle)
      expect(done, 'calls that were right by chance').toBeGreaterThan(0)
    })
  }
})
