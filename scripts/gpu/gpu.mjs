// The GPU as nvidia-smi tells it: what it is, and its clocks and power while something runs. Reads only.
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { median } from '../../bench/figures.mjs'

const facts = {
  name: 'name',
  driver: 'driver_version',
  memory: 'memory.total',
  computeCapability: 'compute_cap',
  powerLimit: 'power.limit',
  maximalClock: 'clocks.max.sm',
}
const watched = {
  clockMHz: 'clocks.sm',
  memoryClockMHz: 'clocks.mem',
  powerW: 'power.draw',
  temperatureC: 'temperature.gpu',
}

/** undefined where there is no GPU, or no driver for it. */
export function describeGpu() {
  const done = spawnSync(
    'nvidia-smi',
    [`--query-gpu=${Object.values(facts).join(',')}`, '--format=csv,noheader', '-i', '0'],
    {
      encoding: 'utf8',
    },
  )
  if (done.status !== 0 || !done.stdout.trim()) return undefined
  const values = done.stdout.trim().split(/, */)
  return Object.fromEntries(Object.keys(facts).map((key, i) => [key, values[i]]))
}

/** Reads clocks, power and temperature twice a second until it is stopped. */
export class GpuWatch {
  #child
  #samples = []

  constructor() {
    const query = `--query-gpu=${Object.values(watched).join(',')}`
    this.#child = spawn('nvidia-smi', [query, '--format=csv,noheader,nounits', '-i', '0', '-lms', '500'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    this.#child.on('error', () => {})
    createInterface(this.#child.stdout).on('line', (line) => {
      this.#samples.push({ at: Date.now(), values: line.split(/, */).map(Number) })
    })
  }

  /** { clockMHz: { median, min, max }, … } between two times (ms); {} where nothing was read. */
  between(from, to) {
    const inside = this.#samples.filter(({ at }) => at >= from && at <= to)
    if (inside.length === 0) return {}
    return Object.fromEntries(
      Object.keys(watched).map((key, i) => {
        const values = inside.map((sample) => sample.values[i])
        return [key, { median: median(values), min: Math.min(...values), max: Math.max(...values) }]
      }),
    )
  }

  stop() {
    this.#child.kill()
  }
}
