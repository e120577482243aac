import { convertIndexedToRgb, type DecodedPng, decode } from 'fast-png'
import type { PngDecoder } from '../data/image-folder.ts'

/** PNG files to 8-bit grey or RGB, with the package `fast-png`. Throws Error: damaged, 16 bits a value, transparent. */
export const decodePng: PngDecoder = (file) => {
  const png = decode(file, { checkCrc: true })
  const { width, height, depth, transparency } = png
  if (depth === 16) throw new Error('it has 16 bits a value')
  if (transparency) throw new Error('one of its colours is transparent')
  const { values, channels } = wholeBytes(png)
  if (channels === 1 || channels === 3) return { width, height, channels, pixels: values }
  return { width, height, channels: channels === 2 ? 1 : 3, pixels: withoutAlpha(values, channels) }
}

/** Palettes and values of less than 8 bits become bytes. */
function wholeBytes(png: DecodedPng): { values: Uint8Array; channels: number } {
  const levels = 2 ** png.depth
  const ramp = () => Array.from({ length: levels }, (_, level) => [(255 * level) / (levels - 1)])
  const palette = png.palette ?? (png.depth < 8 ? ramp() : undefined)
  if (!palette) return { values: Uint8Array.from(png.data), channels: png.channels }
  return { values: convertIndexedToRgb({ ...png, palette }), channels: palette[0].length }
}

function withoutAlpha(values: Uint8Array, channels: number): Uint8Array {
  const colours = channels - 1
  const out = new Uint8Array((values.length / channels) * colours)
  for (let from = 0, to = 0; from < values.length; from += channels) {
    if (values[from + colours] !== 255) throw new Error('some of its pixels are transparent')
    for (let c = 0; c < colours; c++) out[to++] = values[from + c]
  }
  return out
}
