import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs'
import { writeFileAtomic } from './atomic.ts'
import { discard } from './discard.ts'
import { fileError } from './file-error.ts'

/** What a partial file came from: its address, and what the server said to tell this version of it from others. */
export type Origin = { url: string; validator?: string }

/** The part of a file that has been downloaded: `<path>.part`, and `<path>.part.json` with its origin. Both outlive the
 *  process. All methods throw DataError where the disk fails. */
export class PartialFile {
  readonly path: string
  private readonly target: string
  private readonly originPath: string
  private fd: number | undefined
  private length: number

  constructor(target: string) {
    this.target = target
    this.path = `${target}.part`
    this.originPath = `${target}.part.json`
    this.length = existsSync(this.path) ? statSync(this.path).size : 0
  }

  get bytes(): number {
    return this.length
  }

  /** Undefined where it is unknown. */
  origin(): Origin | undefined {
    try {
      const { url, validator } = JSON.parse(readFileSync(this.originPath, 'utf8'))
      return { url: String(url), validator: validator === undefined ? undefined : String(validator) }
    } catch {
      return undefined
    }
  }

  /** Empties it, to be filled from `origin`. */
  begin(origin: Origin): void {
    this.discard()
    this.attempt(() => {
      this.fd = openSync(this.path, 'w')
    })
    writeFileAtomic(this.originPath, JSON.stringify(origin))
  }

  append(bytes: Uint8Array): void {
    this.attempt(() => {
      this.fd ??= openSync(this.path, 'a')
      for (let at = 0; at < bytes.length; ) {
        const written = writeSync(this.fd, bytes, at)
        at += written
        this.length += written
      }
    })
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd)
    this.fd = undefined
  }

  discard(): void {
    this.close()
    discard(this.path)
    discard(this.originPath)
    this.length = 0
  }

  /** Makes it the file it was to become. */
  complete(): void {
    this.close()
    this.attempt(() => {
      const fd = openSync(this.path, 'r+')
      try {
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(this.path, this.target)
    })
    discard(this.originPath)
  }

  private attempt(action: () => void): void {
    try {
      action()
    } catch (error) {
      throw fileError('write', this.path, error)
    }
  }
}
