import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import type { DType } from '../../src/native/contract.ts'
import { add } from '../../src/ops/arithmetic.ts'
import { conv2d, conv2dBoth } from '../../src/ops/conv2d.ts'
import { type Precision, withPrecision } from '../../src/ops/precision.ts'
import { normal } from '../../src/ops/random.ts'
import { slice } from '../../src/ops/shape.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { forEachVariant, withThreads } from './drive.ts'

/** batch, height, width, cin, cout, stride of 3×3 convolutions with padding 1 that the CPU computes by Winograd: those of
 *  the reference nets; extents that no tile divides; channels that no vector divides; one image; more weights than pixels
 *  and the other way round; sums over more channels than are added at once. */
const shapes: readonly (readonly [number, number, number, number, number, number])[] = [
  [3, 28, 28, 16, 16, 1],
  [2, 14, 14, 32, 64, 1],
  [1, 7, 7, 64, 64, 1],
  [17, 8, 8, 128, 128, 1],
  [17, 8, 8, 96, 64, 1],
  [1, 16, 16, 160, 48, 1],
  [2, 8, 8, 640, 64, 1],
  [1, 4, 4, 32, 336, 1],
  [2, 9, 13, 24, 40, 1],
  [1, 30, 31, 17, 33, 1],
  [5, 11, 6, 48, 18, 1],
  [2, 32, 32, 64, 64, 2],
  [1, 16, 16, 128, 320, 2],
  [3, 23, 27, 80, 72, 2],
  // Tiles that reach beyond the image by one to three outputs, below, to the right, or both.
  [9, 14, 14, 64, 64, 2],
  [3, 13, 16, 64, 80, 2],
  [5, 16, 15, 80, 64, 2],
  [1, 14, 13, 128, 320, 2],
  [4, 10, 12, 32, 48, 1],
  [4, 12, 11, 48, 32, 1],
]

/** Two convolutions after one, with everything fused: [its output, theirs, one's value before its activation,
 *  gradients]. */
function block(shape: (typeof shapes)[number], dtype: 'f32' | 'f64', precision: Precision): ArrayLike<number>[] {
  const [batch, height, width, cin, cout, stride] = shape
  const [outHeight, outWidth] = [Math.ceil(height / stride), Math.ceil(width / stride)]
  let stream = 0
  const draw = (...extents: number[]) => {
    const host = scope(() => normal(extents, new Generator(7, 'user', ++stream)).dataSync())
    const made = tensor(dtype === 'f64' ? Float64Array.from(host) : host, { shape: extents })
    made.requiresGrad = true
    return made
  }
  return scope(() => {
    const [x, w1, b1] = [draw(batch, height, width, cout), draw(3, 3, cout, cin), draw(cin)]
    const [w2, b2, residual] = [draw(3, 3, cin, cout), draw(cout), draw(batch, outHeight, outWidth, cout)]
    const [w3, dy] = [draw(3, 3, cin, cout), draw(batch, outHeight, outWidth, cout)]
    return withPrecision(precision, () => {
      const h = conv2d(x, w1, { bias: b1, padding: 1, leakySlope: 0.2 })
      const [y, pre] = conv2dBoth(h, w2, { bias: b2, residual, stride, padding: 1, leakySlope: 0.2 })
      const z = conv2d(h, w3, { stride, padding: 1 })
      return [h, y, z, pre, ...grad(add(y, z), [x, residual], dy)].map((t) => t.dataSync())
    })
  })
}

/** ‖got − exact‖/‖exact‖ */
function relative(got: ArrayLike<number>, exact: ArrayLike<number>): number {
  let [error, size] = [0, 0]
  for (let i = 0; i < exact.length; i++) {
    error += (got[i] - exact[i]) ** 2
    size += exact[i] ** 2
  }
  return Math.sqrt(error / size)
}

function sameBits(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return a.length === b.length
}

describe('Winograd convolutions', () => {
  test.each(shapes)('of [%i, %i, %i, %i] to %i channels at stride %i are right to f32’s rounding', (...shape) => {
    const exact = block(shape, 'f64', 'fp32')
    forEachVariant('cpu', (variant) => {
      block(shape, 'f32', 'fp32').forEach((got, i) => {
        // An element whose activation rounding tips over the kink has another slope: about 1e-6 of them, each as large
        // as any other.
        const bound = i < 4 ? 3e-6 : 2e-3
        expect(relative(got, exact[i]), `value ${i} on ${variant}`).toBeLessThan(bound)
      })
    })
  })

  test('are wrong by at most 2e-6 of the sum of the magnitudes of what is added, element by element', () => {
    for (const [batch, height, width, cin, cout, stride] of shapes) {
      scope(() => {
        const x = normal([batch, height, width, cin], new Generator(1))
        const w = normal([3, 3, cin, cout], new Generator(2))
        const of = (dtype: DType, magnitudes: boolean) => {
          const take = (t: typeof x) => {
            const values = Float64Array.from(t.dataSync(), (v) => (magnitudes ? Math.abs(v) : v))
            return tensor(values, { shape: t.shape, dtype })
          }
          return conv2d(take(x), take(w), { stride, padding: 1 }).dataSync()
        }
        const [exact, size] = [of('f64', false), of('f64', true)]
        forEachVariant('cpu', (variant) => {
          const got = of('f32', false)
          let worst = 0
          for (let i = 0; i < exact.length; i++) worst = Math.max(worst, Math.abs(got[i] - exact[i]) / size[i])
          expect(
            worst,
            `[${batch}, ${height}, ${width}, ${cin}] to ${cout}, stride ${stride}, on ${variant}`,
          ).toBeLessThan(2e-6)
        })
      })
    }
  })

  test('give the same bits on any number of threads', () => {
    forEachVariant('cpu', (variant) => {
      for (const shape of shapes) {
        const once = withThreads(1, () => block(shape, 'f32', 'fp32'))
        for (const threads of [2, 3]) {
          const again = withThreads(threads, () => block(shape, 'f32', 'fp32'))
          again.forEach((values, i) => {
            expect(sameBits(values, once[i]), `${shape}, value ${i} on ${variant}, ${threads} threads`).toBe(true)
          })
        }
      }
    })
  })

  test('of an image do not depend on the other images of the batch', () => {
    forEachVariant('cpu', (variant) => {
      for (const [batch, height, width, cin, cout, stride] of shapes) {
        scope(() => {
          const x = normal([batch, height, width, cin], new Generator(1))
          const w = normal([3, 3, cin, cout], new Generator(2))
          const alone = tensor(x.dataSync().slice(0, height * width * cin), { shape: [1, height, width, cin] })
          const [together, single] = [x, alone].map((images) => conv2d(images, w, { stride, padding: 1 }).dataSync())
          const first = together.slice(0, single.length)
          expect(sameBits(first, single), `${[batch, height, width, cin, cout, stride]} on ${variant}`).toBe(true)
        })
      }
    })
  })

  test('of an image do not depend on the batch where precision is strict either', () => {
    // So many pixels that the channels are cut otherwise than for one image.
    const [batch, size, channels] = [160, 8, 128]
    forEachVariant('cpu', (variant) => {
      scope(() => {
        const x = normal([batch, size, size, channels], new Generator(1))
        const w = normal([3, 3, channels, channels], new Generator(2))
        const alone = slice(x, [0, 0, 0, 0], [1, size, size, channels])
        const [together, single] = [x, alone].map((images) =>
          withPrecision('strict', () => conv2d(images, w, { padding: 1 })).dataSync(),
        )
        expect(sameBits(together.slice(0, single.length), single), variant).toBe(true)
      })
    })
  })

  test('are not used where precision is strict: sums of whole numbers are exact then', () => {
    forEachVariant('cpu', (variant) => {
      for (const [batch, height, width, cin, cout, stride] of shapes) {
        const [exact, strict, fp32] = (['f64', 'f32', 'f32'] as const).map((dtype, i) =>
          scope(() => {
            const whole = (shape: number[], period: number) =>
              tensor(
                Float64Array.from({ length: shape.reduce((a, b) => a * b) }, (_, k) => ((k * 7919) % period) - 3),
                { shape, dtype },
              )
            const [x, w] = [whole([batch, height, width, cin], 7), whole([3, 3, cin, cout], 11)]
            x.requiresGrad = true
            return withPrecision(i === 1 ? 'strict' : 'fp32', () => {
              const y = conv2d(x, w, { stride, padding: 1 })
              const [dx] = grad(y, [x], y.detach())
              return [y, dx].map((t) => Array.from(t.dataSync()))
            })
          }),
        )
        const context = `[${batch}, ${height}, ${width}, ${cin}] to ${cout}, stride ${stride}, on ${variant}`
        expect(strict, context).toEqual(exact)
        // At stride 2 Winograd's sums of whole numbers are exact too.
        if (stride === 1) expect(fp32[0], context).not.toEqual(exact[0])
        if (stride === 1) expect(fp32[1], context).not.toEqual(exact[1])
      }
    })
  })
})
