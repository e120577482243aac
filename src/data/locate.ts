import { readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { DataError } from '../errors.ts'
import { fileError } from '../io/file-error.ts'
import { type CifarFormat, cifarClassNames, detectCifarFormat, readCifar } from './cifar.ts'
import { numberedClasses } from './class-names.ts'
import type { Dataset, Split } from './dataset.ts'
import { labelsPathFor, readIdxDataset, readIdxLabels } from './idx.ts'
import { hasImageSplit, type ImageFolderOptions, isImageFolder, readImageFolder } from './image-folder.ts'
import { readSvhn } from './svhn.ts'

export type ReadOptions = ImageFolderOptions & { classNames?: string[] }

/** Reads the data set at a path, of whatever kind: an IDX images file (its labels beside it), a CIFAR binary file, a file
 *  of SVHN's cropped digits, or a folder of these or of folders of PNG files. Throws DataError. */
export function readDatasetAt(path: string, options: ReadOptions): Dataset {
  if (!isFolder(path)) {
    if (path.endsWith('.mat')) return readSvhn(path, options)
    return path.endsWith('.bin') ? readCifarAt(path, options) : readIdxAt(path, options)
  }
  const any = (has: (split: Split) => boolean) => has('train') || has('test')
  if (any((split) => idxImages(path, split) !== undefined)) return readIdxAt(path, options)
  if (any((split) => svhnFile(path, split) !== undefined)) return readSvhnAt(path, options)
  if (any((split) => cifarFiles(path, split).length > 0)) return readCifarAt(path, options)
  if (isImageFolder(path)) return readImageFolder(path, options)
  throw new DataError(`${path}: no data set found in this folder`, {
    hint: `expected ${IDX_FILES}; ${CIFAR_FILES}; ${SVHN_FILES}; or a folder of PNG files for each class`,
  })
}

/** Whether the data set at a path has a test part beside the training part; a single file, or one set of class folders,
 *  has not. Throws DataError when nothing is there. */
export function hasTestFiles(path: string): boolean {
  if (!isFolder(path)) return false
  return (
    idxImages(path, 'test') !== undefined ||
    cifarFiles(path, 'test').length > 0 ||
    svhnFile(path, 'test') !== undefined ||
    hasImageSplit(path, 'test')
  )
}

const IDX_FILES = 'train-images-idx3-ubyte[.gz] and t10k-images-idx3-ubyte[.gz] with their labels'
const CIFAR_FILES = 'data_batch_*.bin and test_batch.bin, or train*.bin and test*.bin'
const SVHN_FILES = 'train_32x32.mat and test_32x32.mat'

/** Reads an IDX images file, or the split's pair in a folder with MNIST's file names. Throws DataError. */
export function readIdxAt(path: string, options: ReadOptions): Dataset {
  if (!isFolder(path)) return readIdxDataset(path, labelsPathFor(path), options)
  const images = idxImages(path, options.split)
  if (!images) throw missingSplit(path, options.split, IDX_FILES)
  const classNames = options.classNames ?? classesOfBothSplits(path)
  return readIdxDataset(images, labelsPathFor(images), { ...options, classNames })
}

/** Reads one CIFAR binary file, or the split's files in a folder. Without `format`, it is told by the record size and
 *  the labels. Throws DataError. */
export function readCifarAt(path: string, options: ReadOptions, format?: CifarFormat): Dataset {
  const files = isFolder(path) ? cifarFiles(path, options.split) : [path]
  if (files.length === 0) throw missingSplit(path, options.split, CIFAR_FILES)
  const known = format ?? detectCifarFormat(files)
  return readCifar(files, known, { ...options, classNames: options.classNames ?? cifarClassNames(files[0], known) })
}

/** Reads a file of SVHN's cropped digits, or the split's in a folder: the official file, or CIFAR-10 binary records with
 *  digit 0 as label 0. Throws DataError. */
export function readSvhnAt(path: string, options: ReadOptions): Dataset {
  if (!isFolder(path)) return path.endsWith('.mat') ? readSvhn(path, options) : readCifarAt(path, options, 'cifar10')
  const file = svhnFile(path, options.split)
  if (file) return readSvhn(file, options)
  if (cifarFiles(path, options.split).length > 0) return readCifarAt(path, options, 'cifar10')
  throw missingSplit(path, options.split, SVHN_FILES)
}

/** The images file of a split in a folder with MNIST's file names; undefined when there is none. */
export function idxImages(folder: string, split: Split): string | undefined {
  const pattern = split === 'train' ? /^train-images[-.]idx[34]-ubyte(\.gz)?$/ : /^t10k-images[-.]idx[34]-ubyte(\.gz)?$/
  return filesMatching(folder, pattern)[0]
}

/** The binary files of a split in a folder: CIFAR-10's names, or else any train*.bin or test*.bin. */
export function cifarFiles(folder: string, split: Split): string[] {
  const official = filesMatching(folder, split === 'train' ? /^data_batch_.*\.bin$/ : /^test_batch.*\.bin$/)
  return official.length > 0 ? official : filesMatching(folder, split === 'train' ? /^train.*\.bin$/ : /^test.*\.bin$/)
}

/** SVHN's file of cropped digits of a split in a folder; undefined when there is none. */
export function svhnFile(folder: string, split: Split): string | undefined {
  return filesMatching(folder, split === 'train' ? /^train_32x32\.mat$/ : /^test_32x32\.mat$/)[0]
}

/** Throws DataError when nothing is there. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (error) {
    throw fileError('read', path, error)
  }
}

/** The name of a data set that is known only by its path. */
export function nameOfPath(path: string): string {
  return basename(path).replace(/(\.bin|\.gz|\.mat)+$/, '')
}

function filesMatching(folder: string, pattern: RegExp): string[] {
  try {
    const names = readdirSync(folder).filter((name) => pattern.test(name))
    return names
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true })) // data_batch_10 after data_batch_2
      .map((name) => join(folder, name))
  } catch (error) {
    throw fileError('read', folder, error)
  }
}

/** A split that lacks the last class must still have as many classes as the other. */
function classesOfBothSplits(folder: string): string[] {
  let largest = 0
  for (const split of ['train', 'test'] as const) {
    const images = idxImages(folder, split)
    if (images) for (const label of readIdxLabels(labelsPathFor(images))) largest = Math.max(largest, label)
  }
  return numberedClasses(largest + 1)
}

function missingSplit(folder: string, split: Split, expected: string): DataError {
  return new DataError(`${folder}: no file of the ${split} split found`, { hint: `expected ${expected}` })
}
