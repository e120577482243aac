import type { Dataset } from '../../data/dataset.ts'
import { splitIndices } from '../../data/loader.ts'
import { chainStartOf } from '../../jem/chainStart.ts'
import type { JemConfig } from '../../jem/config.ts'
import type { LoadedRun } from '../../jem/loadRun.ts'
import type { Generator } from '../../random/generator.ts'
import { tensor } from '../../tensor/create.ts'
import { keep } from '../../tensor/scope.ts'
import { type Images, noiseImages } from '../pictures.ts'

/** Where fresh chains start, in words. */
export const startNames: Readonly<Record<JemConfig['chainStart'], string>> = {
  uniform: 'uniform noise',
  gaussian: 'a Gaussian fitted to the training images',
  'class-gaussians': 'Gaussians fitted to the training images of each class',
}

/**
 * Where fresh chains of a run start, as they did in training: U(-1, 1), or the Gaussians of its recipe, fitted to the
 * same training images. `training` is asked only for the latter. With `labels`, chain i starts from its class's Gaussian.
 */
export async function startingImages(
  { config, data, model }: LoadedRun,
  training: () => Dataset,
  count: number,
  generator: Generator,
  labels?: Int32Array,
): Promise<Images> {
  const { height, width, channels } = data
  if (config.chainStart === 'uniform') return noiseImages(count, data, generator)
  const set = training()
  const split = splitIndices(set.labels, set.classes, config.validationSize, config.labelsPerClass)
  const device = model.parameters()[0].device
  using images = keep(tensor(set.images, { shape: [set.count, height, width, channels], device }))
  const labelOf = labels && ((chain: number) => labels[chain])
  using x = keep(chainStartOf(config.chainStart, set, split, images).draw(count, generator, { labelOf }))
  return { pixels: (await x.data()) as Float32Array, count, height, width, channels }
}
