import { crc32, deflateSync } from 'node:zlib'
import { ShapeError } from '../errors.ts'

/** Encodes 8-bit pixels as PNG (ISO/IEC 15948). `pixels` is [height, width, channels] row-major; 1 channel is grey, 3
 *  are RGB. Throws ShapeError. */
export function encodePng(pixels: Uint8Array, width: number, height: number, channels: 1 | 3): Uint8Array {
  if (channels !== 1 && channels !== 3) throw new ShapeError(`encodePng: channels must be 1 or 3, got ${channels}`)
  const sized = [width, height].every((extent) => Number.isInteger(extent) && extent >= 1 && extent < 2 ** 31)
  if (!sized || pixels.length !== width * height * channels) {
    throw new ShapeError(
      `encodePng: ${width} x ${height} pixels of ${channels} channels must be ` +
        `${width * height * channels} bytes (at least one), got ${pixels.length}`,
    )
  }
  const header = Buffer.alloc(13) // ends in three zeros: deflate, adaptive filters, not interlaced
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = 8 // bits per sample
  header[9] = channels === 1 ? 0 : 2 // colour type: grey, RGB
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(filterRows(pixels, width * channels, height, channels), { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, data: Uint8Array): Buffer {
  const out = Buffer.alloc(12 + data.length)
  out.writeUInt32BE(data.length, 0)
  out.write(type, 4, 'latin1')
  out.set(data, 8)
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length)
  return out
}

/** Gives each row the filter (none, left neighbour, row above) with the smallest sum of absolute differences, the
 *  heuristic that the PNG specification recommends (12.8). */
function filterRows(pixels: Uint8Array, rowBytes: number, height: number, channels: number): Uint8Array {
  const out = new Uint8Array(height * (1 + rowBytes))
  const candidates = [0, 1, 2].map(() => new Uint8Array(rowBytes))
  for (let y = 0; y < height; y++) {
    const row = y * rowBytes
    const sums = [0, 0, 0]
    for (let i = 0; i < rowBytes; i++) {
      const value = pixels[row + i]
      const left = i < channels ? 0 : pixels[row + i - channels]
      const above = y === 0 ? 0 : pixels[row + i - rowBytes]
      const filtered = [value, value - left, value - above]
      for (let f = 0; f < 3; f++) {
        candidates[f][i] = filtered[f]
        sums[f] += Math.abs((filtered[f] << 24) >> 24)
      }
    }
    const best = sums.indexOf(Math.min(...sums))
    out[y * (1 + rowBytes)] = best
    out.set(candidates[best], y * (1 + rowBytes) + 1)
  }
  return out
}
