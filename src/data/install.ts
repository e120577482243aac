import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { DataError } from '../errors.ts'
import { temporaryBeside, writeFileAtomic } from '../io/atomic.ts'
import { bytesSum, fileSum, showSum } from '../io/digest.ts'
import { discard } from '../io/discard.ts'
import { type DownloadOptions, download } from '../io/download.ts'
import { fileError } from '../io/file-error.ts'
import { lockFolder } from '../io/lock.ts'
import { readBytes } from '../io/read-file.ts'
import { readTar } from '../io/tar.ts'
import { dataFolder } from './cache.ts'
import { checkDatasetName, installFolder } from './catalog.ts'
import { type DatasetName, type Download, type OfficialFile, SOURCES, type Source } from './sources.ts'

/** Installs the official files of a data set by name, in `dataFolder()`, for `loadDataset` to find; returns whether
 *  anything was missing. Throws ConfigError (unknown name), and as `installFiles`. */
export async function installDataset(name: string, options: InstallOptions = {}): Promise<boolean> {
  const known = checkDatasetName(name)
  return installFiles(SOURCES[known], installFolder(known), downloadFolder(known), options)
}

/** Compares the installed files of a data set with what is published of them. Throws ConfigError (unknown name), and as
 *  `checkFiles`. */
export async function checkDataset(name: string, options: { signal?: AbortSignal } = {}): Promise<FileState[]> {
  const known = checkDatasetName(name)
  return checkFiles(SOURCES[known], installFolder(known), options.signal)
}

/** Where the downloads of a data set are until they are installed. */
export function downloadFolder(name: DatasetName): string {
  return join(dataFolder(), 'downloads', SOURCES[name].folder)
}

/** An installed file beside what is published of it. `detail` says what is wrong. */
export type FileState = { name: string; state: 'ok' | 'missing' | 'wrong'; detail?: string }

/** The files that a download becomes. */
export function installedFiles(download: Download): readonly OfficialFile[] {
  return download.unpacked ?? [download]
}

/** Compares the official files of a data set that are in `folder` with their published lengths and digests. An optional
 *  file that is not there is passed over. Throws DataError (unreadable), the signal's reason. */
export async function checkFiles(source: Source, folder: string, signal?: AbortSignal): Promise<FileState[]> {
  const states: FileState[] = []
  for (const download of source.downloads) {
    for (const file of installedFiles(download)) {
      const state = await checkFile(file, folder, signal)
      if (!download.optional || state.state !== 'missing') states.push(state)
    }
  }
  return states
}

async function checkFile(file: OfficialFile, folder: string, signal?: AbortSignal): Promise<FileState> {
  const { name, bytes, sum } = file
  const path = join(folder, name)
  const got = sizeOf(path)
  if (got === undefined) return { name, state: 'missing' }
  if (got !== bytes) return { name, state: 'wrong', detail: `expected ${bytes} bytes, got ${got}` }
  const gotSum = await fileSum(path, sum, signal)
  if (gotSum === sum) return { name, state: 'ok' }
  return { name, state: 'wrong', detail: `expected ${showSum(sum)}, got ${showSum(gotSum)}` }
}

/** Undefined where there is nothing. */
function sizeOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size
  } catch (error) {
    throw fileError('read', path, error)
  }
}

export type InstallOptions = Omit<DownloadOptions, 'onProgress'> & {
  /** Also the files that are installed only if asked for. */
  optional?: boolean
  /** Take `<mirror>/<file name>` instead of the official addresses. */
  mirror?: string
  /** Bytes that have been downloaded, and bytes in all. */
  onProgress?: (done: number, total: number) => void
}

/**
 * Installs the official files of a data set in `folder`; returns whether anything was missing. Downloads go to the folder
 * `downloads`, where a stopped call leaves what it has for the next, and where files that were got in another way may be
 * put. Only whole files with the published digests reach `folder`, all of them at once where it is new.
 *
 * Throws DataError: no address gives a file, a file of an official name but other contents is in `folder` (it is left
 * alone), the disk does not take them; ConfigError: another process is downloading; the signal's reason.
 */
export async function installFiles(
  source: Source,
  folder: string,
  downloads: string,
  { optional = false, mirror, onProgress, ...options }: InstallOptions = {},
): Promise<boolean> {
  const wanted = await missingDownloads(source, folder, optional, options.signal)
  if (wanted.length === 0) return false
  const lock = lockFolder(downloads)
  try {
    const total = wanted.reduce((sum, { bytes }) => sum + bytes, 0)
    let before = 0
    for (const file of wanted) {
      const urls = mirror === undefined ? file.urls : [`${mirror.replace(/\/$/, '')}/${file.name}`]
      const report = (done: number) => onProgress?.(before + done, total)
      await fetchFile({ ...file, urls }, join(downloads, file.name), { ...options, onProgress: report })
      before += file.bytes
    }
    await installDownloads(wanted, downloads, folder)
    return true
  } finally {
    lock.release()
    removeIfEmpty(downloads)
  }
}

/** A call that brought nothing leaves nothing. */
function removeIfEmpty(folder: string): void {
  try {
    for (const each of [folder, dirname(folder)]) rmdirSync(each)
  } catch {
    // Something is in it.
  }
}

/** The downloads of which something is not in `folder`. Throws DataError where something else is in its place. */
async function missingDownloads(source: Source, folder: string, optional: boolean, signal?: AbortSignal) {
  const states = new Map((await checkFiles(source, folder, signal)).map((file) => [file.name, file]))
  for (const { name, state, detail } of states.values()) {
    if (state !== 'wrong') continue
    throw new DataError(`${join(folder, name)} is there, but is not the official file: ${detail}`, {
      hint: 'move it away or delete it, then run the command again',
    })
  }
  const missing = ({ name }: OfficialFile) => states.get(name)?.state !== 'ok'
  return source.downloads.filter((file) => (optional || !file.optional) && installedFiles(file).some(missing))
}

/** Downloads a file unless it is there, whole and right. */
async function fetchFile(file: Download, path: string, options: DownloadOptions): Promise<void> {
  if (existsSync(path)) {
    const sum = await fileSum(path, file.sum, options.signal)
    if (sum !== file.sum) {
      throw new DataError(`${path} is not the official file: expected ${showSum(file.sum)}, got ${showSum(sum)}`, {
        hint: 'delete it, then run the command again to download it',
      })
    }
  } else {
    await download(file, path, options)
  }
  options.onProgress?.(file.bytes)
}

/** Unpacks or moves downloads into a new folder, and that, or where `folder` is there its files, into place. */
async function installDownloads(wanted: readonly Download[], downloads: string, folder: string): Promise<void> {
  const staged = temporaryBeside(join(downloads, 'install'))
  mkdirSync(staged)
  try {
    for (const file of wanted) {
      const path = join(downloads, file.name)
      if (file.unpacked) await unpack(path, file.unpacked, staged)
      else renameSync(path, join(staged, file.name))
    }
    if (existsSync(folder)) for (const name of readdirSync(staged)) renameSync(join(staged, name), join(folder, name))
    else {
      mkdirSync(dirname(folder), { recursive: true })
      renameSync(staged, folder)
    }
  } catch (error) {
    for (const { name, unpacked } of wanted) {
      if (!unpacked && existsSync(join(staged, name))) renameSync(join(staged, name), join(downloads, name))
    }
    throw error instanceof DataError ? error : fileError('write', folder, error)
  } finally {
    discard(staged)
  }
  for (const { unpacked, name } of wanted) if (unpacked) rmSync(join(downloads, name))
}

/** More than any archive of the catalogue unpacks to; a small file can be made to unpack to more memory than there is. */
const MAX_UNPACKED_BYTES = 2 ** 29

/** Writes members of a tar.gz, known by the last part of their paths, to `folder`. Throws DataError unless they have
 *  their published digests. */
async function unpack(archive: string, members: readonly OfficialFile[], folder: string): Promise<void> {
  const tar = await promisify(gunzip)(readBytes(archive), { maxOutputLength: MAX_UNPACKED_BYTES }).catch((cause) => {
    throw new DataError(`${archive}: gzip: ${cause.message}`, { hint: 'delete it and download it again', cause })
  })
  const files = new Map(
    [...readTar(tar, archive)].map(([path, bytes]) => [path.slice(path.lastIndexOf('/') + 1), bytes]),
  )
  for (const { name, sum } of members) {
    const bytes = files.get(name)
    const got = bytes && bytesSum(bytes, sum)
    if (got !== sum) {
      const what = got ? `expected ${showSum(sum)}, got ${showSum(got)}` : 'it is not in the archive'
      throw new DataError(`${archive}: ${name}: ${what}`, { hint: 'delete the archive and download it again' })
    }
    writeFileAtomic(join(folder, name), bytes!)
  }
}
