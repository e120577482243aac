import { describe, expect, test } from 'vitest'
import { DeviceError } from '../../src/errors.ts'
import { matmul } from '../../src/ops/matmul.ts'
import { uniform } from '../../src/ops/random.ts'
import { gatherRows, pick, scatterRows } from '../../src/ops/rows.ts'
import { crossEntropy } from '../../src/ops/softmax.ts'
import { Generator } from '../../src/random/generator.ts'
import { ones, tensor, zeros } from '../../src/tensor/create.ts'
import { memory, synchronize } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { devices, emulated } from '../ops/drive.ts'

describe.each(devices)('%s', (device) => {
  test('a fault in a kernel is told at the next read, by the name of the op, and the engine goes on', async () => {
    using x = ones([3, 2], { device })
    using index = tensor([0, 3], { dtype: 'i32', device })
    const reads: ((y: Tensor) => Promise<unknown>)[] = [
      (y) => y.data(),
      async (y) => y.dataSync(),
      async () => synchronize(device),
    ]
    for (const read of reads) {
      const y = gatherRows(x, index)
      const fault = await read(y).then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(fault).toBeInstanceOf(DeviceError)
      expect((fault as Error).message).toMatch(/: a kernel failed: gatherRows: index 3 at 1 is outside \[0, 3\)$/)
      y.dispose()
      expect(x.dataSync()).toBeAllclose([1, 1, 1, 1, 1, 1])
    }
  })

  test('every index and label out of range is a fault, not another tensor’s memory', () => {
    scope(() => {
      const x = ones([4, 3], { device })
      for (const wrong of [-1, 4, 2 ** 31 - 1, -(2 ** 31)]) {
        const index = tensor([0, wrong], { dtype: 'i32', device })
        const labels = tensor([0, 1, wrong, 2], { dtype: 'i32', device })
        const message = new RegExp(`${wrong}`)
        expect(() => gatherRows(x, index).dataSync()).toThrow(message)
        scatterRows(x, index, zeros([2, 3], { device }))
        expect(() => synchronize(device)).toThrow(message)
        expect(() => pick(x, labels).dataSync()).toThrow(message)
        expect(() => crossEntropy(x, labels).dataSync()).toThrow(message)
      }
    })
  })

  test('the first of several faults is the one told, once', () => {
    scope(() => {
      const x = ones([2, 2], { device })
      gatherRows(x, tensor([5], { dtype: 'i32', device }))
      crossEntropy(x, tensor([7, 7], { dtype: 'i32', device }))
      expect(() => synchronize(device)).toThrow(/gatherRows: index 5/)
      synchronize(device)
    })
  })

  test('more ops than the queue holds run in order', () => {
    using x = zeros([8], { device })
    using one = ones([8], { device })
    for (let i = 0; i < 5000; i++) x.native.accumulate(one.handle, x.handle, 8)
    expect(x.dataSync()).toBeAllclose(new Array(8).fill(5000))
  })

  test('reads settle in the order in which they were asked, each with the values of its moment', async () => {
    using x = zeros([1], { device })
    using one = ones([1], { device })
    const order: number[] = []
    const reads: Promise<void>[] = []
    for (let i = 0; i < 300; i++) {
      x.native.accumulate(one.handle, x.handle, 1)
      reads.push(
        x.data().then((values) => {
          order.push(values[0])
        }),
      )
    }
    await Promise.all(reads)
    expect(order).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
  })

  test('a tensor may be disposed, or another made, while its read is under way', async () => {
    const x = ones([100_000], { device })
    const pending = x.data()
    x.dispose()
    using other = zeros([100_000], { device })
    expect((await pending).every((v) => v === 1)).toBe(true)
    expect(other.dataSync().every((v) => v === 0)).toBe(true)
  })

  test('what is written is what the array held at that moment', () => {
    const values = new Float32Array([1, 2, 3])
    using x = tensor(values, { device })
    values.fill(9)
    expect(x.dataSync()).toBeAllclose([1, 2, 3])
  })

  test('the event loop runs on while ops run', async () => {
    const generator = new Generator(1)
    const n = emulated(device) ? 64 : 1024
    using a = uniform([n, n], generator, { device })
    using b = uniform([n, n], generator, { device })
    const before = memory(device).tensors
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    const started = performance.now()
    let c = matmul(a, b)
    for (let i = 0; i < 15; i++) {
      const next = matmul(c, b)
      c.dispose()
      c = next
    }
    const enqueued = performance.now() - started
    await c.data()
    const took = performance.now() - started
    clearInterval(timer)
    c.dispose()
    expect(memory(device).tensors).toBe(before)
    expect(enqueued).toBeLessThan(took / 2)
    expect(ticks).toBeGreaterThan(took / 10)
  })

  test('results are read of the dtype and shape that was made: empty, one, many', async () => {
    for (const shape of [[], [0], [1], [3, 0], [2, 3]]) {
      for (const dtype of ['f32', 'f64', 'bf16', 'i32', 'u8'] as const) {
        using x = ones(shape, { dtype, device })
        const sync = x.dataSync()
        expect(await x.data()).toEqual(sync)
        expect(sync.length).toBe(x.size)
        expect(sync.every((v) => v === 1)).toBe(true)
      }
    }
  })
})
