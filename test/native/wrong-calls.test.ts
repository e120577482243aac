import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { type DType, type Handle, signatures } from '../../src/native/contract.ts'
import { nativeDevice } from '../../src/native/device.ts'
import { devices } from '../ops/drive.ts'

/** Live buffers of every dtype and of few sizes, an empty one, and handles that are none. */
const counts = [0, 1, 6, 64, 640]
const dtypes: DType[] = ['f32', 'f64', 'bf16', 'i32', 'u8']

function codeOf(fn: () => unknown): string | undefined {
  try {
    fn()
  } catch (error) {
    return (error as { code?: string }).code
  }
  return undefined
}

describe.each(devices)('%s', (device) => {
  const { addon } = nativeDevice(device)
  const table = addon.ops as unknown as Record<string, (...args: unknown[]) => void>
  const live: Handle[] = counts.flatMap((count) => dtypes.map((dtype) => addon.alloc(count, dtype)))
  const stale = addon.alloc(8, 'f32')
  addon.free(stale)
  afterAll(() => {
    for (const handle of live) addon.free(handle)
  })

  /** What a wrong call may give: an error at once, or one at the next read. */
  function settled(fn: () => unknown): string | undefined {
    return codeOf(fn) ?? codeOf(() => addon.synchronize())
  }

  const handle = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...live) },
    { weight: 1, arbitrary: fc.constantFrom(0, stale, -1, 1.5, 2 ** 22, 2 ** 53, Number.NaN, Infinity) },
  )
  const extent = fc.oneof(
    { weight: 12, arbitrary: fc.integer({ min: 0, max: 9 }) },
    { weight: 2, arbitrary: fc.constantFrom(-1, 640, 641, 2 ** 20, -(2 ** 31)) },
    { weight: 1, arbitrary: fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 40, 2 ** 52, 2 ** 53, -(2 ** 53), 2 ** 62, 1.5) },
  )
  const number = fc.oneof(fc.constantFrom(0, 1, -1, 0.5, 2, Number.NaN, Infinity, -Infinity), fc.double())

  const words: Record<string, fc.Arbitrary<unknown>[]> = {
    in: [handle],
    'in?': [handle],
    out: [handle],
    'out?': [handle],
    inout: [handle],
    integer: [extent],
    number: [number],
    flag: [fc.integer({ min: 0, max: 1 })],
    list: [fc.array(handle, { maxLength: 4 })],
    dims: new Array(6).fill(extent),
    convShape: new Array(9).fill(extent),
    poolShape: new Array(6).fill(extent),
    normShape: new Array(4).fill(extent),
    philox: new Array(4).fill(extent),
  }

  test.each(Object.entries(signatures))(
    '%s: arguments at random are refused or run, and never crash',
    (op, signature) => {
      const args = fc.tuple(...signature.split(' ').flatMap((word) => words[word]))
      fc.assert(
        fc.property(args, (values) => {
          const code = settled(() => table[op](...values))
          expect([undefined, 'HANDLE', 'ARGUMENT', 'FAULT']).toContain(code)
        }),
        { numRuns: 400, seed: 1 },
      )
    },
  )

  test.each(Object.entries(signatures))(
    '%s: a stale handle, too few arguments or other types are errors',
    (op, signature) => {
      expect(codeOf(() => table[op]())).toBe('ARGUMENT')
      const right = signature.split(' ').flatMap((word): unknown[] => {
        if (word === 'list') return [[stale]]
        return words[word].map(() => (['in', 'out', 'inout', 'in?', 'out?'].includes(word) ? stale : 1))
      })
      const buffers = signature.split(' ').some((word) => /in|out|list/.test(word) && word !== 'integer')
      expect(codeOf(() => table[op](...right))).toBe(buffers ? 'HANDLE' : undefined)
      for (const wrong of ['text', null, undefined, {}, 3n, true]) {
        expect(codeOf(() => table[op](...right.map(() => wrong)))).toBe('ARGUMENT')
      }
    },
  )

  test('the functions of memory refuse what is no buffer', () => {
    expect(codeOf(() => addon.free(stale))).toBe('HANDLE')
    expect(codeOf(() => addon.free(0))).toBe('HANDLE')
    expect(codeOf(() => addon.write(stale, new Float32Array(8)))).toBe('HANDLE')
    expect(codeOf(() => addon.readSync(stale, new Float32Array(8)))).toBe('HANDLE')
    expect(codeOf(() => addon.readSync(live[0], new Float32Array(1)))).toBe('ARGUMENT')
    expect(codeOf(() => addon.write(live[0], [] as unknown as Float32Array))).toBe('ARGUMENT')
    expect(codeOf(() => addon.alloc(4, 'f16' as DType))).toBe('ARGUMENT')
    for (const count of [-1, 1e16, Number.NaN, Infinity])
      expect(codeOf(() => addon.alloc(count, 'f32'))).toBe('OUT_OF_MEMORY')
    expect(addon.setVariant('sse9')).toBe(false)
    expect(() => addon.setVariant(7 as unknown as string)).toThrow()
    for (const wrong of ['x', undefined, null, {}] as unknown as number[]) {
      for (const fn of [addon.free, addon.setMemoryLimit, addon.setThreads]) expect(() => fn(wrong)).toThrow()
      expect(() => addon.alloc(wrong, 'f32')).toThrow()
    }
  })

  test('a list of impossible length is an error', () => {
    const endless = new Array(2 ** 32 - 1) as number[]
    expect(codeOf(() => addon.ops.sumSquares(endless, live[1]))).toBe('HANDLE')
  })
})
