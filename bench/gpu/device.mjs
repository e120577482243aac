// What the GPU's benches share: their flags, our device by handles, time, and results that survive a time limit.
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findPyTorch, Peer, pyTorchMissing } from '../../dist/cli/peer.js'
import { nativeDevice } from '../../dist/native/device.js'
import { root } from '../machine.mjs'

/** The flags of every bench here. --tiny: smallest sizes, which prove the program and measure nothing. */
export function benchOptions() {
  const { values } = parseArgs({
    options: {
      device: { type: 'string', default: 'cuda' },
      out: { type: 'string' },
      tiny: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      'no-peer': { type: 'boolean', default: false },
    },
  })
  const seconds = Number(values.seconds ?? (values.tiny ? 0.001 : 0.15))
  return { device: values.device, out: values.out, tiny: values.tiny, seconds, peer: !values['no-peer'] }
}

/** PyTorch as the program bench/pytorch/<name>.py on the same kind of device; undefined, with a line, where there is none. */
export async function startPyTorch(name, { device, peer: wanted }) {
  const python = wanted ? findPyTorch() : undefined
  if (!python) {
    if (wanted) log(pyTorchMissing)
    return undefined
  }
  const program = join(root, 'bench/pytorch', `${name}.py`)
  const peer = new Peer('pytorch', [python, program], { device })
  try {
    return { about: await peer.ready(), ask: (...args) => peer.ask(...args), kill: () => peer.kill() }
  } catch (error) {
    log(`PyTorch is skipped: ${error.message}`)
    return undefined
  }
}

/** What `ask` answers, or { error } where it failed: one figure that is missing must not cost the others. */
export async function attempt(ask) {
  try {
    return await ask()
  } catch (error) {
    log(`  ${error.message}`)
    return { error: error.message }
  }
}

export const log = (line) => process.stderr.write(`${line}\n`)

/** A document that is written anew after every row, so that a run which is cut off keeps what it has. */
export class Results {
  #path
  #document

  constructor(path, about) {
    this.#path = path
    this.#document = { ...about, rows: [] }
  }

  add(row) {
    this.#document.rows.push(row)
    this.#write()
  }

  set(key, value) {
    this.#document[key] = value
    this.#write()
  }

  #write() {
    const text = `${JSON.stringify(this.#document, null, 2)}\n`
    if (!this.#path) return
    writeFileSync(`${this.#path}.part`, text)
    renameSync(`${this.#path}.part`, this.#path)
  }
}

const bytesOf = { f32: 4, bf16: 2, u8: 1, i32: 4 }

/** The device by handles and calls of its op table, without tensors. */
export class Kernels {
  #native
  #seed = 0

  constructor(kind) {
    this.#native = nativeDevice(kind)
    this.kind = kind
    this.ops = this.#native.ops
  }

  level() {
    return this.#native.addon.variant()
  }

  empty(count, dtype) {
    return this.#native.alloc(count, dtype)
  }

  normal(count, dtype, std = 1) {
    const y = this.empty(count, dtype)
    this.ops.randomNormal(y, count, 0, std, ++this.#seed, 0, 0, 0)
    return y
  }

  /** N(0, 1) after LeakyReLU, as the network's activations: data of constant bits uses less power and runs faster. */
  activations(count, dtype) {
    const x = this.normal(count, dtype)
    this.ops.leakyRelu(x, x, 0, count, 0.2)
    return x
  }

  free(...handles) {
    for (const handle of handles) if (handle) this.#native.addon.free(handle)
  }

  synchronize() {
    this.#native.synchronize()
  }

  /** Seconds of one call(i), one figure a slice: the clock around calls of at least 20 ms (where seconds allow it) that
   *  end with the device. i counts through, for inputs that rotate. */
  repeated(call, seconds, slices = 5) {
    let done = 0
    const run = (count) => {
      const start = process.hrtime.bigint()
      for (let i = 0; i < count; i++) call(done + i)
      this.synchronize()
      done += count
      return Number(process.hrtime.bigint() - start) / 1e9 / count
    }
    run(2)
    const count = Math.max(1, Math.round(seconds / slices / run(3)))
    return Array.from({ length: slices }, () => run(count))
  }
}

/** How many sets of inputs of `bytes` are rotated so that none is in the L2 cache when its turn comes again. */
export function rotatedSets(bytes, l2Bytes = 50e6) {
  return Math.min(16, Math.max(2, Math.ceil((3 * l2Bytes) / bytes)))
}

export const sizeOf = (dtype) => bytesOf[dtype]
