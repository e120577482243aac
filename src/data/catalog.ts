import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError, DataError, nearestName } from '../errors.ts'
import { dataFolder } from './cache.ts'
import type { CifarFormat } from './cifar.ts'
import { CIFAR10_CLASSES, CIFAR100_CLASSES, FASHION_MNIST_CLASSES, numberedClasses } from './class-names.ts'
import { type ConvertOptions, convertImages } from './convert.ts'
import type { Dataset, Split } from './dataset.ts'
import { readIdxDataset } from './idx.ts'
import {
  cifarFiles,
  hasTestFiles,
  idxImages,
  isFolder,
  nameOfPath,
  type ReadOptions,
  readCifarAt,
  readDatasetAt,
  readIdxAt,
  readSvhnAt,
  svhnFile,
} from './locate.ts'
import { type DatasetName, SOURCES } from './sources.ts'

type Entry = {
  classNames: string[]
  read(path: string, options: ReadOptions): Dataset
  hasSplit(folder: string, split: Split): boolean
  /** Bundled files, by split: `data/<stem>-images.idx.gz` and `-labels.idx.gz`. */
  bundled?: Record<Split, string>
}

const idx = { read: readIdxAt, hasSplit: (folder: string, split: Split) => idxImages(folder, split) !== undefined }
const cifar = (format: CifarFormat) => ({
  read: (path: string, options: ReadOptions) => readCifarAt(path, options, format),
  hasSplit: (folder: string, split: Split) => cifarFiles(folder, split).length > 0,
})
const svhn = {
  read: readSvhnAt,
  hasSplit: (folder: string, split: Split) =>
    svhnFile(folder, split) !== undefined || cifarFiles(folder, split).length > 0,
}

const CATALOG: Record<DatasetName, Entry> = {
  mnist: {
    ...idx,
    classNames: numberedClasses(10),
    bundled: { train: 'mnist-train-10000', test: 'mnist-test-2000' },
  },
  'fashion-mnist': {
    ...idx,
    classNames: FASHION_MNIST_CLASSES,
    bundled: { train: 'fashion-mnist-train-5000', test: 'fashion-mnist-test-2000' },
  },
  cifar10: { ...cifar('cifar10'), classNames: CIFAR10_CLASSES },
  cifar100: { ...cifar('cifar100'), classNames: CIFAR100_CLASSES },
  svhn: { ...svhn, classNames: numberedClasses(10) },
}

/** The names that `loadDataset` knows. */
export const DATASET_NAMES: readonly DatasetName[] = Object.keys(CATALOG) as DatasetName[]

export function isDatasetName(name: string): name is DatasetName {
  return Object.hasOwn(CATALOG, name)
}

export type LoadOptions = ConvertOptions &
  Pick<ReadOptions, 'limit' | 'decodePng'> & {
    /** Default 'train'. For a path to one file, or to one set of folders of PNG files, it only says what to call the
     *  data. */
    split?: Split
    /** Where a named data set's official files are: their folder or the folder that contains it. Default: where
     *  `installDataset` puts them (see `dataFolder`), else the subset in this package. */
    directory?: string
  }

/** Loads a data set by name or by path.
 *
 *  Names: `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `svhn`. The files come from `directory`, or from where they
 *  are installed, `dataFolder()`/<mnist, fashion-mnist, cifar-10-batches-bin, cifar-100-binary, svhn>, or from the subsets
 *  in this package (mnist: 10,000 train and 2,000 test images; fashion-mnist: 5,000 and 2,000). `bundled:mnist` is the
 *  subset also where the official files are installed.
 *
 *  Paths: an IDX images file with its labels beside it, a folder of MNIST-named IDX files, a CIFAR-10 or CIFAR-100
 *  binary file or folder, SVHN's cropped digits (.mat) or their folder, a folder of PNG files by class (given
 *  `decodePng`). `<name>:<path>`, as in `cifar100:some.bin`, says how a path is to be read.
 *
 *  Images are as they are on the disk unless `resize` or `channels` ask for a conversion.
 *
 *  Throws ConfigError (unknown name, split, limit or conversion), DataError (missing or corrupt files). */
export function loadDataset(nameOrPath: string, options: LoadOptions = {}): Dataset {
  return convertImages(readDataset(nameOrPath, options), options)
}

function readDataset(nameOrPath: string, { split = 'train', directory, ...options }: LoadOptions): Dataset {
  if (split !== 'train' && split !== 'test') {
    throw new ConfigError(`loadDataset: split must be 'train' or 'test', got '${split}'`)
  }
  const { prefix, rest } = prefixed(nameOrPath)
  if (prefix === 'bundled') return readBundled(checkDatasetName(rest), { ...options, name: rest, split })
  if (isDatasetName(prefix)) return readEntry(prefix, rest, { ...options, name: prefix, split })
  if (isDatasetName(nameOrPath)) {
    const named = { ...options, name: nameOrPath, split }
    return directory === undefined ? loadNamed(nameOrPath, named) : readEntry(nameOrPath, directory, named)
  }
  if (!existsSync(nameOrPath)) throw unknownDataset(nameOrPath)
  return readDatasetAt(nameOrPath, { ...options, name: nameOfPath(nameOrPath), split })
}

function prefixed(nameOrPath: string): { prefix: string; rest: string } {
  const colon = nameOrPath.indexOf(':')
  return { prefix: nameOrPath.slice(0, Math.max(colon, 0)), rest: nameOrPath.slice(colon + 1) }
}

/** A name or path that means the same later and from any folder: a path is made absolute, and a bundled subset is named
 *  as such, so that a run trained on it keeps its data when the official files are installed. */
export function lastingSource(nameOrPath: string): string {
  if (isDatasetName(nameOrPath))
    return placeOf(nameOrPath, 'train') === 'bundled' ? `bundled:${nameOrPath}` : nameOrPath
  const { prefix, rest } = prefixed(nameOrPath)
  if (isDatasetName(prefix)) return `${prefix}:${resolve(rest)}`
  return existsSync(nameOrPath) ? resolve(nameOrPath) : nameOrPath
}

/** Whether a source of training data has a test part beside them: a single file, or one set of folders of PNG files, has
 *  none. Throws DataError when nothing is there. */
export function hasTestPart(nameOrPath: string): boolean {
  if (isDatasetName(nameOrPath)) return true
  const { prefix, rest } = prefixed(nameOrPath)
  return prefix === 'bundled' || hasTestFiles(isDatasetName(prefix) ? rest : nameOrPath)
}

/** The folder of a named data set's official files that `loadDataset` uses by default; it need not exist. */
export function installFolder(name: DatasetName): string {
  return join(dataFolder(), SOURCES[name].folder)
}

/** Where `loadDataset` takes a split of a named data set from. */
export function placeOf(name: DatasetName, split: Split): 'installed' | 'bundled' | 'nowhere' {
  const folder = installFolder(name)
  if (existsSync(folder) && CATALOG[name].hasSplit(folder, split)) return 'installed'
  return CATALOG[name].bundled === undefined ? 'nowhere' : 'bundled'
}

function loadNamed(name: DatasetName, options: ReadOptions): Dataset {
  return placeOf(name, options.split) === 'installed'
    ? readEntry(name, installFolder(name), options)
    : readBundled(name, options)
}

/** The subset in this package. Throws DataError where it has none. */
function readBundled(name: DatasetName, options: ReadOptions): Dataset {
  const { bundled, classNames } = CATALOG[name]
  if (bundled === undefined) {
    throw new DataError(
      `${name}: the ${options.split} split was not found: it is not part of this package, and ${installFolder(name)} ` +
        'has no file of it',
      { hint: `langevin data get ${name} installs it` },
    )
  }
  const path = (part: string) =>
    fileURLToPath(new URL(`../../data/${bundled[options.split]}-${part}.idx.gz`, import.meta.url))
  return readIdxDataset(path('images'), path('labels'), { ...options, classNames })
}

/** Reads a named data set from a folder (its own, or one that contains it) or from a file. */
function readEntry(name: DatasetName, path: string, options: ReadOptions): Dataset {
  const { classNames, read, hasSplit } = CATALOG[name]
  const inside = join(path, SOURCES[name].folder)
  const place = isFolder(path) && !hasSplit(path, options.split) && existsSync(inside) ? inside : path
  return read(place, { ...options, classNames })
}

/** Throws ConfigError unless it is the name of a data set. */
export function checkDatasetName(name: string): DatasetName {
  if (!isDatasetName(name)) throw unknownName(name)
  return name
}

function unknownDataset(nameOrPath: string): ConfigError | DataError {
  if (/[\\/]|\.(bin|gz|mat)$|ubyte$/.test(nameOrPath)) {
    return new DataError(`${nameOrPath}: no such file or folder`, { hint: 'check the path' })
  }
  return unknownName(nameOrPath, 'or give the path of an IDX, CIFAR or SVHN file or folder, or of PNG files by class')
}

function unknownName(name: string, hint?: string): ConfigError {
  const near = nearestName(name, DATASET_NAMES)
  return new ConfigError(
    `unknown data set '${name}'${near ? `: did you mean '${near}'?` : ''}; known are ${DATASET_NAMES.join(', ')}`,
    { hint },
  )
}
