import { DataError } from '../errors.ts'

const KEPT = 'the previous file, if there was one, is untouched'

/** What an errno means to a user, and what to do about it. */
const MEANING: Record<string, [what: string, hint: string]> = {
  ENOENT: ['no such file or folder', 'check the path'],
  EACCES: ['permission denied', 'check the owner and the mode of the file and of its folder'],
  EPERM: ['operation not permitted', 'check the owner and the mode of the file and of its folder'],
  EROFS: ['the file system is read-only', 'choose a folder on a writable file system'],
  ENOSPC: ['no space left on the device', `free some space or choose another disk; ${KEPT}`],
  EDQUOT: ['the disk quota is exhausted', `free some space or choose another disk; ${KEPT}`],
  EFBIG: ['the file would be larger than the file system or the process allows', 'see `ulimit -f`'],
  EISDIR: ['it is a folder, not a file', 'give the path of a file'],
  ENOTDIR: ['a part of the path is a file, not a folder', 'check the path'],
  EMFILE: ['this process has too many files open', 'raise `ulimit -n`'],
  ENAMETOOLONG: ['the name is too long', 'choose a shorter path'],
  EIO: ['the device reported an input/output error', 'check the disk; see the system log'],
}

/** The errno name of a failed file operation, such as 'ENOENT'; undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** A DataError for a file operation that failed: `cannot read runs/a.bin: permission denied (EACCES)`. */
export function fileError(doing: string, path: string, cause: unknown): DataError {
  const code = errnoOf(cause)
  const [what, hint] = (code && MEANING[code]) || [cause instanceof Error ? cause.message : String(cause), undefined]
  return new DataError(`cannot ${doing} ${path}: ${what}${code ? ` (${code})` : ''}`, { hint, cause })
}
