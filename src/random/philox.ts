/** Philox4x32-10 (Salmon et al., SC 2011) on the host: the numbers that native/core/philox.h makes on the devices. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const h0 = mulHigh(0xd2511f53, c0)
    const l0 = Math.imul(0xd2511f53, c0) >>> 0
    const h1 = mulHigh(0xcd9e8d57, c2)
    const l1 = Math.imul(0xcd9e8d57, c2) >>> 0
    ;[c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0]
    k0 = (k0 + 0x9e3779b9) >>> 0
    k1 = (k1 + 0xbb67ae85) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** Upper 32 bits of the 64-bit product of two 32-bit integers. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16) // < 2^32
  const cross = aLow * bHigh + (middle & 0xffff)
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) >>> 0
}
