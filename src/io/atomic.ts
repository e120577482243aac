import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DataError } from '../errors.ts'
import { discard } from './discard.ts'
import { errnoOf, fileError } from './file-error.ts'
import { isTagAlive, PROCESS_TAG } from './process-alive.ts'
import { MAX_TRANSFER } from './read-file.ts'

/** Writes a file so that a reader, or a restart after a crash at any moment, sees the old content or the new, whole.
 *
 *  The bytes go to a temporary file in the same folder, are flushed to the disk, and are renamed into place; then the
 *  folder is flushed. A list of pieces is written one after another without being joined in memory. A link is
 *  followed; an existing file keeps its mode. On failure the temporary file is removed and the old file is untouched.
 *
 *  Throws DataError (no space, no permission, read-only file system, not a regular file, …). */
export function writeFileAtomic(path: string, data: Uint8Array | string | readonly Uint8Array[]): void {
  const pieces =
    typeof data === 'string' ? [new TextEncoder().encode(data)] : data instanceof Uint8Array ? [data] : data
  let temporary: string | undefined
  try {
    const existing = statSync(path, { throwIfNoEntry: false })
    if (existing && !existing.isFile()) throw notRegular(path)
    const target = existing ? realpathSync(path) : path
    temporary = temporaryBeside(target)
    writeDurably(temporary, pieces, existing)
    renameSync(temporary, target)
    syncFolder(dirname(target))
  } catch (error) {
    if (temporary !== undefined) discard(temporary)
    throw error instanceof DataError ? error : fileError('write', path, error)
  }
}

function notRegular(path: string): DataError {
  return new DataError(`cannot write ${path}: it exists and is not a regular file`, {
    hint: 'choose another path, or move what is there out of the way',
  })
}

/** A name in the same folder that no other call gets, and that tells which process wrote it. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${PROCESS_TAG}-${randomBytes(4).toString('hex')}.tmp`)
}

const temporaryName = /^\..+\.(\d+)-(\d+)-[0-9a-f]{8}\.tmp$/

export function isTemporaryName(name: string): boolean {
  return temporaryName.test(name)
}

/** Removes what killed processes left half-written in `folder` (not in its subfolders). What live processes write stays.
 *  Returns the names removed. */
export function removeStaleTemporaries(folder: string): string[] {
  const removed: string[] = []
  for (const name of readdirSync(folder)) {
    const writer = temporaryName.exec(name)
    if (!writer || isTagAlive(Number(writer[1]), writer[2])) continue
    discard(join(folder, name))
    removed.push(name)
  }
  return removed
}

function writeDurably(path: string, pieces: readonly Uint8Array[], existing: Stats | undefined): void {
  const fd = openSync(path, 'wx')
  try {
    if (existing) fchmodSync(fd, existing.mode & 0o7777)
    for (const piece of pieces) writeAll(fd, piece)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** A write may be short (a full disk, a signal, the 2 GiB limit of one call): goes on until all is written. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(fd, bytes, at, Math.min(bytes.length - at, MAX_TRANSFER))
  }
}

/** Makes the rename itself durable. Some systems cannot flush a folder (Windows, some network mounts): let it be. */
function syncFolder(folder: string): void {
  let fd: number | undefined
  try {
    fd = openSync(folder, 'r')
    fsyncSync(fd)
  } catch (error) {
    if (!['EINVAL', 'EPERM', 'EACCES', 'EISDIR', 'ENOTSUP', 'EBADF'].includes(errnoOf(error) ?? '')) throw error
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
