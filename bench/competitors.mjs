// Competitors as child processes that obey lines on stdin, so that several can be measured in turns, each warm.
// The protocol: one JSON object a line; {"do": NAME, …} is answered by one object, {"error": text} where it failed.
// The first line that a child writes says what it is: {"name", "version", …}.
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { onCores } from './machine.mjs'

export class Competitor {
  #child
  #answers
  #waiting = []
  #exit

  /** Starts `command`; settings go to the child as one JSON argument. */
  constructor(name, command, settings, environment = {}) {
    this.name = name
    const [file, ...args] = onCores(settings.threads, [...command, JSON.stringify(settings)])
    this.#child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    })
    this.#answers = []
    createInterface(this.#child.stdout).on('line', (line) => {
      const waiting = this.#waiting.shift()
      if (waiting) waiting.resolve(line)
      else this.#answers.push(line)
    })
    this.#child.on('exit', (code) => {
      this.#exit = new Error(`${name} left with code ${code}`)
      for (const { reject } of this.#waiting) reject(this.#exit)
    })
  }

  async #line() {
    if (this.#answers.length > 0) return this.#answers.shift()
    if (this.#exit) throw this.#exit
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  async #answer() {
    const answer = JSON.parse(await this.#line())
    if (answer.error) throw new Error(`${this.name}: ${answer.error}`)
    return answer
  }

  /** Waits until the child is up: what it says of itself. */
  async ready() {
    return this.#answer()
  }

  async ask(what, more = {}) {
    this.#child.stdin.write(`${JSON.stringify({ do: what, ...more })}\n`)
    return this.#answer()
  }

  close() {
    this.#child.stdin.end()
  }
}

/** A Python that has PyTorch: $PYTHON, python3 or Debian's own; undefined where none has. */
export function findPyTorch() {
  return [process.env.PYTHON, 'python3', '/usr/bin/python3']
    .filter(Boolean)
    .find((python) => spawnSync(python, ['-c', 'import torch']).status === 0)
}

export const pyTorchMissing =
  'PyTorch is skipped: no Python with torch was found; apt-get install python3-torch (Debian), or set PYTHON'

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
