import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { dataFolder } from '../../src/data/cache.ts'
import { DATASET_NAMES, hasTestPart, lastingSource, loadDataset } from '../../src/data/catalog.ts'
import { CIFAR10_CLASSES, CIFAR100_CLASSES } from '../../src/data/class-names.ts'
import { ConfigError, DataError, type LangevinError } from '../../src/errors.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { cifar, writeIdxPair } from './make-files.ts'

afterEach(() => void vi.unstubAllEnvs())

function folder(...path: string[]): string {
  const made = join(...path)
  mkdirSync(made, { recursive: true })
  return made
}

function writeMnist(at: string, train: number[], test: number[]): string {
  writeIdxPair(join(at, 'train-images-idx3-ubyte.gz'), join(at, 'train-labels-idx1-ubyte.gz'), train, gzipSync)
  writeIdxPair(join(at, 't10k-images-idx3-ubyte'), join(at, 't10k-labels-idx1-ubyte'), test)
  return at
}

function writeCifar10(at: string): string {
  for (const n of [1, 2, 10]) writeFileSync(join(at, `data_batch_${n}.bin`), cifar([[n % 10]]))
  writeFileSync(join(at, 'test_batch.bin'), cifar([[7], [8]]))
  return at
}

function errorOf(action: () => unknown): LangevinError {
  try {
    action()
  } catch (error) {
    return error as LangevinError
  }
  throw new Error('expected an error')
}

const labels = (dataset: { labels: ArrayLike<number> }) => Array.from(dataset.labels)

describe('the data sets in the package load by name, without a download', () => {
  test.each([
    ['mnist', 'train', 10_000],
    ['mnist', 'test', 2_000],
    ['fashion-mnist', 'test', 2_000],
  ] as const)('%s, %s', (name, split, count) => {
    const dataset = loadDataset(name, { split })
    expect(dataset).toMatchObject({ name, split, count, height: 28, width: 28, channels: 1, classes: 10 })
    expect(dataset.images.length).toBe(count * 784)
    const perClass = new Array(10).fill(0)
    for (const label of dataset.labels) perClass[label]++
    expect(perClass).toEqual(new Array(10).fill(count / 10))
  })

  test('a limit takes the first', () => {
    expect(labels(loadDataset('mnist', { split: 'test', limit: 4 }))).toEqual([7, 2, 1, 0]) // MNIST's first test digits
  })

  test('a set that is not in the package says so, and what to do', () => {
    const error = errorOf(() => loadDataset('svhn', { split: 'train' }))
    expect(error).toBeInstanceOf(DataError)
    expect(error.message).toContain('the train split was not found: it is not part of this package')
    expect(error.message).toContain('/nonexistent/langevin/svhn has no file of it')
    expect(error.hint).toContain('langevin data get svhn')
  })
})

describe('the full data sets load by name from where they are', () => {
  test('a directory, or the folder that contains it', () => {
    const root = temporaryFolder()
    writeCifar10(folder(root, 'cifar-10-batches-bin'))
    for (const directory of [root, join(root, 'cifar-10-batches-bin')]) {
      const train = loadDataset('cifar10', { directory })
      expect(train).toMatchObject({ name: 'cifar10', split: 'train', count: 3, classNames: CIFAR10_CLASSES })
      expect(labels(train)).toEqual([1, 2, 0]) // batch 10 after batch 2
      expect(labels(loadDataset('cifar10', { directory, split: 'test' }))).toEqual([7, 8])
    }
  })

  test('$LANGEVIN_DATA, by the official folder names', () => {
    const root = temporaryFolder()
    vi.stubEnv('LANGEVIN_DATA', root)
    writeMnist(folder(root, 'mnist'), [1, 2], [3])
    writeCifar10(folder(root, 'cifar-10-batches-bin'))
    writeFileSync(join(folder(root, 'cifar-100-binary'), 'train.bin'), cifar([[0, 42]]))
    writeFileSync(join(folder(root, 'svhn'), 'test_32x32.bin'), cifar([[9]])) // records as CIFAR-10's
    expect(loadDataset('mnist')).toMatchObject({ count: 2, height: 2, classes: 10 })
    expect(loadDataset('mnist', { split: 'test' }).count).toBe(1)
    expect(loadDataset('cifar10').count).toBe(3)
    expect(loadDataset('cifar100')).toMatchObject({ count: 1, classes: 100, classNames: CIFAR100_CLASSES })
    expect(loadDataset('svhn', { split: 'test' })).toMatchObject({ name: 'svhn', classNames: [...'0123456789'] })
    // What is not there: the bundled subset where there is one, else an error that names the place.
    expect(loadDataset('fashion-mnist', { split: 'test' }).count).toBe(2000)
    expect(errorOf(() => loadDataset('svhn')).message).toContain(join(root, 'svhn'))
  })

  test("SVHN's official files, before records of CIFAR's format", () => {
    const root = folder(temporaryFolder(), 'svhn')
    copyFileSync(new URL('../fixtures/data/svhn-packed.mat', import.meta.url), join(root, 'train_32x32.mat'))
    writeFileSync(join(root, 'train.bin'), cifar([[9]]))
    writeFileSync(join(root, 'test.bin'), cifar([[8]]))
    const data = loadDataset('svhn', { directory: root })
    expect(data).toMatchObject({ name: 'svhn', split: 'train', count: 5, channels: 3 })
    expect(labels(loadDataset('svhn', { directory: root, split: 'test' }))).toEqual([8])
    expect(labels(loadDataset(root))).toEqual([0, 1, 9, 0, 5])
    expect(labels(loadDataset(join(root, 'train.bin')))).toEqual([9])
  })

  test('the bundled subset, if asked for', () => {
    vi.stubEnv('LANGEVIN_DATA', temporaryFolder())
    writeMnist(folder(process.env.LANGEVIN_DATA!, 'mnist'), [1, 2], [3])
    expect(loadDataset('mnist').count).toBe(2)
    expect(loadDataset('bundled:mnist')).toMatchObject({ name: 'mnist', count: 10_000 })
    expect(() => loadDataset('bundled:svhn')).toThrow(DataError)
    expect(() => loadDataset('bundled:mnits')).toThrow("did you mean 'mnist'?")
  })

  test('a source that lasts: paths from the root, the bundled subset by its own name while it is used', () => {
    expect(lastingSource('mnist')).toBe('bundled:mnist')
    expect(lastingSource('bundled:mnist')).toBe('bundled:mnist')
    expect(lastingSource('fashion-mnist')).toBe('bundled:fashion-mnist')
    expect(lastingSource('svhn')).toBe('svhn') // not bundled
    expect(lastingSource('package.json')).toBe(resolve('package.json'))
    expect(lastingSource('cifar10:some/file.bin')).toBe(`cifar10:${resolve('some/file.bin')}`)
    expect(lastingSource('no-such-thing')).toBe('no-such-thing')
    vi.stubEnv('LANGEVIN_DATA', temporaryFolder())
    writeMnist(folder(process.env.LANGEVIN_DATA!, 'mnist'), [1, 2], [3])
    expect(lastingSource('mnist')).toBe('mnist')
  })

  test('which sources have a test part', () => {
    const root = writeMnist(temporaryFolder(), [1], [2])
    expect(['mnist', 'bundled:mnist', root, `mnist:${root}`].map(hasTestPart)).toEqual([true, true, true, true])
    const file = join(root, 'train-images-idx3-ubyte.gz')
    expect([file, `mnist:${file}`, temporaryFolder()].map(hasTestPart)).toEqual([false, false, false])
  })

  test('where they are kept: LANGEVIN_DATA, XDG_CACHE_HOME, or the cache of the system', () => {
    expect(dataFolder()).toBe('/nonexistent/langevin')
    vi.stubEnv('XDG_CACHE_HOME', 'not/absolute')
    expect(dataFolder()).toMatch(/^\/.*\/(\.cache|Library\/Caches)\/langevin$/)
    vi.stubEnv('LANGEVIN_DATA', 'some/where')
    expect(dataFolder()).toBe('some/where')
  })

  test('a directory that lacks the split is an error, never the bundled subset', () => {
    expect(() => loadDataset('mnist', { directory: temporaryFolder() })).toThrow(/no file of the train split found/)
    expect(() => loadDataset('mnist', { directory: 'none' })).toThrow('cannot read none: no such file or folder')
  })
})

describe('a path is recognised by what is there', () => {
  test('a folder of IDX files; both splits have the same classes', () => {
    const at = writeMnist(folder(temporaryFolder(), 'letters'), [1, 25], [3])
    expect(loadDataset(at)).toMatchObject({ name: 'letters', count: 2, channels: 1, classes: 26 })
    expect(loadDataset(at, { split: 'test' })).toMatchObject({ count: 1, classes: 26 })
  })

  test('an IDX images file', () => {
    const at = writeMnist(temporaryFolder(), [1, 4], [3])
    const dataset = loadDataset(join(at, 'train-images-idx3-ubyte.gz'), { split: 'test', limit: 1 })
    expect(dataset).toMatchObject({ name: 'train-images-idx3-ubyte', split: 'test', count: 1, classes: 5 })
  })

  test('a CIFAR-10 folder, with its own class names', () => {
    const at = writeCifar10(folder(temporaryFolder(), 'pets'))
    writeFileSync(join(at, 'batches.meta.txt'), 'abcdefghij'.split('').join('\n'))
    expect(loadDataset(at)).toMatchObject({ name: 'pets', count: 3, classNames: 'abcdefghij'.split('') })
  })

  test('a CIFAR-100 folder, and single files of both kinds', () => {
    const at = temporaryFolder()
    writeFileSync(join(at, 'train.bin'), cifar([[3, 55]]))
    writeFileSync(
      join(at, 'test_first2.bin'),
      cifar([
        [3, 56],
        [4, 57],
      ]),
    )
    expect(loadDataset(at)).toMatchObject({ count: 1, classNames: CIFAR100_CLASSES })
    expect(labels(loadDataset(at, { split: 'test' }))).toEqual([56, 57])
    expect(loadDataset(join(at, 'train.bin'))).toMatchObject({ name: 'train', classes: 100 })
    writeFileSync(join(at, 'street.bin'), cifar([[3]]))
    expect(loadDataset(join(at, 'street.bin'))).toMatchObject({ classes: 10, classNames: [...'0123456789'] })
  })

  test('a prefix decides where the file alone does not', () => {
    const path = join(temporaryFolder(), 'zeros.bin')
    writeFileSync(path, new Uint8Array(3073 * 3074))
    expect(() => loadDataset(path)).toThrow(/fits both/)
    expect(loadDataset(`cifar10:${path}`, { limit: 5 })).toMatchObject({ name: 'cifar10', count: 5, classes: 10 })
    expect(loadDataset(`cifar100:${path}`)).toMatchObject({ name: 'cifar100', count: 3073, classes: 100 })
  })

  test('nothing of the kind', () => {
    expect(() => loadDataset(temporaryFolder())).toThrow(/no data set found in this folder/)
    expect(() => loadDataset('data/none.bin')).toThrow('data/none.bin: no such file or folder')
  })
})

describe('a slip is named', () => {
  test('an unknown name, with the nearest and the list', () => {
    const error = errorOf(() => loadDataset('cifar-10'))
    expect(error).toBeInstanceOf(ConfigError)
    expect(error.message).toContain("unknown data set 'cifar-10': did you mean 'cifar10'?")
    for (const name of DATASET_NAMES) expect(error.message).toContain(name)
    expect(errorOf(() => loadDataset('imagenet')).message).not.toContain('did you mean')
    expect(errorOf(() => loadDataset('constructor'))).toBeInstanceOf(ConfigError)
  })

  test('an unknown split, a bad limit', () => {
    expect(() => loadDataset('mnist', { split: 'valid' as never })).toThrow(
      "split must be 'train' or 'test', got 'valid'",
    )
    expect(errorOf(() => loadDataset('mnist', { split: 'test', limit: -1 }))).toBeInstanceOf(ConfigError)
  })
})
