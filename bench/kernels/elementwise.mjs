// The kernels that are bound by memory: calls, and the bytes that they cannot avoid (each input read once, each output
// written once). Philox and Box–Muller cost arithmetic, not bytes.
import { sizeOf } from './device.mjs'

/** [kernel, dtype, bytes, call] of every case on tensors of n elements; its tensors are freed when the next dtype's are asked
 *  for. */
export function* elementwiseCases(kernels, n, dtypes = ['f32', 'bf16']) {
  const { ops } = kernels
  for (const dtype of dtypes) {
    const size = sizeOf(dtype)
    const [x, y, g] = [kernels.activations(n, dtype), kernels.normal(n, dtype), kernels.normal(n, dtype)]
    const signs = kernels.empty(n / 8, 'u8')
    const channels = 256
    const rows = n / channels
    const [scale, column] = [kernels.normal(channels, dtype), kernels.empty(channels, dtype)]
    const one = kernels.empty(1, dtype)
    const kind = (number) => [number, x, y, n, 1, 0]
    yield ['fill', dtype, size * n, () => ops.fill(y, n, 1)]
    yield ['unary: square', dtype, 2 * size * n, () => ops.unary(...kind(6))]
    yield ['unary: tanh', dtype, 2 * size * n, () => ops.unary(...kind(12))]
    yield ['accumulate', dtype, 3 * size * n, () => ops.accumulate(x, y, n)]
    yield [
      'binary: add a channel vector',
      dtype,
      2 * size * n,
      () => ops.binary(0, x, scale, y, 1, 1, 1, 1, rows, channels, 0, 0, 0, 0, channels, 1, 0, 0, 0, 0, 0, 1),
    ]
    yield ['leakyRelu with signs', dtype, (2 * size + 1 / 8) * n, () => ops.leakyRelu(x, y, signs, n, 0.2)]
    yield ['leakyReluBackward', dtype, (2 * size + 1 / 8) * n, () => ops.leakyReluBackward(g, signs, 0, y, n, 0.2)]
    yield [
      'transpose of 2 axes',
      dtype,
      2 * size * n,
      () => ops.stridedCopy(x, y, 1, 1, 1, 1, channels, rows, 0, 0, 0, 0, 1, channels, 0, 0, 0, 0, 0, rows, 1, 0),
    ]
    yield ['reduce: sum of all', dtype, size * n, () => ops.reduce(0, x, one, 1, n, 1)]
    yield ['reduce: sum of each column', dtype, size * n, () => ops.reduce(0, x, column, 1, rows, channels)]
    yield ['channelAffine', dtype, 2 * size * n, () => ops.channelAffine(x, scale, column, y, rows, channels)]
    const images = n / (64 * 256)
    const pooled = kernels.empty(n / 64, dtype)
    yield ['global pooling of 8×8', dtype, size * n, () => ops.avgPool2d(x, pooled, images, 8, 8, 256, 8, 8)]
    yield ['its gradient', dtype, size * n, () => ops.avgPool2dBackward(pooled, y, images, 8, 8, 256, 8, 8)]
    yield ['randomNormal', dtype, size * n, () => ops.randomNormal(y, n, 0, 1, 1, 0, 0, 0)]
    yield [
      'sgldUpdate',
      dtype,
      3 * size * n,
      () => ops.sgldUpdate(y, g, n, 1e-3, 0.01, Number.POSITIVE_INFINITY, -1e30, 1e30, 1, 0, 0, 0),
    ]
    if (dtype === 'f32') {
      const half = kernels.empty(n, 'bf16')
      yield ['convert f32 to bf16', dtype, 6 * n, () => ops.convert(x, half, n)]
      kernels.free(half)
      const [m, v] = [kernels.empty(n, 'f32'), kernels.empty(n, 'f32')]
      ops.fill(m, n, 0)
      ops.fill(v, n, 0)
      yield ['adam', dtype, 28 * n, () => ops.adam([y], [g], [m], [v], 0, 1e-4, 0.9, 0.999, 1e-8, 0, 10)]
      yield ['movingAverage', dtype, 12 * n, () => ops.movingAverage([m], [x], 0.99)]
      kernels.free(m, v)
    }
    kernels.free(x, y, g, signs, scale, column, one, pooled)
  }
}
