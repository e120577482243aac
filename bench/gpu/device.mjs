// What the GPU's benches share: their flags, PyTorch on the same device, inputs that no cache holds.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findPyTorch, Peer, pyTorchMissing } from '../../dist/cli/peer.js'
import { log } from '../document.mjs'
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

/** How many sets of inputs of `bytes` are rotated so that none is in the L2 cache when its turn comes again. */
export function rotatedSets(bytes, l2Bytes = 50e6) {
  return Math.min(16, Math.max(2, Math.ceil((3 * l2Bytes) / bytes)))
}
