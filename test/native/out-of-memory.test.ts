import { afterEach, describe, expect, test } from 'vitest'
import { backward } from '../../src/autograd/backward.ts'
import { OutOfMemoryError } from '../../src/errors.ts'
import { nativeDevice } from '../../src/native/device.ts'
import { WideResNet } from '../../src/nn/wideResNet.ts'
import { uniform } from '../../src/ops/random.ts'
import { mean } from '../../src/ops/reduce.ts'
import { logsumexp } from '../../src/ops/softmax.ts'
import { Generator } from '../../src/random/generator.ts'
import { ones, zeros } from '../../src/tensor/create.ts'
import { memory, setMemoryLimit } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import { devices } from '../ops/drive.ts'

const mebibyte = 2 ** 20

describe.each(devices)('%s', (device) => {
  afterEach(() => setMemoryLimit(0, device))

  test('beyond the memory limit an op throws OutOfMemoryError that tells sizes and a way out, and all goes on', () => {
    const { liveBytes } = memory(device)
    setMemoryLimit(liveBytes + 4 * mebibyte, device)
    using kept = ones([mebibyte / 4], { device })
    const thrown = (() => {
      try {
        zeros([mebibyte], { device }).dispose()
      } catch (error) {
        return error
      }
    })()
    expect(thrown).toBeInstanceOf(OutOfMemoryError)
    expect(thrown).toMatchObject({ code: 'OUT_OF_MEMORY', hint: expect.stringMatching(/smaller batch/) })
    expect((thrown as Error).message).toMatch(
      /cannot allocate 4194304 bytes for 1048576 elements of f32; \d+\.\d MiB are in use/,
    )
    expect(kept.dataSync().every((v) => v === 1)).toBe(true)
    using small = ones([1000], { device })
    expect(small.dataSync()[999]).toBe(1)
  })

  test('memory that is only cached does not count as used up', () => {
    const { liveBytes } = memory(device)
    setMemoryLimit(liveBytes + 8 * mebibyte, device)
    for (const count of [1.5, 1.25, 1.1, 0.9, 0.7]) zeros([Math.round(count * mebibyte)], { device }).dispose() // 4 bytes each
    expect(memory(device).liveBytes).toBe(liveBytes)
  })

  test('more than the machine has is an error and no crash', () => {
    for (const count of [2 ** 44, 2 ** 50, Number.MAX_SAFE_INTEGER]) {
      expect(() => zeros([count], { device })).toThrow(OutOfMemoryError)
    }
  })

  test.each(['batch', 'none'] as const)(
    'whichever allocation of a training step fails, everything made so far is freed and the next step is right (norm %s)',
    (norm) => {
      const model = new WideResNet({
        depth: 10,
        width: 1,
        channels: 1,
        norm,
        generator: new Generator(1),
        device,
      })
      using x = uniform([2, 8, 8, 1], new Generator(2), { device })
      const step = (): Float32Array => {
        scope(() => backward(mean(logsumexp(model.forward(x)))))
        const gradient = model.parameters()[0].grad!.dataSync() as Float32Array
        model.zeroGrad()
        return gradient
      }
      const right = step()
      step()
      const before = memory(device)
      const { addon } = nativeDevice(device)
      const alloc = addon.alloc
      let failures = 0
      try {
        for (let nth = 0; ; nth++) {
          let left = nth
          addon.alloc = (count, dtype) => {
            if (left-- === 0) throw Object.assign(new Error('cannot allocate'), { code: 'OUT_OF_MEMORY' })
            return alloc.call(addon, count, dtype)
          }
          let failed = false
          try {
            step()
          } catch (error) {
            expect(error).toBeInstanceOf(OutOfMemoryError)
            failed = true
            model.zeroGrad()
          }
          addon.alloc = alloc
          expect(memory(device), `after failure of allocation ${nth}`).toMatchObject({
            tensors: before.tensors,
            buffers: before.buffers,
            liveBytes: before.liveBytes,
          })
          if (!failed) break
          failures++
        }
      } finally {
        addon.alloc = alloc
      }
      expect(failures).toBeGreaterThan(50)
      // batch norm's running statistics move, its gradients do not
      expect(step()).toEqual(right)
      model.dispose()
    },
  )

  test('a model that does not fit leaves nothing behind', () => {
    const model = new WideResNet({ depth: 10, width: 1, channels: 3, generator: new Generator(1), device })
    const before = memory(device)
    setMemoryLimit(before.liveBytes + 3 * mebibyte, device)
    expect(() => scope(() => model.forward(uniform([8, 32, 32, 3], new Generator(2), { device })))).toThrow(
      OutOfMemoryError,
    )
    expect(memory(device)).toMatchObject({ tensors: before.tensors, buffers: before.buffers })
    setMemoryLimit(0, device)
    scope(() => {
      expect(
        model
          .forward(uniform([8, 32, 32, 3], new Generator(2), { device }))
          .dataSync()
          .every(Number.isFinite),
      ).toBe(true)
    })
    model.dispose()
  })
})
