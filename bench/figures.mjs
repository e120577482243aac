// Figures of several slices that took turns.

/** Measures competitors in turns: `rounds` times one slice of each, in order. → per competitor, the slices. */
export async function inTurns(competitors, rounds, slice) {
  const slices = competitors.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [i, competitor] of competitors.entries()) slices[i].push(await slice(competitor))
  }
  return slices
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Median with the lowest and highest. */
export function spread(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}
