import type { IncomingMessage } from 'node:http'

/** A request that did not bring what was asked for. */
export class HttpError extends Error {
  /** Whether asking again may help. */
  readonly transient: boolean

  constructor(message: string, { transient = false, cause }: { transient?: boolean; cause?: unknown } = {}) {
    super(message, { cause })
    this.transient = transient
  }
}

export type HttpOptions = {
  headers?: Readonly<Record<string, string>>
  signal?: AbortSignal
  /** Without a byte for this long, the request fails, before and after the headers. */
  idleSeconds: number
}

const MAX_REDIRECTS = 5

/**
 * Asks for `url` and follows redirects. The status is 200, 206 or 416; the body is as the server stores it and has yet to
 * be read, or destroyed. (Not `fetch`: that unpacks what a server labels as gzip, as some do with .tar.gz files, and then
 * neither lengths nor ranges nor digests hold.)
 *
 * Rejects with HttpError, and where `signal` is aborted with any error.
 */
export async function httpGet(url: string, options: HttpOptions): Promise<IncomingMessage> {
  let at = url
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await request(at, options)
    const { statusCode = 0, headers } = response
    if (statusCode === 200 || statusCode === 206 || statusCode === 416) return response
    response.destroy()
    if (![301, 302, 303, 307, 308].includes(statusCode)) {
      const transient = statusCode >= 500 || statusCode === 408 || statusCode === 429
      throw new HttpError(`HTTP ${statusCode} ${response.statusMessage ?? ''}`.trim(), { transient })
    }
    const { location = '' } = headers
    if (!URL.canParse(location, at)) throw new HttpError(`HTTP ${statusCode} without an address to go to`)
    at = new URL(location, at).href
  }
  throw new HttpError(`more than ${MAX_REDIRECTS} redirects`)
}

async function request(url: string, { headers, signal, idleSeconds }: HttpOptions): Promise<IncomingMessage> {
  const protocol = URL.canParse(url) ? new URL(url).protocol : undefined
  if (protocol !== 'https:' && protocol !== 'http:') throw new HttpError(`${url} is not an http or https address`)
  const { get } = protocol === 'https:' ? await import('node:https') : await import('node:http')
  const idle = () => new HttpError(`no data for ${idleSeconds} s`, { transient: true })
  return new Promise((resolve, reject) => {
    const sent = get(url, { headers: { 'user-agent': 'langevin', ...headers }, signal }, (response) => {
      response.setTimeout(1000 * idleSeconds, () => response.destroy(idle()))
      resolve(response)
    })
    sent.setTimeout(1000 * idleSeconds, () => sent.destroy(idle()))
    sent.on('error', (error) => reject(asHttpError(error)))
  })
}

/** What errors of a connection mean, and whether they may pass. */
const MEANING: Record<string, [what: string, transient: boolean]> = {
  ENOTFOUND: ['the address is unknown; is there a network?', false],
  EAI_AGAIN: ['the address cannot be looked up; is there a network?', false],
  ENETUNREACH: ['there is no network', false],
  EHOSTUNREACH: ['the server cannot be reached', false],
  ECONNREFUSED: ['the server refuses connections', false],
  ECONNRESET: ['the connection broke off', true],
  ETIMEDOUT: ['the server does not answer', true],
}

/** An error of a connection as an HttpError. */
export function asHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error
  const { code = '', message, errors } = error as NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] }
  const known = MEANING[code]
  if (known) return new HttpError(`${known[0]} (${code})`, { transient: known[1], cause: error })
  // A host with several addresses fails with an AggregateError, whose message is empty.
  const first = message || errors?.[0]?.message || String(error)
  // A certificate does not get better by asking again.
  return new HttpError(first, { transient: !/CERT|SSL|TLS|SIGNATURE/.test(code), cause: error })
}
