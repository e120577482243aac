import type { IncomingMessage } from 'node:http'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DataError } from '../errors.ts'
import { fileSum, type Sum, showSum } from './digest.ts'
import { asHttpError, HttpError, httpGet } from './http.ts'
import { PartialFile } from './partial-file.ts'

export type DownloadFile = {
  /** The same file at each; tried in this order. */
  urls: readonly string[]
  bytes: number
  sum: Sum
}

export type DownloadOptions = {
  /** Stops; what has come so far is kept for the next call. The promise rejects with the signal's reason. */
  signal?: AbortSignal
  /** Bytes of the file that are on the disk. Falls where the file has to be begun again. */
  onProgress?: (done: number) => void
  /** Without a byte for this long, a connection is given up and made again. Default 30. */
  idleSeconds?: number
  /** Pause before a broken connection is made again, doubled each time that one brings nothing. Default 1. */
  retrySeconds?: number
}

/** Times that a request which brought nothing is repeated at the same address. */
const RETRIES = 3

/**
 * Downloads a file of known length and digest to `path`.
 *
 * The bytes go to `<path>.part`, which outlives a failure, an abort and a killed process; the next call goes on from
 * there (HTTP Range, with If-Range where the server told the file's version; from the start where it ignores them). Only
 * a file with the right digest gets the name `path`; a wrong one is removed.
 *
 * Throws DataError: no address gives the file (the message says what each did), or the disk does not take it.
 */
export async function download(file: DownloadFile, path: string, options: DownloadOptions = {}): Promise<void> {
  const part = new PartialFile(path)
  const failures: string[] = []
  for (const url of file.urls) {
    try {
      await downloadFrom(url, file, part, options)
      return
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!(error instanceof HttpError)) throw error
      failures.push(`${url}: ${error.message}`)
    }
  }
  throw new DataError(`cannot download ${basename(path)}: ${failures.join('; ')}`, {
    hint: `try again (it goes on where it stopped), or get ${file.urls[0]} in another way and put it at ${path}`,
  })
}

/** Throws HttpError, DataError, the signal's reason. */
async function downloadFrom(url: string, file: DownloadFile, part: PartialFile, options: DownloadOptions) {
  const { signal, retrySeconds = 1 } = options
  let foreign = part.bytes > 0 // begun by an earlier call, or at another address
  for (let failed = 0; ; ) {
    const before = part.bytes
    try {
      if (part.bytes !== file.bytes) await receive(url, file, part, options)
      await verify(file, part, signal)
      return
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof HttpError)) throw error
      if (part.bytes === 0 && foreign) {
        foreign = false // it was refused or wrong: now from the start
        continue
      }
      if (!error.transient) throw error
      failed = part.bytes > before ? 0 : failed + 1
      if (failed > RETRIES) throw error
      await sleep(1000 * retrySeconds * 2 ** failed, undefined, { signal })
    }
  }
}

/** One request, whose body is appended to the partial file. */
async function receive(url: string, file: DownloadFile, part: PartialFile, options: DownloadOptions): Promise<void> {
  const { signal, onProgress, idleSeconds = 30 } = options
  if (part.bytes > file.bytes) part.discard()
  const response = await httpGet(url, { headers: rangeHeaders(url, part), signal, idleSeconds })
  try {
    if (!continues(response, file, part)) part.begin({ url, validator: validatorOf(response) })
    onProgress?.(part.bytes)
    for await (const chunk of chunksOf(response)) {
      if (part.bytes + chunk.length > file.bytes) {
        part.discard()
        throw new HttpError(`expected ${file.bytes} bytes, got more`)
      }
      part.append(chunk)
      onProgress?.(part.bytes)
    }
  } finally {
    response.destroy()
    part.close()
  }
  if (part.bytes < file.bytes) {
    throw new HttpError(`expected ${file.bytes} bytes, the connection ended after ${part.bytes}`, { transient: true })
  }
}

/** The body; errors of the connection as HttpError, so that those of the disk are told from them. */
async function* chunksOf(response: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    yield* response
  } catch (error) {
    throw asHttpError(error)
  }
}

function rangeHeaders(url: string, part: PartialFile): Record<string, string> {
  if (part.bytes === 0) return {}
  const range = { range: `bytes=${part.bytes}-` }
  const origin = part.origin()
  return origin?.url === url && origin.validator !== undefined ? { ...range, 'if-range': origin.validator } : range
}

/** Whether the body goes on where the partial file ends; otherwise it is the whole file. Throws HttpError. */
function continues(response: IncomingMessage, file: DownloadFile, part: PartialFile): boolean {
  const { statusCode, headers } = response
  if (statusCode === 200) {
    const length = headers['content-length']
    if (length === undefined || Number(length) === file.bytes) return false
    throw new HttpError(`expected a file of ${file.bytes} bytes, the server has one of ${length}`)
  }
  const range = headers['content-range'] ?? 'none'
  const [, start, total = '*'] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(range) ?? []
  const what = `asked for bytes ${part.bytes}- of ${file.bytes}, the server has the range ${range}`
  if (total !== '*' && Number(total) !== file.bytes) throw new HttpError(what)
  if (statusCode === 206 && Number(start) === part.bytes) return true
  part.discard()
  throw new HttpError(what)
}

/** What If-Range may be given: an entity tag that is not weak, or else the date (RFC 9110, 13.1.5). */
function validatorOf({ headers }: IncomingMessage): string | undefined {
  const { etag } = headers
  return etag !== undefined && !etag.startsWith('W/') ? etag : headers['last-modified']
}

/** Gives a whole file its name; removes a wrong one and throws HttpError. */
async function verify(file: DownloadFile, part: PartialFile, signal: AbortSignal | undefined): Promise<void> {
  const sum = await fileSum(part.path, file.sum, signal)
  if (sum === file.sum) {
    part.complete()
    return
  }
  part.discard()
  throw new HttpError(`wrong contents: expected ${showSum(file.sum)}, got ${showSum(sum)}`)
}
