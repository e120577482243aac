/** Centred moving mean over `window` values (made odd), narrower at both ends. y: [n] → [n]. O(n). */
export function smooth(y: ArrayLike<number>, window: number): Float64Array {
  const reach = Math.floor(Math.max(1, window) / 2)
  const out = new Float64Array(y.length)
  let sum = 0
  let from = 0
  let to = 0
  for (let i = 0; i < y.length; i++) {
    while (to < Math.min(y.length, i + reach + 1)) sum += y[to++]
    while (from < i - reach) sum -= y[from++]
    out[i] = sum / (to - from)
  }
  return out
}

/** At most about `limit` of the points of a long curve, such that its envelope stays: of each run of points the lowest
 *  and the highest, in order. */
export function thin(x: ArrayLike<number>, y: ArrayLike<number>, limit: number): { x: number; y: number }[] {
  const n = x.length
  const at = (i: number) => ({ x: x[i], y: y[i] })
  if (n <= limit) return Array.from({ length: n }, (_, i) => at(i))
  const runs = Math.max(1, Math.floor(limit / 2))
  const kept: { x: number; y: number }[] = []
  for (let run = 0; run < runs; run++) {
    const from = Math.floor((run * n) / runs)
    const to = Math.floor(((run + 1) * n) / runs)
    let low = from
    let high = from
    for (let i = from; i < to; i++) {
      if (y[i] < y[low]) low = i
      if (y[i] > y[high]) high = i
    }
    kept.push(at(Math.min(low, high)))
    if (low !== high) kept.push(at(Math.max(low, high)))
  }
  return kept
}
