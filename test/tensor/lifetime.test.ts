import { describe, expect, test } from 'vitest'
import { DeviceError } from '../../src/errors.ts'
import { add, mul } from '../../src/ops/arithmetic.ts'
import { clone } from '../../src/ops/cast.ts'
import { reshape } from '../../src/ops/shape.ts'
import { exp } from '../../src/ops/unary.ts'
import { ones, tensor } from '../../src/tensor/create.ts'
import { liveTensors, setLeakDebug } from '../../src/tensor/leaks.ts'
import { memory, resetPeakMemory } from '../../src/tensor/memory.ts'
import { keep, scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

describe('scope', () => {
  test('frees all that was made inside but what it returns, however that is packed', () => {
    const before = memory()
    const { a, rest, named } = scope(() => {
      const x = ones([10])
      exp(exp(x))
      return {
        a: x,
        rest: [add(x, 1), [mul(x, 3)]] as const,
        named: new Map([['n', exp(x)]]),
        text: 'kept',
        none: null,
      }
    })
    expect(memory().tensors - before.tensors).toBe(4)
    expect(memory().buffers - before.buffers).toBe(4)
    const kept = [a, rest[0], rest[1][0], named.get('n')!]
    expect(kept.map((x) => x.dataSync()[0])).toBeAllclose([1, 2, 3, Math.E], { rtol: 1e-6 })
    for (const x of kept) x.dispose()
  })

  test('what it returns belongs to the scope around it', () => {
    let escaped: Tensor | undefined
    scope(() => {
      escaped = scope(() => ones([1]))
      expect(escaped.isDisposed).toBe(false)
    })
    expect(escaped?.isDisposed).toBe(true)
  })

  test('frees what was made when its function throws', () => {
    const before = memory()
    expect(() =>
      scope(() => {
        exp(ones([10]))
        throw new Error('inside')
      }),
    ).toThrow('inside')
    expect(memory()).toMatchObject({ tensors: before.tensors, buffers: before.buffers })
  })

  test('refuses an asynchronous function, whose tensors it could not know', () => {
    const before = memory()
    expect(() => scope(async () => ones([1]))).toThrow(/must be synchronous/)
    expect(memory().tensors).toBe(before.tensors)
  })

  test('keep takes a tensor out of every scope', () => {
    let x: Tensor | undefined
    scope(() => {
      scope(() => {
        x = keep(ones([3]))
      })
    })
    expect(x!.dataSync()).toBeAllclose([1, 1, 1])
    x!.dispose()
  })

  test('leaves alone what was made outside', () => {
    using x = ones([2])
    scope(() => {
      exp(x)
    })
    expect(x.dataSync()).toBeAllclose([1, 1])
  })
})

describe('dispose', () => {
  test('may be called twice, and by using', () => {
    const before = memory().tensors
    {
      using x = ones([2])
      x.dispose()
      x.dispose()
    }
    expect(memory().tensors).toBe(before)
  })

  test('of one of two tensors over one memory leaves the other', () => {
    const x = tensor([1, 2, 3, 4])
    using y = reshape(x, [2, 2])
    const { buffers } = memory()
    x.dispose()
    expect(memory().buffers).toBe(buffers)
    expect(y.dataSync()).toBeAllclose([1, 2, 3, 4])
  })

  test('makes every later use an error that tells the shape and the fix', async () => {
    const x = ones([2, 3])
    x.dispose()
    expect(x.isDisposed).toBe(true)
    expect(String(x)).toBe('Tensor([2, 3], f32, cpu)')
    for (const use of [() => x.dataSync(), () => exp(x), () => x.detach(), () => clone(x)]) {
      expect(use).toThrow(DeviceError)
      expect(use).toThrow(/\[2, 3\] is used after it was disposed/)
    }
    await expect(x.data()).rejects.toThrow(DeviceError)
  })
})

describe('memory()', () => {
  test('tells live bytes, the peak, and what is kept for reuse', () => {
    const before = memory()
    resetPeakMemory()
    const x = ones([250_000])
    const size = memory().liveBytes - before.liveBytes
    expect(size).toBeGreaterThanOrEqual(1e6)
    expect(size).toBeLessThanOrEqual(1.125e6)
    x.dispose()
    expect(memory().liveBytes).toBe(before.liveBytes)
    expect(memory().peakBytes).toBe(before.liveBytes + size)
    expect(memory().cachedBytes).toBeGreaterThanOrEqual(size)
    resetPeakMemory()
    expect(memory().peakBytes).toBe(before.liveBytes)
    using again = ones([250_000])
    expect(again.dataSync()[249_999]).toBe(1)
  })
})

describe('tensors that nobody disposed', () => {
  const lose = (): void => {
    exp(ones([3, 5]))
  }

  async function collectGarbage(): Promise<string[]> {
    const warnings: string[] = []
    const heard = (warning: Error & { code?: string }): void => {
      if (warning.code === 'LANGEVIN_LEAK') warnings.push(warning.message)
    }
    process.on('warning', heard)
    for (let i = 0; i < 20 && warnings.length === 0; i++) {
      ;(globalThis as { gc?: () => void }).gc!()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    process.off('warning', heard)
    return warnings
  }

  test('are reported with the place where they were made, once debugging is on', async ({ task }) => {
    task.meta.leaksOnPurpose = true
    setLeakDebug(true)
    const before = liveTensors().length
    lose()
    expect(liveTensors().length - before).toBe(2)
    expect(liveTensors().at(-1)).toMatchObject({ shape: [3, 5], dtype: 'f32' })
    expect(liveTensors().at(-1)?.site).toMatch(/lifetime\.test\.ts/)
    const [warning] = await collectGarbage()
    setLeakDebug(false)
    expect(warning).toMatch(/2 tensors were garbage-collected without dispose\(\); created at/)
    expect(warning).toMatch(/lose .*lifetime\.test\.ts/)
  })
})
