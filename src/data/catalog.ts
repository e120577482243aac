import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError, DataError, nearestName } from '../errors.ts'
import type { CifarFormat } from './cifar.ts'
import { CIFAR10_CLASSES, CIFAR100_CLASSES, FASHION_MNIST_CLASSES, numberedClasses } from './class-names.ts'
import { type ConvertOptions, convertImages } from './convert.ts'
import type { Dataset, Split } from './dataset.ts'
import { readIdxDataset } from './idx.ts'
import { cifarFiles, idxImages, isFolder, nameOfPath, readCifarAt, readDatasetAt, readIdxAt } from './locate.ts'

type Entry = {
  /** The folder that the official archive unpacks to, or the usual name of it. */
  folder: string
  classNames: string[]
  /** Records are CIFAR binary ones; without it, the files are IDX. */
  cifar?: CifarFormat
  /** Bundled files, by split: `data/<stem>-images.idx.gz` and `-labels.idx.gz`. */
  bundled?: Partial<Record<Split, string>>
  /** Where the official files are to be had. */
  origin: string
}

const CATALOG: Record<string, Entry> = {
  mnist: {
    folder: 'mnist',
    classNames: numberedClasses(10),
    bundled: { train: 'mnist-train-10000', test: 'mnist-test-2000' },
    origin: 'the four MNIST IDX files',
  },
  'fashion-mnist': {
    folder: 'fashion-mnist',
    classNames: FASHION_MNIST_CLASSES,
    bundled: { test: 'fashion-mnist-test-2000' },
    origin: 'the four IDX files of https://github.com/zalandoresearch/fashion-mnist',
  },
  cifar10: {
    folder: 'cifar-10-batches-bin',
    classNames: CIFAR10_CLASSES,
    cifar: 'cifar10',
    origin: 'the "binary version" of https://www.cs.toronto.edu/~kriz/cifar.html, unpacked',
  },
  cifar100: {
    folder: 'cifar-100-binary',
    classNames: CIFAR100_CLASSES,
    cifar: 'cifar100',
    origin: 'the "binary version" of https://www.cs.toronto.edu/~kriz/cifar.html, unpacked',
  },
  svhn: {
    folder: 'svhn',
    classNames: numberedClasses(10),
    cifar: 'cifar10',
    origin:
      'the cropped digits of http://ufldl.stanford.edu/housenumbers as CIFAR-10 binary records, digit 0 as label 0',
  },
}

/** The names that `loadDataset` knows. */
export const DATASET_NAMES: readonly string[] = Object.keys(CATALOG)

export type LoadOptions = {
  /** Default 'train'. For a path to one file it only says what to call the data. */
  split?: Split
  /** Where a named data set's official files are: their folder or the folder that contains it. Beside it, the
   *  environment variable LANGEVIN_DATA names a folder that holds such folders. */
  directory?: string
  /** At most this many records, the first ones. */
  limit?: number
} & ConvertOptions

/** Loads a data set by name or by path.
 *
 *  Names: `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `svhn`. The files come from `directory`, or from
 *  $LANGEVIN_DATA/<mnist, fashion-mnist, cifar-10-batches-bin, cifar-100-binary, svhn>, or from the subsets in this
 *  package (mnist: 10,000 train and 2,000 test images; fashion-mnist: 2,000 test images).
 *
 *  Paths: an IDX images file with its labels beside it, a folder of MNIST-named IDX files, a CIFAR-10 or CIFAR-100
 *  binary file or folder. `<name>:<path>`, as in `cifar100:some.bin`, says how a path is to be read.
 *
 *  Images are as they are on the disk unless `resize` or `channels` ask for a conversion.
 *
 *  Throws ConfigError (unknown name, split, limit or conversion), DataError (missing or corrupt files). */
export function loadDataset(nameOrPath: string, { resize, channels, ...options }: LoadOptions = {}): Dataset {
  return convertImages(readDataset(nameOrPath, options), { resize, channels })
}

function readDataset(nameOrPath: string, options: LoadOptions): Dataset {
  const { split = 'train', directory, limit } = options
  if (split !== 'train' && split !== 'test') {
    throw new ConfigError(`loadDataset: split must be 'train' or 'test', got '${split}'`)
  }
  const colon = nameOrPath.indexOf(':')
  const prefix = nameOrPath.slice(0, Math.max(colon, 0))
  if (Object.hasOwn(CATALOG, prefix)) {
    return readEntry(prefix, nameOrPath.slice(colon + 1), split, limit)
  }
  if (Object.hasOwn(CATALOG, nameOrPath)) return loadNamed(nameOrPath, split, directory, limit)
  if (!existsSync(nameOrPath)) throw unknownDataset(nameOrPath)
  return readDatasetAt(nameOrPath, { name: nameOfPath(nameOrPath), split, limit })
}

function loadNamed(name: string, split: Split, directory: string | undefined, limit: number | undefined): Dataset {
  if (directory !== undefined) return readEntry(name, directory, split, limit)
  const { folder, classNames, bundled, origin } = CATALOG[name]
  const root = process.env.LANGEVIN_DATA
  const configured = root ? join(root, folder) : undefined
  if (configured && existsSync(configured) && hasSplit(name, configured, split)) {
    return readEntry(name, configured, split, limit)
  }
  const stem = bundled?.[split]
  if (stem) {
    const path = (part: string) => fileURLToPath(new URL(`../../data/${stem}-${part}.idx.gz`, import.meta.url))
    return readIdxDataset(path('images'), path('labels'), { name, split, limit, classNames })
  }
  const why = bundled
    ? `only its ${Object.keys(bundled).join(' and ')} split is part of this package`
    : 'it is not part of this package'
  const looked = configured ? `, and ${configured} has no file of it` : ''
  throw new DataError(`${name}: the ${split} split was not found: ${why}${looked}`, {
    hint: `get ${origin}, then give their folder as the directory, or put it at $LANGEVIN_DATA/${folder}`,
  })
}

/** Reads a named data set from a folder (its own, or one that contains it) or from a file. */
function readEntry(name: string, path: string, split: Split, limit: number | undefined): Dataset {
  const { folder, classNames, cifar } = CATALOG[name]
  const inside = join(path, folder)
  const place = isFolder(path) && !hasSplit(name, path, split) && existsSync(inside) ? inside : path
  const options = { name, split, limit, classNames }
  return cifar ? readCifarAt(place, options, cifar) : readIdxAt(place, options)
}

function hasSplit(name: string, folder: string, split: Split): boolean {
  return CATALOG[name].cifar ? cifarFiles(folder, split).length > 0 : idxImages(folder, split) !== undefined
}

function unknownDataset(nameOrPath: string): ConfigError | DataError {
  if (/[\\/]|\.(bin|gz)$|ubyte$/.test(nameOrPath)) {
    return new DataError(`${nameOrPath}: no such file or folder`, { hint: 'check the path' })
  }
  const near = nearestName(nameOrPath, DATASET_NAMES)
  return new ConfigError(
    `unknown data set '${nameOrPath}'${near ? `: did you mean '${near}'?` : ''}; known are ${DATASET_NAMES.join(', ')}`,
    { hint: 'or give the path of an IDX or CIFAR binary file or folder' },
  )
}
