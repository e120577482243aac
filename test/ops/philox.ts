/** What the engine's random ops must give, one element at a time, from the host's Philox and the closed forms. */
import type { Generator } from '../../src/random/generator.ts'
import { philox4x32 } from '../../src/random/philox.ts'

/** Word e of the generator's next draw (which is not used up), or `count` words from there, of stream + `beside`. */
export function wordsOf(generator: Generator, e: number): number
export function wordsOf(generator: Generator, e: number, beside: number, count: number): number[]
export function wordsOf(generator: Generator, e: number, beside = 0, count?: number): number | number[] {
  const { seed, step, stream, purpose } = generator.state()
  const words = philox4x32(
    [Math.floor(e / 4), step, stream + beside, purpose],
    [seed >>> 0, Math.floor(seed / 2 ** 32)],
  )
  return count === undefined ? words[e % 4] : words.slice(e % 4, (e % 4) + count)
}

/** 24 bits, as native/core/philox.h `uniformOf`. */
export function uniformsOf(generator: Generator, e: number): number {
  return (wordsOf(generator, e) >>> 8) / 2 ** 24
}

/** Box–Muller in float64: the closed form of native/core/philox.h. */
export function boxMuller(generator: Generator, e: number): number {
  const pair = e - (e % 2)
  const u = ((wordsOf(generator, pair) >>> 8) + 1) / 2 ** 24
  const word = wordsOf(generator, pair + 1)
  const angle = ((word >>> 30) + (((word >>> 6) & 0xffffff) - 0x800000) / 2 ** 24) * (Math.PI / 2)
  const r = Math.sqrt(-2 * Math.log(u))
  return e % 2 === 0 ? r * Math.cos(angle) : r * Math.sin(angle)
}
