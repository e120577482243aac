// 3×3 convolutions in bf16 on the CPU: by Winograd in f32, and where there is AVX-512 BF16 with transformed tiles and
// weights in bf16 (native/cpu/kernels/convolution_factors.h).
import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { add, mul } from '../../src/ops/arithmetic.ts'
import { cast } from '../../src/ops/cast.ts'
import { conv2d, conv2dBoth } from '../../src/ops/conv2d.ts'
import { type Precision, withPrecision } from '../../src/ops/precision.ts'
import { normal } from '../../src/ops/random.ts'
import { sum } from '../../src/ops/reduce.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
import { fromBf16, toBf16 } from '../../src/tensor/dtype.ts'
import { instructionSets } from '../../src/tensor/instruction-set.ts'
import { scope } from '../../src/tensor/scope.ts'
import { forEachVariant, roundsTiles, withThreads } from './drive.ts'

/** batch, height, width, cin, cout, stride: layers of the reference nets; odd extents and channels; more weights than
 *  pixels; sums over more channels than are added at once; and what the direct kernels do: first layers, stride 3. */
const shapes: readonly (readonly [number, number, number, number, number, number])[] = [
  [3, 28, 28, 16, 16, 1],
  [2, 14, 14, 32, 64, 1],
  [9, 8, 8, 96, 64, 1],
  [2, 8, 8, 640, 64, 1],
  [1, 4, 4, 32, 336, 1],
  [2, 9, 13, 24, 40, 1],
  [1, 30, 31, 17, 33, 1],
  [2, 14, 14, 64, 64, 2],
  [1, 16, 16, 128, 320, 2],
  [3, 23, 27, 79, 72, 2],
  [2, 9, 9, 3, 16, 1],
  [2, 10, 11, 33, 16, 3],
]

type Kind = 'f64' | 'bf16'

/** Numbers that bf16 holds. */
function draw(shape: readonly number[], stream: number, dtype: Kind) {
  const host = scope(() => normal([...shape], new Generator(7, 'user', stream)).dataSync())
  return tensor(
    Float64Array.from(host, (v) => fromBf16(toBf16(v))),
    { shape: [...shape], dtype },
  )
}

/** The names of what `layer` gives. */
const parts = ['y', 'pre', 'dx', 'dresidual'] as const

/** A convolution with bias, residual and LeakyReLU, and the gradient of another to its input, which is a LeakyReLU's
 *  output whose value before it has a gradient of its own: every epilogue, none with a kink that rounding could tip
 *  over. dresidual tells the sign bits of y. */
function layer(shape: (typeof shapes)[number], dtype: Kind, precision: Precision): ArrayLike<number>[] {
  const [batch, height, width, cin, cout, stride] = shape
  const [outHeight, outWidth] = [Math.ceil(height / stride), Math.ceil(width / stride)]
  return scope(() => {
    const x = draw([batch, height, width, cin], 1, dtype)
    const weight = draw([3, 3, cin, cout], 2, dtype)
    const bias = draw([cout], 3, dtype)
    const residual = draw([batch, outHeight, outWidth, cout], 4, dtype)
    const [dz, dpre] = [draw(residual.shape, 5, dtype), draw(x.shape, 6, dtype)]
    const one = tensor(
      Float64Array.from({ length: cin * cin }, (_, i) => (i % (cin + 1) === 0 ? 1 : 0)),
      { shape: [1, 1, cin, cin], dtype },
    )
    return withPrecision(precision, () => {
      x.requiresGrad = true
      residual.requiresGrad = true
      const options = { stride, padding: 1 }
      const [y, pre] = conv2dBoth(x.detach(), weight, { bias, residual, ...options, leakySlope: 0.25 })
      const [dresidual] = grad(y, [residual], dz)
      const [a, before] = conv2dBoth(x, one, { leakySlope: 0.25 })
      const z = conv2d(a, weight, options)
      const [dx] = grad(add(sum(mul(z, dz)), sum(mul(before, dpre))), [x])
      return [y, pre, dx, dresidual].map((t) => t.dataSync())
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

const sameBits = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  a.length === b.length && Array.prototype.every.call(a, (v, i) => Object.is(v, b[i]))

describe('cpu: convolutions in bf16', () => {
  test.each(shapes)('of [%i, %i, %i, %i] to %i channels at stride %i are right to their bounds', (...shape) => {
    const exact = layer(shape, 'f64', 'fp32')
    for (const precision of ['bf16', 'strict'] as const) {
      forEachVariant('cpu', (variant) => {
        const got = layer(shape, 'bf16', precision)
        // Numbers are rounded once, as they are stored; tiles and weights before they are multiplied.
        const bound = precision === 'bf16' && roundsTiles(variant) ? 2 ** -6 : 2 ** -8.5
        for (const i of [0, 1, 2]) {
          expect(relative(got[i], exact[i]), `${parts[i]}, ${precision} on ${variant}`).toBeLessThan(bound)
        }
        // dz where the sign bit is set, a quarter of it elsewhere: the bits are those of the value before LeakyReLU.
        const [, pre, , dresidual] = got
        const dz = scope(() => cast(draw([dresidual.length], 5, 'f64'), 'f64').dataSync())
        const wrong = Array.prototype.filter.call(dresidual, (v, i) => v !== (pre[i] > 0 ? dz[i] : dz[i] / 4))
        expect(wrong, `sign bits, ${precision} on ${variant}`).toEqual([])
      })
    }
  })

  test('are wrong by at most 2⁻⁶ of the sum of the magnitudes of what is added, element by element', () => {
    for (const [batch, height, width, cin, cout, stride] of shapes) {
      scope(() => {
        const [x, w] = [draw([batch, height, width, cin], 1, 'f64'), draw([3, 3, cin, cout], 2, 'f64')]
        const of = (dtype: Kind, magnitudes: boolean) => {
          const take = (t: typeof x) =>
            tensor(t.dataSync().map(magnitudes ? Math.abs : Number), { shape: t.shape, dtype })
          return withPrecision('bf16', () => conv2d(take(x), take(w), { stride, padding: 1 })).dataSync()
        }
        const [exact, size] = [of('f64', false), of('f64', true)]
        forEachVariant('cpu', (variant) => {
          const got = of('bf16', false)
          let worst = 0
          for (let i = 0; i < exact.length; i++) worst = Math.max(worst, Math.abs(got[i] - exact[i]) / size[i])
          expect(
            worst,
            `[${batch}, ${height}, ${width}, ${cin}] to ${cout}, stride ${stride}, ${variant}`,
          ).toBeLessThan(2 ** -6)
        })
      })
    }
  })

  test('use AVX-512 BF16 where it is there: then, and only then, more is rounded than what is stored', () => {
    const exact = layer(shapes[0], 'f64', 'fp32')
    forEachVariant('cpu', (variant) => {
      const error = relative(layer(shapes[0], 'bf16', 'bf16')[1], exact[1])
      expect(error > 2 ** -8, variant).toBe(roundsTiles(variant))
    })
    expect(instructionSets()).toContain('base')
  })

  test('give the same bits on any number of threads', () => {
    forEachVariant('cpu', (variant) => {
      for (const shape of shapes) {
        const once = withThreads(1, () => layer(shape, 'bf16', 'bf16'))
        for (const threads of [2, 3]) {
          const again = withThreads(threads, () => layer(shape, 'bf16', 'bf16'))
          again.forEach((values, i) => {
            expect(sameBits(values, once[i]), `${shape}, ${parts[i]} on ${variant}, ${threads} threads`).toBe(true)
          })
        }
      }
    })
  })

  test('of an image do not depend on the other images of the batch', () => {
    forEachVariant('cpu', (variant) => {
      for (const [batch, height, width, cin, cout, stride] of shapes) {
        scope(() => {
          const x = draw([batch, height, width, cin], 1, 'bf16')
          const w = draw([3, 3, cin, cout], 2, 'bf16')
          const values = x.dataSync().slice(0, height * width * cin)
          const alone = tensor(Float64Array.from(values), { shape: [1, height, width, cin], dtype: 'bf16' })
          const [together, single] = [x, alone].map((images) => conv2d(images, w, { stride, padding: 1 }).dataSync())
          const first = together.slice(0, single.length)
          expect(sameBits(first, single), `${[batch, height, width, cin, cout, stride]} on ${variant}`).toBe(true)
        })
      }
    })
  })
})
