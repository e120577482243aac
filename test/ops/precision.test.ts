import { describe, expect, test } from 'vitest'
import { backward, grad } from '../../src/autograd/backward.ts'
import { ConfigError, DTypeError } from '../../src/errors.ts'
import { JemModel } from '../../src/jem/model.ts'
import type { Device } from '../../src/native/contract.ts'
import { Conv2d } from '../../src/nn/layers.ts'
import { add } from '../../src/ops/arithmetic.ts'
import { assign, cast } from '../../src/ops/cast.ts'
import { conv2d } from '../../src/ops/conv2d.ts'
import { linear, matmul } from '../../src/ops/matmul.ts'
import { type Precision, withPrecision } from '../../src/ops/precision.ts'
import { normal } from '../../src/ops/random.ts'
import { sum } from '../../src/ops/reduce.ts'
import { Sgd } from '../../src/optim/sgd.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor, to, zeros } from '../../src/tensor/create.ts'
import { memory } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import { devices, forEachVariant, roundsTiles } from './drive.ts'

/** Of ‖error‖/‖value‖ for sums of products whose factors are rounded: 2⁻⁸ for bf16, with its result rounded as well;
 *  2⁻¹¹ for TF32; f32's own rounding. */
const bounds: Record<Precision, number> = { fp32: 1e-6, strict: 4e-7, tf32: 2 ** -11, bf16: 2 ** -7.5 }

function relative(got: ArrayLike<number>, exact: ArrayLike<number>): number {
  let [error, size] = [0, 0]
  for (let i = 0; i < exact.length; i++) {
    error += (got[i] - exact[i]) ** 2
    size += exact[i] ** 2
  }
  return Math.sqrt(error / size)
}

describe.each(devices)('%s: products', (device) => {
  /** A convolution and its gradients, and a product of matrices, as host arrays. */
  function products(where: Device, dtype: 'f32' | 'f64', precision: Precision): ArrayLike<number>[] {
    return scope(() => {
      const draw = (shape: number[], stream: number) => {
        const host = scope(() => normal(shape, new Generator(3, 'user', stream)).dataSync())
        const x = tensor(host, { shape, device: 'cpu' })
        const there = tensor(dtype === 'f64' ? Float64Array.from(host) : host, { shape, device: where })
        x.dispose()
        there.requiresGrad = true
        return there
      }
      const [x, w, b] = [draw([2, 8, 8, 32], 1), draw([3, 3, 32, 32], 2), draw([32], 3)]
      const [y, product] = withPrecision(precision, () => [
        conv2d(x, w, { bias: b, padding: 1 }),
        matmul(draw([40, 64], 4), draw([64, 48], 5)),
      ])
      expect(y.dtype).toBe(precision === 'bf16' && dtype === 'f32' ? 'bf16' : dtype)
      const dy = cast(draw([2, 8, 8, 32], 6), y.dtype)
      return [y, product, ...grad(y, [x, w, b], dy)].map((t) => t.dataSync())
    })
  }

  test('are as exact as their precision says, and no more exact than it', () => {
    const exact = products('cpu', 'f64', 'fp32')
    for (const precision of ['fp32', 'strict', 'tf32', 'bf16'] as const) {
      forEachVariant(
        device,
        (variant) => {
          products(device, 'f32', precision).forEach((got, i) => {
            const error = relative(got, exact[i])
            // TF32 needs matrix instructions, which the plain kernels do without.
            const used = precision === 'tf32' && (device === 'cpu' || variant === 'simt') ? 'fp32' : precision
            const convolved = i === 0 || i === 2
            const bound = used === 'bf16' && convolved && roundsTiles(variant) ? 2 ** -6 : bounds[used]
            expect(error, `${precision} on ${variant}: value ${i}`).toBeLessThan(bound)
            if (used === 'bf16') expect(error, `${precision} on ${variant}: value ${i}`).toBeGreaterThan(1e-4)
          })
        },
        'conv2d',
      )
    }
  })

  test('in bf16 of a parameter see its changes, whatever changed it, and its gradient is f32', () => {
    const layer = new Conv2d(2, 3, 3, { generator: new Generator(1), device })
    scope(() => {
      const x = normal([1, 5, 5, 2], new Generator(2), { device })
      const run = () => withPrecision('bf16', () => layer.forward(x))
      const expected = () => withPrecision('bf16', () => conv2d(x, add(layer.weight.detach(), 0), { bias: layer.bias }))
      const before = run().dataSync()
      expect(run().dataSync()).toEqual(before)
      assign(layer.weight, add(layer.weight.detach(), 1))
      const after = run().dataSync()
      expect(after).not.toEqual(before)
      expect(after).toEqual(expected().dataSync())
      backward(sum(cast(run(), 'f32')))
      expect(layer.weight.grad!.dtype).toBe('f32')
      const optimizer = new Sgd(layer.namedParameters(), { momentum: 0 })
      optimizer.step(0.5)
      layer.zeroGrad()
      optimizer.dispose()
      const trained = run().dataSync()
      expect(trained).not.toEqual(after)
      expect(trained).toEqual(expected().dataSync())
    })
    const held = memory(device).buffers
    layer.dispose()
    expect(held - memory(device).buffers).toBe(4) // weight, bias, and the copies of both
  })

  test('of a network: the head and its energies are f32, near those of fp32', () => {
    const options = { model: 'wrn-10-1', classes: 3, channels: 1, device }
    for (const norm of ['none', 'batch', 'instance', 'layer', 'act'] as const) {
      const net = new JemModel({ ...options, norm, generator: new Generator(2) })
      scope(() => {
        const x = normal([2, 8, 8, 1], new Generator(4), { device })
        const f32 = net.forward(x).logits.dataSync()
        forEachVariant(
          device,
          (variant) => {
            const { logits } = withPrecision('bf16', () => net.forward(x))
            expect(logits.dtype).toBe('f32')
            const bound = roundsTiles(variant) ? 0.06 : 0.03
            expect(relative(logits.dataSync(), f32), `${norm} on ${variant}`).toBeLessThan(bound)
          },
          'conv2d',
        )
      })
      net.dispose()
    }
  })

  test('outside of the scope are fp32 again, also after an error', () => {
    scope(() => {
      const [a, b] = [normal([3, 4], new Generator(1), { device }), normal([4, 2], new Generator(2), { device })]
      const plain = matmul(a, b).dataSync()
      expect(() =>
        withPrecision('bf16', () => {
          withPrecision('tf32', () => matmul(a, b))
          throw new RangeError('stop')
        }),
      ).toThrow('stop')
      expect(matmul(a, b).dtype).toBe('f32')
      expect(linear(a, b).dataSync()).toEqual(plain)
    })
    expect(() => withPrecision('fp8' as Precision, () => {})).toThrow(ConfigError)
  })
})

describe.each(devices.filter((device) => device !== 'cpu'))('%s', (device) => {
  test('does not compute in f64, and says what to do', () => {
    scope(() => {
      const x = zeros([2, 2], { dtype: 'f64', device })
      for (const call of [() => add(x, 1), () => add(x, x), () => matmul(x, x), () => sum(x)]) {
        expect(call).toThrow(DTypeError)
        expect(call).toThrow(/is f64, which the cuda device does not compute with/)
      }
      expect(() => normal([2], new Generator(1), { dtype: 'f64', device })).toThrow(DTypeError)
      expect([...cast(add(cast(x, 'f32'), 1), 'f64').dataSync()]).toEqual([1, 1, 1, 1])
    })
  })

  test('gives and takes tensors of every dtype', async () => {
    for (const dtype of ['f32', 'f64', 'bf16', 'i32', 'u8'] as const) {
      using x = tensor([1, 2, 3], { dtype })
      using there = await to(x, device)
      expect([there.device, there.dtype, there.shape]).toEqual([device, dtype, [3]])
      using back = await to(there, 'cpu')
      expect([...back.dataSync()]).toEqual([1, 2, 3])
    }
  })
})
