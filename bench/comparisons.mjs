// The rows of the bench: ours and its competitors on the same work, in turns.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { start } from './competitors.mjs'
import { spread } from './figures.mjs'
import { images, operationsPerImageStep } from './wide-resnet.mjs'

/** How far a competitor's input gradient may lie from ours: rounding in its precision. */
const gradientBounds = { pytorch: 1e-10, tfjs: 1e-4 }

/** What every row has besides its own fields: no norm, 10 classes. */
const usual = { classes: 10, stepSize: 1, noiseStd: 0.01 }

const ours = { name: 'langevin' }
const pytorch = { name: 'pytorch' }
/** Slow: one slice in three rounds is enough, and one step a call. */
const tfjs = { name: 'tfjs', every: 3, stepsOfCall: 1 }

/** The rows. group says what a row shows; what, the work; steps, how many SGLD steps one call or iteration makes. The first
 *  side is the one that the others' ratios are of. */
export function comparisons({ threads, quick, tiny }) {
  const nets = tiny
    ? [{ net: 'wrn-10-1', batch: 2, steps: 2, size: 8, channels: 1 }]
    : [
        { net: 'wrn-10-1', batch: 64, steps: 20, ...images['wrn-10-1'] },
        { net: 'wrn-16-2', batch: 64, steps: 5, ...images['wrn-16-2'] },
        { net: 'wrn-28-10', batch: 8, steps: 1, ...images['wrn-28-10'] },
      ]
  const main = tiny ? nets[0] : nets[1]
  const chain = { steps: tiny ? 2 : 20, rounds: tiny ? 1 : quick ? 2 : 4 }
  const rows = [
    ...nets.map((row) => ({
      ...{ group: 'sgld', what: 'sgld', ...row },
      // WRN-28-10 takes tfjs minutes, and WRN-16-2 too long for a quick run.
      sides: [ours, pytorch, ...(row.net === 'wrn-10-1' || (row.net === 'wrn-16-2' && !quick) ? [tfjs] : [])],
    })),
    // An iteration of WRN-16-2 takes seconds.
    { group: 'iteration', what: 'iteration', ...(quick ? nets[0] : main), ...chain, sides: [ours, pytorch] },
    ...(quick ? [1] : [1, main.batch]).map((batch) => ({
      group: 'inference',
      what: 'inference',
      ...main,
      batch,
      sides: [ours, pytorch],
    })),
    // The last side shows what the further cores bring.
    ...(quick ? [] : nets).map((row) => ({
      ...{ group: 'one thread', what: 'sgld', ...row },
      sides: [{ ...ours, threads: 1 }, { ...pytorch, threads: 1 }, ...(threads > 1 ? [{ ...ours, threads }] : [])],
    })),
    ...(quick ? [] : nets).map((row) => ({
      ...{ group: 'avx2', what: 'sgld', ...row },
      sides: [ours, pytorch].map((side) => ({ ...side, isa: 'avx2' })),
    })),
  ]
  return rows.map((row) => ({ ...usual, ...row }))
}

/** How long one call of a row takes at least, as steps of the protocol: SGLD steps, or one iteration or pass. */
const stepsOfCall = ({ what, steps }) => (what === 'sgld' ? steps : 1)

/** Measures a row: each side warm, in its fastest mode, then `rounds` slices of `seconds` in turns. → the row with figures
 *  in every side, or the side's error or why it was skipped. Throws where ours fails or a gradient is not ours. */
export async function compare(row, { rounds, seconds, threads }) {
  const sides = []
  try {
    for (const side of row.sides) sides.push(await open(side, row, { seconds, threads }))
    const present = sides.filter(({ peer }) => peer)
    const run = (side, limit) => side.peer.ask('run', { seconds: limit, steps: side.stepsOfCall ?? stepsOfCall(row) })
    for (const side of present) await run(side, seconds / 2) // warm-up
    for (let round = 0; round < (row.rounds ?? rounds); round++) {
      for (const side of present) {
        if (round % (side.every ?? 1) === 0) side.slices[round] = await run(side, seconds)
      }
    }
    const { sides: _, rounds: __, classes: ___, ...told } = row
    return { ...told, sides: sides.map((side) => figures(side, sides[0], row)) }
  } finally {
    for (const { peer } of sides) peer?.kill()
  }
}

/** A side that is up, checked and in its fastest mode. */
async function open({ every, stepsOfCall, isa, ...side }, row, { seconds, threads }) {
  const { sides: _, rounds: __, ...fields } = row
  const settings = { ...fields, threads: side.threads ?? threads }
  const told = { name: side.name, threads: settings.threads, ...(isa && { isa }) }
  const peer = start(side.name, settings, isa)
  if (!peer) return { told: { ...told, skipped: true } }
  try {
    Object.assign(told, await peer.ready())
    if (row.group === 'sgld' && gradientBounds[side.name]) told.gradientError = await check(peer, settings)
    if (side.name === 'pytorch') {
      const { mode, layout } = await peer.ask('choose', { seconds: seconds / 3 })
      Object.assign(told, { mode, layout })
    }
  } catch (error) {
    peer.kill()
    throw error
  }
  return { told, every, stepsOfCall, peer, slices: [] }
}

/** The relative error of a competitor's input gradient on our weights. */
async function check(peer, settings) {
  const folder = mkdtempSync(join(tmpdir(), 'langevin-bench-'))
  const path = join(folder, 'weights.safetensors')
  const own = start('langevin', settings)
  try {
    await own.ready()
    await own.ask('dump', { path })
    const { gradientError } = await peer.ask('check', { path })
    if (!(gradientError < gradientBounds[peer.name])) {
      throw new Error(`${settings.net}: ${peer.name}'s gradient differs from ours by ${gradientError}`)
    }
    return gradientError
  } finally {
    own.kill()
    rmSync(folder, { recursive: true })
  }
}

/** Images (or image-steps) per second over the slices; the ratio of the first side's to this one's over the pairs. */
function figures({ told, slices }, first, row) {
  if (!slices) return told
  const speed = ({ steps, seconds }) => (steps * row.batch) / seconds
  const own = slices.filter(Boolean)
  const perSecond = spread(own.map(speed))
  const operations = row.what === 'sgld' && operationsPerImageStep(row.net, row)
  const pairs = slices.flatMap((slice, round) =>
    first.slices?.[round] ? speed(first.slices[round]) / speed(slice) : [],
  )
  return {
    ...told,
    slices: own.length,
    perSecond,
    secondsPerCall: (row.batch * stepsOfCall(row)) / perSecond.median,
    ...(operations && { gflops: (perSecond.median * operations) / 1e9 }),
    ...(told !== first.told && { ratio: spread(pairs) }),
  }
}

/** A line for people. */
export function summary({ group, net, batch, what, sides }) {
  const unit = { sgld: 'image-steps/s', iteration: 'images/s', inference: 'images/s' }[what]
  const told = sides.map(({ name, threads, perSecond, ratio, skipped }) =>
    skipped
      ? `${name} skipped`
      : `${name}${group === 'one thread' ? ` (${threads})` : ''} ${perSecond.median.toPrecision(3)}${ratio ? ` (${ratio.median.toFixed(2)}×)` : ''}`,
  )
  return `${group}: ${net}, batch ${batch}: ${told.join(', ')} ${unit}`
}
