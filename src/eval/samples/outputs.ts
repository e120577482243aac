import { noGrad } from '../../autograd/graph.ts'
import type { JemModel } from '../../jem/model.ts'
import { inMode } from '../../jem/sampler.ts'
import { tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Images } from '../pictures.ts'
import type { Outputs } from '../scores.ts'

export interface OutputsOptions {
  /** Images in one pass; default 100. */
  batch?: number
  signal?: AbortSignal
  onProgress?: (done: number) => void
}

/** What the model says of images as they are, in eval mode: samples, which a data set of bytes cannot hold. Numbers come
 *  as the model gives them, NaN included. */
export async function outputsOf(
  model: JemModel,
  images: Images,
  { batch = 100, signal, onProgress }: OutputsOptions = {},
): Promise<Outputs> {
  const { count, height, width, channels, pixels } = images
  const { classes } = model.options
  const device = model.parameters()[0].device
  const each = height * width * channels
  const logits = new Float32Array(count * classes)
  const f = new Float32Array(count)
  for (let start = 0; start < count; start += batch) {
    signal?.throwIfAborted()
    const end = Math.min(count, start + batch)
    const part = pixels.subarray(start * each, end * each)
    const output = scope(() => {
      const x = tensor(part, { shape: [end - start, height, width, channels], device })
      return inMode(model, 'eval', () => noGrad(() => model.forward(x)))
    })
    const [partLogits, partF] = [keep(output.logits), keep(output.f)]
    try {
      logits.set((await partLogits.data()) as Float32Array, start * classes)
      f.set((await partF.data()) as Float32Array, start)
    } finally {
      partLogits.dispose()
      partF.dispose()
    }
    onProgress?.(end)
  }
  return { logits, f }
}
