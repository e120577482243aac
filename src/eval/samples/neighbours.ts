import type { Dataset } from '../../data/dataset.ts'
import { DataError } from '../../errors.ts'
import type { Device } from '../../native/contract.ts'
import { sub } from '../../ops/arithmetic.ts'
import { matmul } from '../../ops/matmul.ts'
import { withPrecision } from '../../ops/precision.ts'
import { argmax, max, sum } from '../../ops/reduce.ts'
import { transpose } from '../../ops/shape.ts'
import { affine, square } from '../../ops/unary.ts'
import { tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Images } from '../pictures.ts'

export interface NeighbourOptions {
  device?: Device
  /** Images of the set that are compared at once; default 2000. */
  batch?: number
  signal?: AbortSignal
  /** Told how many images of the set have been compared. */
  onProgress?: (done: number) => void
}

export interface Neighbours {
  /** The place in the set of each image's nearest one. */
  places: Int32Array
  /** How far it is in L2, both as images in [0, 1] (the set's bytes over 255). */
  distances: Float64Array
}

/**
 * The nearest image of a set for each of `images` in L2: where samples are nearer to the training images than held-out
 * images are, the model remembers. ‖a − b‖² = ‖a‖² − 2·(a·b − ‖b‖²/2), so that the nearest b has the largest a·b − ‖b‖²/2,
 * which is one product for all pairs; the distances themselves are computed in float64. Throws DataError where sizes
 * differ or the set is empty.
 */
export async function nearestImages(
  images: Images,
  data: Dataset,
  { device = 'cpu', batch = 2000, signal, onProgress }: NeighbourOptions = {},
): Promise<Neighbours> {
  const size = data.height * data.width * data.channels
  if (images.pixels.length !== images.count * size) {
    throw new DataError(
      `nearestImages: images must be ${data.height}×${data.width}×${data.channels}, as those of ${data.name}`,
    )
  }
  if (data.count === 0) throw new DataError(`nearestImages: ${data.name} has no images`)
  const places = new Int32Array(images.count)
  const best = new Float64Array(images.count).fill(Number.NEGATIVE_INFINITY)
  using queries = keep(tensor(images.pixels, { shape: [images.count, size], device }))
  for (let start = 0; start < data.count; start += batch) {
    signal?.throwIfAborted()
    const rows = Math.min(batch, data.count - start)
    const { nearness, nearest } = scope(() => {
      const others = tensor(valuesOf(data, start, rows), { shape: [rows, size], device })
      const half = affine(sum(square(others), { axes: 1 }), 0.5, 0)
      // The sums are as large as the number of pixels, the differences between neighbours small: full f32.
      const all = withPrecision('fp32', () => sub(matmul(queries, transpose(others)), half))
      return { nearness: max(all, { axis: 1 }), nearest: argmax(all, 1) }
    })
    using value = keep(nearness)
    using index = keep(nearest)
    const [values, indices] = await Promise.all([value.data(), index.data()])
    for (let i = 0; i < images.count; i++) {
      if (!(values[i] > best[i])) continue
      best[i] = values[i]
      places[i] = start + indices[i]
    }
    onProgress?.(start + rows)
  }
  return { places, distances: distancesTo(images, data, places) }
}

/** Images of the set in [-1, 1]. */
function valuesOf(data: Dataset, start: number, count: number): Float32Array {
  const size = data.height * data.width * data.channels
  return Float32Array.from(data.images.subarray(start * size, (start + count) * size), (byte) => byte / 127.5 - 1)
}

function distancesTo({ count, pixels }: Images, data: Dataset, places: Int32Array): Float64Array {
  const size = pixels.length / count
  return Float64Array.from({ length: count }, (_, i) => {
    let squares = 0
    for (let at = 0; at < size; at++) {
      squares += ((pixels[i * size + at] + 1) / 2 - data.images[places[i] * size + at] / 255) ** 2
    }
    return Math.sqrt(squares)
  })
}
