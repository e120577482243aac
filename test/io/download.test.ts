import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.ts'
import { type DownloadOptions, download } from '../../src/io/download.ts'
import { asHttpError } from '../../src/io/http.ts'
import { Generator } from '../../src/random/generator.ts'
import { type Behaviour, etag, fileServer } from './file-server.ts'
import { temporaryFolder } from './temporary-folder.ts'

const content = Buffer.from(new Generator(5).words(50_000).buffer) // 200,000 bytes
const other = Buffer.from(content).fill(7, 100, 200)
const md5 = (bytes: Uint8Array) => `md5:${createHash('md5').update(bytes).digest('hex')}` as const
const quick: DownloadOptions = { retrySeconds: 0.01, idleSeconds: 1 }

/** Begins an answer of `length` bytes and breaks the connection off after `sent` of them. */
function cutOff(response: ServerResponse, bytes: Uint8Array, sent: number): void {
  response.writeHead(200, { 'content-length': bytes.length, etag })
  response.write(bytes.subarray(0, sent), () => response.socket?.destroy())
}

async function setUp(behaviour?: Behaviour, served: Uint8Array = content) {
  const server = await fileServer({ 'data.bin': served }, behaviour)
  const folder = temporaryFolder()
  const path = join(folder, 'data.bin')
  const file = { urls: [`${server.url}data.bin`], bytes: content.length, sum: md5(content) }
  const run = (options: DownloadOptions = {}, changes: Partial<typeof file> = {}) =>
    download({ ...file, ...changes }, path, { ...quick, ...options })
  return { server, folder, path, file, run }
}

/** The downloaded file is right, and nothing else was left. */
function expectWhole(folder: string): void {
  expect(readFileSync(join(folder, 'data.bin')).equals(content)).toBe(true)
  expect(readdirSync(folder)).toEqual(['data.bin'])
}

async function failure(promise: Promise<void>): Promise<DataError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(DataError)
  return error
}

describe('a download arrives whole', () => {
  test('from a good server, with its progress', async () => {
    const { folder, run } = await setUp()
    const progress: number[] = []
    await run({ onProgress: (done) => progress.push(done) })
    expectWhole(folder)
    expect(progress[0]).toBe(0)
    expect(progress.at(-1)).toBe(content.length)
    expect(progress).toEqual([...progress].sort((a, b) => a - b))
  })

  test('by SHA-256', async () => {
    const { folder, run } = await setUp()
    await run({}, { sum: `sha256:${createHash('sha256').update(content).digest('hex')}` as never })
    expectWhole(folder)
  })

  test('without a length', async () => {
    const { folder, run } = await setUp((_, response) => {
      response.writeHead(200)
      response.write(content.subarray(0, 1000))
      response.end(content.subarray(1000))
      return true
    })
    await run()
    expectWhole(folder)
  })

  test('through redirects, also relative ones', async () => {
    const { folder, run, server } = await setUp((request, response) => {
      if (request.url === '/data.bin') response.writeHead(302, { location: '/b?x=1' }).end()
      else if (request.url === '/b?x=1') response.writeHead(301, { location: `http://${request.headers.host}/c` }).end()
      else response.end(content)
      return true
    })
    await run()
    expectWhole(folder)
    expect(server.asked.map(({ path }) => path)).toEqual(['data.bin', 'b?x=1', 'c'])
  })

  test('as it is stored, where the server calls it gzip (as some do with .tar.gz files)', async () => {
    const packed = gzipSync(content)
    const { path, run } = await setUp((_, response) => {
      response.writeHead(200, { 'content-encoding': 'x-gzip', 'content-length': packed.length }).end(packed)
      return true
    })
    await run({}, { bytes: packed.length, sum: md5(packed) })
    expect(readFileSync(path).equals(packed)).toBe(true)
  })

  test('from a slow server, as long as something comes', async () => {
    const { folder, run } = await setUp((_, response) => {
      response.writeHead(200, { 'content-length': content.length })
      const part = content.length / 5
      let at = 0
      const timer = setInterval(() => {
        response.write(content.subarray(at, at + part))
        at += part
        if (at >= content.length) {
          clearInterval(timer)
          response.end()
        }
      }, 120)
      return true
    })
    await run()
    expectWhole(folder)
  })
})

describe('what has come is not downloaded again', () => {
  test('a connection that breaks off is made again, and goes on', async () => {
    const { folder, run, server } = await setUp((_, response, nth) => {
      if (nth === 0) cutOff(response, content, 70_000)
      return nth === 0
    })
    await run()
    expectWhole(folder)
    const [, second] = server.asked
    expect(second.range).toMatch(/^bytes=[1-9]\d*-$/)
    expect(second.ifRange).toBe(etag)
  })

  test('a server that goes silent is left after a while', async () => {
    const { folder, run, server } = await setUp((_, response, nth) => {
      if (nth === 0) response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 70_000))
      return nth <= 1 // the second request is not answered at all
    })
    await run()
    expectWhole(folder)
    expect(server.asked.slice(1).map(({ range }) => range)).toEqual(['bytes=70000-', 'bytes=70000-'])
  })

  test('after an abort, by the next call', async () => {
    const { folder, path, run, server } = await setUp((_, response, nth) => {
      if (nth === 0)
        response.writeHead(200, { 'content-length': content.length, etag }).write(content.subarray(0, 9000))
      return nth === 0
    })
    const controller = new AbortController()
    const stopped = run({ signal: controller.signal, onProgress: (done) => done >= 9000 && controller.abort() })
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' })
    expect(readFileSync(`${path}.part`).equals(content.subarray(0, 9000))).toBe(true)
    expect(existsSync(path)).toBe(false)
    await run()
    expectWhole(folder)
    expect(server.asked[1]).toEqual({ path: 'data.bin', range: 'bytes=9000-', ifRange: etag })
  })

  test('by another address, where the first is gone', async () => {
    const first = await fileServer({}, (request, response, nth) => {
      if (nth === 0) cutOff(response, content, 5000)
      else response.writeHead(410).end()
      return request.url !== ''
    })
    const { folder, run, server, file } = await setUp()
    await run({}, { urls: [`${first.url}data.bin`, ...file.urls] })
    expectWhole(folder)
    expect(server.asked).toEqual([{ path: 'data.bin', range: 'bytes=5000-', ifRange: undefined }])
  })

  test('a partial file that is whole is only checked', async () => {
    const { folder, path, run, server } = await setUp()
    writeFileSync(`${path}.part`, content)
    await run()
    expectWhole(folder)
    expect(server.asked).toEqual([])
  })
})

describe('a partial file that does not fit is begun anew', () => {
  test('where the server ignores Range', async () => {
    const { folder, path, run } = await setUp((_, response) => {
      response.writeHead(200, { 'content-length': content.length }).end(content)
      return true
    })
    writeFileSync(`${path}.part`, content.subarray(0, 100))
    await run()
    expectWhole(folder)
  })

  test('where the file has changed on the server since', async () => {
    const { folder, path, run, server } = await setUp()
    writeFileSync(`${path}.part`, other.subarray(0, 1000))
    writeFileSync(
      `${path}.part.json`,
      JSON.stringify({ url: `${server.url}data.bin`, validator: '"an older version"' }),
    )
    await run()
    expectWhole(folder)
    expect(server.asked).toEqual([{ path: 'data.bin', range: 'bytes=1000-', ifRange: '"an older version"' }])
  })

  test.each([
    ['wrong bytes', other.subarray(0, 1000)],
    ['more bytes than the file has', Buffer.concat([content, content])],
    ['as many bytes as the file has, but others', other],
  ])('%s', async (_, bytes) => {
    const { folder, path, run } = await setUp()
    writeFileSync(`${path}.part`, bytes)
    await run()
    expectWhole(folder)
  })

  test('where the server continues elsewhere than asked', async () => {
    const { folder, path, run } = await setUp((request, response) => {
      if (!request.headers.range) return false
      const headers = { 'content-range': `bytes 0-${content.length - 1}/${content.length}` }
      response.writeHead(206, headers).end(content)
      return true
    })
    writeFileSync(`${path}.part`, content.subarray(0, 100))
    await run()
    expectWhole(folder)
  })

  test('where the server says that there is no such range (416)', async () => {
    const { folder, path, run } = await setUp((request, response) => {
      if (request.headers.range) response.writeHead(416).end()
      return request.headers.range !== undefined
    })
    writeFileSync(`${path}.part`, content.subarray(0, 100))
    await run()
    expectWhole(folder)
  })
})

describe('a file that is not the official one never gets its name', () => {
  test('wrong bytes', async () => {
    const { folder, run, file } = await setUp(undefined, other)
    const error = await failure(run())
    expect(error.message).toContain(`wrong contents: expected MD5 ${file.sum.slice(4)}, got MD5 ${md5(other).slice(4)}`)
    expect(readdirSync(folder)).toEqual([])
  })

  test('wrong bytes at one address, the right ones at the next', async () => {
    const bad = await fileServer({ 'data.bin': other })
    const { folder, run, file } = await setUp()
    await run({}, { urls: [`${bad.url}data.bin`, ...file.urls] })
    expectWhole(folder)
  })

  test('a length that is not the file’s', async () => {
    const { folder, run } = await setUp(undefined, content.subarray(1))
    expect((await failure(run())).message).toContain('expected a file of 200000 bytes, the server has one of 199999')
    expect(readdirSync(folder)).toEqual([])
  })

  test('a length that promises more than comes, each time', async () => {
    const { run, server } = await setUp((request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '0')![0])
      response.writeHead(from ? 206 : 200, {
        'content-length': content.length - from,
        'content-range': `bytes ${from}-${content.length - 1}/${content.length}`,
      })
      response.write(content.subarray(from, from || 500), () => response.socket?.destroy())
      return true
    })
    await failure(run())
    expect(server.asked.length).toBe(1 + 4) // it brought something once, then nothing
  })

  test('more bytes than the file has', async () => {
    const { folder, run } = await setUp((_, response) => {
      response.writeHead(200)
      response.write(content)
      response.end('and more')
      return true
    })
    expect((await failure(run())).message).toContain('expected 200000 bytes, got more')
    expect(readdirSync(folder)).toEqual([])
  })

  test('fewer bytes than the file has, without a length', async () => {
    const { run } = await setUp((request, response) => {
      if (request.headers.range) response.writeHead(416, { 'content-range': 'bytes */1000' }).end()
      else response.writeHead(200).end(content.subarray(0, 1000))
      return true
    })
    expect((await failure(run())).message).toContain('the server has the range bytes */1000')
  })
})

describe('what went wrong is told', () => {
  test.each([
    [404, 'Not Found', 1],
    [403, 'Forbidden', 1],
    [500, 'Internal Server Error', 4],
    [503, 'Service Unavailable', 4],
  ])('HTTP %i %s: %i requests, then the next address', async (status, text, times) => {
    const { run, server, file, path } = await setUp((_, response) => {
      response.writeHead(status).end('<html>')
      return true
    })
    const error = await failure(run())
    expect(error.message).toBe(`cannot download data.bin: ${file.urls[0]}: HTTP ${status} ${text}`)
    expect(error.hint).toContain(`get ${file.urls[0]} in another way and put it at ${path}`)
    expect(server.asked.length).toBe(times)
  })

  test('an error that passes', async () => {
    const { folder, run } = await setUp((_, response, nth) => {
      if (nth < 2) response.writeHead(503).end()
      return nth < 2
    })
    await run()
    expectWhole(folder)
  })

  test.each([
    ['a circle of redirects', '/data.bin', 'more than 5 redirects'],
    ['a redirect to nowhere', 'http://', 'without an address'],
    ['a redirect off the web', 'file:///etc/passwd', 'is not an http or https address'],
  ])('%s', async (_, location, message) => {
    const { run } = await setUp((_request, response) => {
      response.writeHead(302, { location }).end()
      return true
    })
    expect((await failure(run())).message).toContain(message)
  })

  test('for each address what became of it', async () => {
    const { run, server } = await setUp((_, response) => {
      response.writeHead(404).end()
      return true
    })
    const urls = ['http://127.0.0.1:9/a', 'nonsense', `${server.url}b`]
    expect((await failure(run({}, { urls }))).message).toBe(
      'cannot download data.bin: http://127.0.0.1:9/a: the server refuses connections (ECONNREFUSED); ' +
        `nonsense: nonsense is not an http or https address; ${server.url}b: HTTP 404 Not Found`,
    )
  })

  test.each([
    ['ENOTFOUND', 'the address is unknown; is there a network?', false],
    ['ENETUNREACH', 'there is no network', false],
    ['ECONNRESET', 'the connection broke off', true],
    ['EPIPE', 'as the system says it', true],
    ['CERT_HAS_EXPIRED', 'expired', false],
  ])('%s, in words; only what may pass is tried again', (code, message, transient) => {
    const error = asHttpError(Object.assign(new Error(code === 'EPIPE' ? message : 'expired'), { code }))
    expect(error.message).toContain(message)
    expect(error.transient).toBe(transient)
  })

  test('a folder that cannot be written', async () => {
    const { path, run } = await setUp()
    mkdirSync(`${path}.part`)
    expect((await failure(run())).message).toContain('cannot write')
  })
})
