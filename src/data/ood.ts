import { existsSync } from 'node:fs'
import { ConfigError, DataError, nearestName } from '../errors.ts'
import { Generator } from '../random/generator.ts'
import { DATASET_NAMES, type LoadOptions, loadDataset } from './catalog.ts'
import { type Dataset, limitedCount, takeImages } from './dataset.ts'
import { DERIVED_NAMES, type DerivedName, derivedDataset } from './derived.ts'

export type OodOptions = Omit<LoadOptions, 'split'> & {
  /** Of the derived sets' random numbers. Default 0. */
  seed?: number
}

/** Streams of the purpose `evaluation` from here on, one for each derived set; the noise of scoring uses stream 0. */
const firstStream = 1000

/** Loads an out-of-distribution set to be compared with `inside`, the data that a model was made for: a derived set by
 *  name (see `derivedDataset`; made from `inside`), or the test split of what `loadDataset` finds. Its images have the
 *  size and channels of `inside`.
 *
 *  Throws DataError where they have not (converting them must be asked for, by `resize` and `channels`), and as
 *  `loadDataset` and `derivedDataset`. */
export function loadOod(nameOrPath: string, inside: Dataset, { seed = 0, ...options }: OodOptions = {}): Dataset {
  const derived = DERIVED_NAMES.indexOf(nameOrPath as DerivedName)
  if (derived >= 0) {
    const generator = new Generator(seed, 'evaluation', firstStream + derived)
    const set = derivedDataset(DERIVED_NAMES[derived], inside, generator)
    return takeImages(
      set,
      Int32Array.from({ length: limitedCount(set.count, options.limit) }, (_, i) => i),
    )
  }
  checkSpelling(nameOrPath)
  const set = loadDataset(nameOrPath, { ...options, split: 'test' })
  checkSameSize(set, inside)
  return set
}

/** Throws ConfigError where it looks like the name of a derived set; `loadDataset` knows of the others. */
function checkSpelling(nameOrPath: string): void {
  const near = nearestName(nameOrPath, [...DATASET_NAMES, ...DERIVED_NAMES])
  if (!DERIVED_NAMES.includes(near as DerivedName) || existsSync(nameOrPath)) return
  throw new ConfigError(`unknown out-of-distribution set '${nameOrPath}': did you mean '${near}'?`)
}

/** Throws DataError, with what to convert as the hint, unless the images of `set` are as large as those of `inside`. */
export function checkSameSize(
  set: Pick<Dataset, 'name' | 'height' | 'width' | 'channels'>,
  inside: Pick<Dataset, 'name' | 'height' | 'width' | 'channels'>,
): void {
  const { height, width, channels } = inside
  const sized = set.height === height && set.width === width
  if (sized && set.channels === channels) return
  const size = (data: typeof inside) => `${data.height}×${data.width}×${data.channels}`
  const flags = [sized ? '' : `--resize ${height}`, set.channels === channels ? '' : `--channels ${channels}`]
  throw new DataError(`${set.name}: images must be ${size(inside)}, as those of ${inside.name}, got ${size(set)}`, {
    hint:
      sized || height === width
        ? `convert them with ${flags.filter((flag) => flag !== '').join(' ')}; scores then tell the conversion, too`
        : 'choose a set of that size: images that are not square are not resized',
  })
}
