import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { fileError } from './file-error.ts'

export type Sum = `md5:${string}` | `sha256:${string}`

/** The digest of a file, of the kind that `like` has. Throws DataError (unreadable), the signal's reason. */
export async function fileSum(path: string, like: Sum, signal?: AbortSignal): Promise<Sum> {
  const kind = kindOf(like)
  const hash = createHash(kind)
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) hash.update(chunk)
  } catch (error) {
    signal?.throwIfAborted()
    throw fileError('read', path, error)
  }
  return `${kind}:${hash.digest('hex')}`
}

/** The digest of bytes, of the kind that `like` has. */
export function bytesSum(bytes: Uint8Array, like: Sum): Sum {
  const kind = kindOf(like)
  return `${kind}:${createHash(kind).update(bytes).digest('hex')}`
}

/** `md5:0f…` → `MD5 0f…`, for people. */
export function showSum(sum: Sum): string {
  return sum.replace('md5:', 'MD5 ').replace('sha256:', 'SHA-256 ')
}

function kindOf(sum: Sum): 'md5' | 'sha256' {
  return sum.startsWith('md5:') ? 'md5' : 'sha256'
}
