/** How products (conv2d, matmul, linear) compute: a choice that holds for all ops called inside `withPrecision`. */
import { record } from '../autograd/graph.ts'
import { ConfigError } from '../errors.ts'
import type { NativeOps } from '../native/contract.ts'
import { Storage, Tensor } from '../tensor/tensor.ts'
import { cast } from './cast.ts'

/**
 * Of products of f32 tensors:
 * - `fp32`: f32 throughout. The CPU device computes 3×3 convolutions by Winograd's minimal filtering where that is less
 *   work: about 2.5 times the rounding of the direct sum (docs/architecture.md, Precision).
 * - `strict`: f32, each convolution summed as it is defined. On a GPU: fp32, which is strict there.
 * - `tf32`: operands rounded to TF32 (10 bits of mantissa, relative error 2⁻¹¹), sums in f32. On the CPU device: fp32.
 * - `bf16`: operands rounded to bf16 (7 bits, 2⁻⁸), sums in f32, results bf16: activations take half the memory. On a CPU
 *   with AVX-512 BF16, 3×3 convolutions also round what Winograd's filtering multiplies: about 1.2 % of a result's norm in
 *   all, for 1.3 to 2 times the speed of fp32 (docs/kernels.md).
 *   Parameters stay f32; a copy in bf16 is renewed when they have changed. Gradients of parameters are f32, of bf16
 *   precision.
 */
export const precisions = ['fp32', 'strict', 'tf32', 'bf16'] as const
export type Precision = (typeof precisions)[number]

let current: Precision = 'fp32'

/** Runs `fn` with products in this precision, and so the gradients of what it computes. Default: fp32. `fn` must be
 *  synchronous. Throws ConfigError. */
export function withPrecision<R>(precision: Precision, fn: () => R): R {
  if (!precisions.includes(precision)) {
    throw new ConfigError(`precision must be ${precisions.join(' or ')}, got ${precision}`)
  }
  const before = current
  current = precision
  try {
    return fn()
  } finally {
    current = before
  }
}

export function currentPrecision(): Precision {
  return current
}

/** @internal The ops of x's device, which multiplies f32 in this precision from here on. */
export function multiplying(x: Tensor, precision: Precision): NativeOps {
  const { device } = x.storage
  device.multiplyIn(precision === 'bf16' ? 'fp32' : precision)
  return device.ops
}

/** @internal fn of the tensors, those of f32 rounded to bf16 where that is the precision. */
export function rounded<R>(tensors: readonly (Tensor | undefined)[], fn: (...tensors: (Tensor | undefined)[]) => R): R {
  if (current !== 'bf16') return fn(...tensors)
  const made: Tensor[] = []
  try {
    return fn(
      ...tensors.map((x) => {
        if (x?.dtype !== 'f32') return x
        const copy = x.storage.keepsBf16 ? keptBf16(x) : cast(x, 'bf16')
        made.push(copy)
        return copy
      }),
    )
  } finally {
    for (const copy of made) copy.dispose() // the graph has its own references
  }
}

/** The parameter's copy in bf16, renewed if it has changed since. */
function keptBf16(x: Tensor): Tensor {
  const { storage } = x
  const { device } = storage
  storage.bf16 ??= { copy: new Storage(device, 'bf16', storage.count), version: -1, capture: 0 }
  const kept = storage.bf16
  // While calls are captured nothing runs: the graph makes the copy at each replay, and afterwards it is stale.
  const fresh = device.capture > 0 ? kept.capture === device.capture : kept.version === storage.version
  if (!fresh) {
    device.ops.convert(x.handle, kept.copy.handle, storage.count)
    kept.version = device.capture > 0 ? -1 : storage.version
    kept.capture = device.capture
  }
  return record('cast', new Tensor(kept.copy.retain(), x.shape), [x], [], (dy) => [cast(dy, 'f32')])
}
