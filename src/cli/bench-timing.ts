import { cpus } from 'node:os'
import type { Device } from '../native/contract.ts'
import type { Precision } from '../ops/precision.ts'
import { instructionSet } from '../tensor/instruction-set.ts'
import { synchronize } from '../tensor/memory.ts'
import { threadCount } from './device.ts'

/** One measurement is at least this long (ms): the clock and the wait for the device then count for nothing. */
const roundMs = 50

/** Repeats something; the milliseconds that the repeats took. */
export type Run = (repeats: number) => Promise<number>

/** Milliseconds that `work` takes, the device's part included. */
export function millisecondsOf(device: Device, work: () => void): number {
  synchronize(device)
  const start = performance.now()
  work()
  synchronize(device)
  return performance.now() - start
}

/** Milliseconds of one repeat, one figure a round. */
export async function measure(run: Run, { seconds }: { seconds: number }, signal: AbortSignal): Promise<number[]> {
  const repeats = Math.max(1, Math.ceil(roundMs / Math.max(1e-3, await run(1))))
  const times: number[] = []
  const end = performance.now() + 1000 * seconds
  do {
    times.push((await run(repeats)) / repeats)
    // Lets Ctrl-C in.
    await new Promise(setImmediate)
    signal.throwIfAborted()
  } while (performance.now() < end)
  return times
}

export function about(device: Device) {
  return {
    ...(device === 'cpu' ? { cpu: cpus()[0]?.model, instructionSet: instructionSet() } : {}),
    node: process.version,
    date: new Date().toISOString(),
  }
}

export function heading(what: string, device: Device, precision: Precision): string {
  const where = device === 'cpu' ? `${cpus()[0]?.model}, ${instructionSet()}, ${threadCount(device)} threads` : device
  return `${what}; ${precision}; ${where}; median\n`
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
