import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { DATASET_NAMES } from '../../src/data/catalog.ts'
import { checkDataset, checkFiles, type InstallOptions, installDataset, installFiles } from '../../src/data/install.ts'
import { type OfficialFile, SOURCES, type Source } from '../../src/data/sources.ts'
import { ConfigError, DataError } from '../../src/errors.ts'
import { type Behaviour, fileServer } from '../io/file-server.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'

const archive = readFileSync(new URL('../fixtures/data/ustar.tar.gz', import.meta.url)) // see files.py there
const member = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 7 + size) % 256)
const contents: Record<string, Uint8Array> = {
  'images.gz': gzipSync(Buffer.alloc(50_000, 'images')),
  'labels.gz': gzipSync('labels'),
  'extra.gz': gzipSync('extra'),
  'set.tar.gz': archive,
}
const official = (name: string, bytes: Uint8Array): OfficialFile => ({
  name,
  bytes: bytes.length,
  sum: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
})

/** A server of the contents, sources that name it, and empty folders. */
async function setUp(behaviour?: Behaviour) {
  const server = await fileServer(contents, behaviour)
  const root = temporaryFolder()
  const [folder, downloads] = [join(root, 'set'), join(root, 'downloads', 'set')]
  const from = (name: string) => ({ ...official(name, contents[name]), urls: [`${server.url}${name}`] })
  const about = { about: '', folder: 'set', images: { train: 1, test: 1 }, terms: '' }
  const unpacked = [official('one.bin', member(700)), official('two.bin', member(512))]
  const plain: Source = {
    ...about,
    downloads: [from('images.gz'), from('labels.gz'), { ...from('extra.gz'), optional: true }],
  }
  const packed: Source = { ...about, downloads: [{ ...from('set.tar.gz'), unpacked }] }
  const install = (source: Source, options: InstallOptions = {}) =>
    installFiles(source, folder, downloads, { retrySeconds: 0.01, ...options })
  return { server, root, folder, downloads, plain, packed, install }
}

const states = async (source: Source, folder: string) =>
  Object.fromEntries((await checkFiles(source, folder)).map(({ name, state }) => [name, state]))

describe('an installed data set is whole', () => {
  test('plain files, with progress over all of them', async () => {
    const { folder, downloads, plain, install } = await setUp()
    const progress: [number, number][] = []
    expect(await install(plain, { onProgress: (...told) => progress.push(told) })).toBe(true)
    expect(readdirSync(folder).sort()).toEqual(['images.gz', 'labels.gz'])
    for (const name of readdirSync(folder)) expect(readFileSync(join(folder, name)).equals(contents[name])).toBe(true)
    expect(existsSync(downloads)).toBe(false)
    const total = contents['images.gz'].length + contents['labels.gz'].length
    expect(progress.at(-1)).toEqual([total, total])
    expect(progress.every(([done, all], i) => all === total && done >= (progress[i - 1]?.[0] ?? 0))).toBe(true)
    expect(await states(plain, folder)).toEqual({ 'images.gz': 'ok', 'labels.gz': 'ok' })
  })

  test('members of an archive, which is not kept', async () => {
    const { folder, downloads, packed, install } = await setUp()
    expect(await install(packed)).toBe(true)
    expect(readdirSync(folder).sort()).toEqual(['one.bin', 'two.bin'])
    expect(new Uint8Array(readFileSync(join(folder, 'one.bin')))).toEqual(member(700))
    expect(existsSync(downloads)).toBe(false)
  })

  test('again: nothing is asked for; what is missing is added, the optional if asked', async () => {
    const { server, folder, plain, install } = await setUp()
    mkdirSync(folder)
    writeFileSync(join(folder, 'images.gz'), contents['images.gz'])
    writeFileSync(join(folder, 'of-the-user.txt'), 'mine')
    expect(await install(plain)).toBe(true)
    expect(await install(plain)).toBe(false)
    expect(server.asked.map(({ path }) => path)).toEqual(['labels.gz'])
    expect(await install(plain, { optional: true })).toBe(true)
    expect(readdirSync(folder).sort()).toEqual(['extra.gz', 'images.gz', 'labels.gz', 'of-the-user.txt'])
  })

  test('from a mirror, and from files that were got in another way', async () => {
    const { server, folder, downloads, plain, install } = await setUp()
    const elsewhere = {
      ...plain,
      downloads: plain.downloads.map((file) => ({ ...file, urls: ['http://127.0.0.1:9/'] })),
    }
    mkdirSync(downloads, { recursive: true })
    writeFileSync(join(downloads, 'images.gz'), contents['images.gz'])
    expect(await install(elsewhere, { mirror: server.url })).toBe(true)
    expect(server.asked.map(({ path }) => path)).toEqual(['labels.gz'])
    expect(await states(plain, folder)).toEqual({ 'images.gz': 'ok', 'labels.gz': 'ok' })
  })
})

describe('a failure leaves no half of a data set', () => {
  test('a download that fails; the others are kept for the next call', async () => {
    const { server, folder, plain, install } = await setUp((request, response, nth) => {
      if (request.url === '/labels.gz' && nth < 2) response.writeHead(404).end()
      return request.url === '/labels.gz' && nth < 2
    })
    await expect(install(plain)).rejects.toThrow(/cannot download labels\.gz.*HTTP 404/)
    expect(existsSync(folder)).toBe(false)
    expect(await install(plain)).toBe(true)
    expect(server.asked.map(({ path }) => path)).toEqual(['images.gz', 'labels.gz', 'labels.gz'])
  })

  test('where nothing came, nothing is left', async () => {
    const { root, plain, install } = await setUp((_, response) => {
      response.writeHead(404).end()
      return true
    })
    await expect(install(plain)).rejects.toThrow(DataError)
    expect(readdirSync(root)).toEqual([])
  })

  test('an abort', async () => {
    const { folder, downloads, plain, install } = await setUp((_, response) => {
      response.writeHead(200, { 'content-length': contents['images.gz'].length }).write('x')
      return true
    })
    const controller = new AbortController()
    const stopped = install(plain, { signal: controller.signal, onProgress: (done) => done && controller.abort() })
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' })
    expect(existsSync(folder)).toBe(false)
    expect(readdirSync(downloads).sort()).toEqual(['images.gz.part', 'images.gz.part.json'])
  })

  test('a place that cannot be written; the downloads are kept', async () => {
    const { folder, downloads, plain, install } = await setUp()
    symlinkSync('/nonexistent/disk', folder)
    await expect(install(plain)).rejects.toThrow(/cannot write .*set: /)
    expect(readlinkSync(folder)).toBe('/nonexistent/disk')
    expect(readdirSync(downloads).sort()).toEqual(['images.gz', 'labels.gz'])
    writeFileSync(join(downloads, '..', 'a-file'), '')
    const inside = installFiles(plain, join(downloads, '..', 'a-file', 'set'), downloads)
    await expect(inside).rejects.toThrow(/^cannot (read|write) .*a-file/)
  })

  test('an archive whose members are others than published', async () => {
    const { folder, downloads, packed, install } = await setUp()
    const wrong = (unpacked: OfficialFile[]) => ({ ...packed, downloads: [{ ...packed.downloads[0], unpacked }] })
    await expect(install(wrong([official('one.bin', member(701))]))).rejects.toThrow(
      /one\.bin: expected SHA-256 .* got/,
    )
    await expect(install(wrong([official('three.bin', member(1))]))).rejects.toThrow(
      'three.bin: it is not in the archive',
    )
    expect(existsSync(folder)).toBe(false)
    expect(readdirSync(downloads)).toEqual(['set.tar.gz'])
  })
})

describe("a user's files are left alone", () => {
  test('a file of an official name with other contents', async () => {
    const { server, folder, plain, install } = await setUp()
    mkdirSync(folder)
    writeFileSync(join(folder, 'labels.gz'), 'my own labels')
    await expect(install(plain)).rejects.toThrow(/labels\.gz is there, but is not the official file/)
    expect(readFileSync(join(folder, 'labels.gz'), 'utf8')).toBe('my own labels')
    expect(server.asked).toEqual([])
    expect(await states(plain, folder)).toEqual({ 'images.gz': 'missing', 'labels.gz': 'wrong' })
  })

  test('a download that was put there by hand and is not the official file', async () => {
    const { downloads, plain, install } = await setUp()
    mkdirSync(downloads, { recursive: true })
    writeFileSync(join(downloads, 'images.gz'), 'something else')
    await expect(install(plain)).rejects.toThrow(/images\.gz is not the official file: expected SHA-256/)
    expect(readFileSync(join(downloads, 'images.gz'), 'utf8')).toBe('something else')
  })
})

test('a changed byte of an installed file is found', async () => {
  const { folder, plain, install } = await setUp()
  await install(plain)
  const path = join(folder, 'images.gz')
  writeFileSync(path, contents['images.gz'].with(20, contents['images.gz'][20] ^ 1))
  const [state] = await checkFiles(plain, folder)
  expect(state).toMatchObject({ name: 'images.gz', state: 'wrong' })
  expect(state.detail).toMatch(/^expected SHA-256 [0-9a-f]{64}, got SHA-256 [0-9a-f]{64}$/)
})

describe('the official files', () => {
  test('every data set has them, with well-formed sums and addresses', () => {
    expect(Object.keys(SOURCES)).toEqual(DATASET_NAMES)
    for (const source of Object.values<Source>(SOURCES)) {
      const files = source.downloads.flatMap((file) => [file, ...(file.unpacked ?? [])])
      for (const { name, bytes, sum } of files) {
        expect(sum).toMatch(/^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$/)
        expect(bytes).toBeGreaterThan(4000)
        expect(dirname(name)).toBe('.')
      }
      for (const { urls, name } of source.downloads) {
        expect(urls.length).toBeGreaterThan(0)
        for (const url of urls) expect(new URL(url).pathname.split('/').at(-1)).toBe(name)
      }
      expect(new Set(files.map(({ sum }) => sum)).size).toBe(files.length)
    }
  })

  test('an unknown name is told', async () => {
    await expect(installDataset('cifar-10')).rejects.toThrow(ConfigError)
    await expect(checkDataset('cifar-10')).rejects.toThrow("did you mean 'cifar10'?")
  })
})
