import { noGrad } from '../autograd/graph.ts'
import type { Dataset } from '../data/dataset.ts'
import { imageBatch } from '../ops/training.ts'
import { Generator } from '../random/generator.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { JemModel } from './model.ts'
import { inMode } from './sampler.ts'

export interface PredictOptions {
  /** Standard deviation of the noise added to the images; the released code judges under its training noise. */
  sigma: number
  seed?: number
  batch?: number
  /** Images to judge, by index; default: all. */
  indices?: Int32Array
  /** Record what `judge` computes, so that it can take gradients to the images; those of parameters stay off. */
  gradients?: boolean
  /** Stops between batches; the promise then rejects with the signal's reason. */
  signal?: AbortSignal
  onProgress?: (done: number) => void
}

/**
 * Calls `judge` on the images, batch by batch, in eval mode: images f32 [batch, height, width, channels] in [-1, 1]
 * plus noise. `judge` gives tensors of [batch, …]; their elements come back joined, in order. The noise of an image
 * depends on the seed and the image's place only.
 */
export async function predict<K extends string>(
  model: JemModel,
  data: Dataset,
  judge: (images: Tensor) => Record<K, Tensor>,
  { sigma, seed = 0, batch = 100, indices, gradients = false, signal, onProgress }: PredictOptions,
): Promise<Record<K, Float32Array>> {
  const device = model.parameters()[0].device
  const order = indices ?? Int32Array.from({ length: data.count }, (_, i) => i)
  const generator = new Generator(seed, 'evaluation')
  const pixels = data.height * data.width * data.channels
  const parts: Record<K, Float32Array>[] = []
  for (let start = 0; start < order.length; start += batch) {
    signal?.throwIfAborted()
    const picked = order.slice(start, start + batch)
    const bytes = new Uint8Array(picked.length * pixels)
    for (const [i, image] of picked.entries())
      bytes.set(data.images.subarray(image * pixels, (image + 1) * pixels), i * pixels)
    const results = scope(() => {
      const images = tensor(bytes, { shape: [picked.length, data.height, data.width, data.channels], device })
      const index = tensor(
        picked.map((_, i) => i),
        { device },
      )
      const x = imageBatch(images, index, generator, { padding: 0, flip: false, noiseStd: sigma })
      return inMode(model, 'eval', () => (gradients ? model.frozen(() => judge(x)) : noGrad(() => judge(x))))
    })
    const part = {} as Record<K, Float32Array>
    for (const name of Object.keys(results) as K[]) {
      part[name] = (await results[name].data()) as Float32Array
      results[name].dispose()
    }
    parts.push(part)
    onProgress?.(Math.min(order.length, start + batch))
  }
  const joined = {} as Record<K, Float32Array>
  for (const name of Object.keys(parts[0] ?? {}) as K[]) joined[name] = join(parts.map((part) => part[name]))
  return joined
}

function join(parts: Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((n, part) => n + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
