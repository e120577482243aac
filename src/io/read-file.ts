import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { DataError } from '../errors.ts'
import { fileError } from './file-error.ts'

/** Linux moves at most 2^31 - 4096 bytes in one read or write; smaller pieces cost nothing. */
export const MAX_TRANSFER = 1 << 28

/** A file that is open for reading. `bytes` is its length when it was opened. */
export type OpenFile = {
  bytes: number
  /** `length` bytes from `position`, in a buffer of their own (so aligned for every typed array). */
  read(position: number, length: number): Uint8Array<ArrayBuffer>
}

/** Opens `path`, hands it to `use`, and closes it. Every failure of the file system is a DataError; other errors pass. */
export function withFile<T>(path: string, use: (file: OpenFile) => T): T {
  const fd = attempt('open', path, () => openSync(path, 'r'))
  try {
    const stat = attempt('read', path, () => fstatSync(fd))
    if (!stat.isFile()) {
      throw new DataError(`cannot read ${path}: it is not a regular file`, { hint: 'give the path of a file' })
    }
    const read = (position: number, length: number) =>
      attempt('read', path, () => readRange(fd, position, length, path))
    return use({ bytes: stat.size, read })
  } finally {
    closeSync(fd)
  }
}

/** The whole of a file, also beyond 2 GiB. Throws DataError. */
export function readBytes(path: string): Uint8Array<ArrayBuffer> {
  return withFile(path, (file) => file.read(0, file.bytes))
}

function readRange(fd: number, position: number, length: number, path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const got = readSync(fd, bytes, at, Math.min(length - at, MAX_TRANSFER), position + at)
    if (got === 0) {
      throw new DataError(
        `${path}: expected ${length} bytes from byte ${position}, the file ends after ${at} of them`,
        {
          hint: 'the file is truncated, or another process is writing it',
        },
      )
    }
    at += got
  }
  return bytes
}

function attempt<T>(doing: string, path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw error instanceof DataError ? error : fileError(doing, path, error)
  }
}
