import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Asked {
  path: string
  range?: string
  ifRange?: string
}

/** Does something else than `serve`; returns false to leave a request to it. */
export type Behaviour = (request: IncomingMessage, response: ServerResponse, nth: number) => boolean

export interface FileServer {
  /** With a slash at the end. */
  url: string
  asked: Asked[]
}

/** A server on 127.0.0.1 of the given files, by name, that honours Range and If-Range (RFC 9110, 13 and 14), until the
 *  test ends. `behaviour` gets every request first, with the number of requests before it. */
export async function fileServer(
  files: Readonly<Record<string, Uint8Array>>,
  behaviour: Behaviour = () => false,
): Promise<FileServer> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const { range, 'if-range': ifRange } = request.headers
    asked.push({ path: request.url!.slice(1), range, ifRange: ifRange as string | undefined })
    if (!behaviour(request, response, asked.length - 1)) serve(files[request.url!.slice(1)], request, response)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(
    () =>
      new Promise<void>((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked }
}

export const etag = '"the-only-version"'

export function serve(file: Uint8Array | undefined, request: IncomingMessage, response: ServerResponse): void {
  if (!file) {
    response.writeHead(404).end()
    return
  }
  response.setHeader('etag', etag)
  const { range, 'if-range': ifRange } = request.headers
  const from = range && (ifRange === undefined || ifRange === etag) ? Number(/^bytes=(\d+)-$/.exec(range)?.[1]) : 0
  if (from >= file.length) {
    response.writeHead(416, { 'content-range': `bytes */${file.length}` }).end()
    return
  }
  const headers = { 'content-length': file.length - from }
  if (from === 0) response.writeHead(200, headers)
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` })
  response.end(file.subarray(from))
}
