import { DataError } from '../errors.ts'

const BLOCK = 512

/** The regular files of a tar archive (POSIX ustar and its forebear), by path. Contents share the memory of `bytes`.
 *  Links, folders and extension records are passed over. `source` is named in errors.
 *
 *  Throws DataError: a header whose checksum does not hold, a size that is no octal number, a file cut short. */
export function readTar(bytes: Uint8Array, source: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  for (let at = 0; at + BLOCK <= bytes.length; ) {
    const header = bytes.subarray(at, at + BLOCK)
    if (header.every((byte) => byte === 0)) return files
    if (octal(header, 148, 8) !== checksum(header)) fail(source, at, 'the checksum of the header does not hold')
    const size = octal(header, 124, 12)
    if (size === undefined) fail(source, at, 'the size is not an octal number')
    const start = at + BLOCK
    if (start + size > bytes.length) fail(source, at, `${size} bytes of contents expected, got ${bytes.length - start}`)
    const type = header[156]
    if (type === 0 || type === 0x30) files.set(pathOf(header), bytes.subarray(start, start + size)) // '\0' or '0'
    at = start + Math.ceil(size / BLOCK) * BLOCK
  }
  return files
}

function pathOf(header: Uint8Array): string {
  const name = text(header, 0, 100)
  const prefix = text(header, 257, 5) === 'ustar' ? text(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

/** The sum of the header's bytes, its own field taken as spaces. */
function checksum(header: Uint8Array): number {
  return header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0)
}

function octal(header: Uint8Array, at: number, length: number): number | undefined {
  const digits = text(header, at, length).trim()
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined
}

function text(header: Uint8Array, at: number, length: number): string {
  const field = header.subarray(at, at + length)
  const end = field.indexOf(0)
  return new TextDecoder('latin1').decode(end < 0 ? field : field.subarray(0, end))
}

function fail(source: string, at: number, what: string): never {
  throw new DataError(`tar: ${source}: ${what} (at byte ${at})`, { hint: 'the archive is truncated or corrupt' })
}
