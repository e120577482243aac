// How the speed of SGLD changes as one thing grows: batch, width, depth, image size, steps of a chain, threads. Ours and
// PyTorch in turns.
import { start } from './competitors.mjs'
import { spread } from './figures.mjs'

const usual = { net: 'wrn-16-2', batch: 16, size: 32, channels: 3, steps: 5 }
const fixed = { what: 'sgld', classes: 10, stepSize: 1, noiseStd: 0.01 }

/** What grows → the settings that differ from the usual ones, with the value that they stand for. */
const curves = {
  batch: [1, 4, 16, 64].map((batch) => ({ value: batch, batch })),
  width: [1, 2, 4, 8].map((width) => ({ value: width, net: `wrn-16-${width}`, steps: 1 })),
  depth: [10, 16, 22, 28].map((depth) => ({ value: depth, net: `wrn-${depth}-2` })),
  'image size': [16, 32, 64].map((size) => ({ value: size, size, steps: 2 })),
  'steps of a chain': [1, 5, 20].map((steps) => ({ value: steps, steps })),
}

/** → { usual, rounds, seconds, curves: [{ grows, points: [{ value, langevin, pytorch }] }] }, image-steps per second each
 *  with its spread. */
export async function measureScaling({ threads, rounds, seconds, tiny, log }) {
  const result = { usual: { ...usual, threads }, rounds, secondsPerSlice: seconds, curves: [] }
  const everywhere = await Promise.all(['langevin', 'pytorch'].map((name) => open(name, threads)))
  try {
    for (const [grows, all] of Object.entries(curves)) {
      const points = tiny ? all.slice(0, 1) : all
      result.curves.push({ grows, points: [] })
      for (const point of points) {
        result.curves.at(-1).points.push(await measure(everywhere, point, { rounds, seconds, tiny }))
      }
      log(`  ${grows}: ${points.map(({ value }) => value).join(', ')}`)
    }
  } finally {
    for (const peer of everywhere) peer?.kill()
  }
  const points = []
  for (let n = 1; n <= threads; n *= 2) {
    const peers = await Promise.all(['langevin', 'pytorch'].map((name) => open(name, n)))
    try {
      points.push(await measure(peers, { value: n }, { rounds, seconds, tiny }))
    } finally {
      for (const peer of peers) peer?.kill()
    }
  }
  result.curves.push({ grows: 'threads', points })
  log(`  threads: ${points.map(({ value }) => value).join(', ')}`)
  return result
}

async function open(name, threads) {
  const peer = start(name, { ...fixed, threads })
  await peer?.ready()
  return peer
}

async function measure(peers, { value, ...differs }, { rounds, seconds, tiny }) {
  const row = { ...fixed, ...usual, ...differs, ...(tiny && { net: 'wrn-10-1', batch: 1, size: 8 }) }
  const present = peers.filter(Boolean)
  const speeds = present.map(() => [])
  for (const peer of present) {
    await peer.ask('open', row)
    if (peer.name === 'pytorch') await peer.ask('choose', { seconds: seconds / 3 })
    await peer.ask('run', { seconds: seconds / 3, steps: row.steps })
  }
  for (let round = 0; round < rounds; round++) {
    for (const [i, peer] of present.entries()) {
      const slice = await peer.ask('run', { seconds, steps: row.steps })
      speeds[i].push((slice.steps * row.batch) / slice.seconds)
    }
  }
  return { value, ...Object.fromEntries(present.map((peer, i) => [peer.name, spread(speeds[i])])) }
}
