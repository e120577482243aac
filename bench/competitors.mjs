// Competitors as child processes (protocol: src/cli/peer.ts) on chosen cores: who takes part, and who is missing.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findPyTorch, Peer, pyTorchMissing } from '../dist/cli/peer.js'
import { onCores, root } from './machine.mjs'

let known
/** What is installed, looked for once. */
const found = () => {
  known ??= {
    python: findPyTorch(),
    tfjs: existsSync(join(root, 'bench/tfjs/node_modules/@tensorflow/tfjs-backend-wasm')),
  }
  return known
}

/** Who takes part: name → the command for a kind of row (sgld, iteration, inference), or undefined where it does not. */
const commands = {
  langevin: () => [process.execPath, join(root, 'bench/langevin/peer.mjs')],
  pytorch: (what) => (found().python ? [found().python, join(root, 'bench/pytorch', `${what}.py`)] : undefined),
  tfjs: (what) => (what === 'sgld' && found().tfjs ? [process.execPath, join(root, 'bench/tfjs/peer.mjs')] : undefined),
}

/** What is not here, and how to install it: a line each. */
export function missing() {
  return [
    ...(found().python ? [] : [pyTorchMissing]),
    ...(found().tfjs ? [] : ['tfjs is skipped: npm ci --ignore-scripts --prefix bench/tfjs installs it']),
  ]
}

/** PyTorch held to AVX2: ATen's own kernels, oneDNN, and MKL where PyTorch was built with that. */
const heldToAvx2 = {
  langevin: { LANGEVIN_ISA: 'avx2' },
  pytorch: { ATEN_CPU_CAPABILITY: 'avx2', ONEDNN_MAX_CPU_ISA: 'AVX2', MKL_ENABLE_INSTRUCTIONS: 'AVX2' },
}

/** A peer on the first `settings.threads` cores. */
export class Competitor extends Peer {
  constructor(name, command, settings, environment) {
    super(name, onCores(settings.threads, command), settings, environment)
  }
}

/** Starts one on the first `settings.threads` cores; undefined where it is not here. isa: avx2, or what there is. */
export function start(name, settings, isa) {
  const command = commands[name](settings.what)
  return command && new Competitor(name, command, settings, isa && heldToAvx2[name])
}

/** What PyTorch's oneDNN says it uses, by its verbose mode; undefined where it says nothing. */
export function oneDnnIsa(isa) {
  const { python } = found()
  if (!python) return undefined
  const convolution = 'import torch; torch.nn.functional.conv2d(torch.ones(4, 32, 32, 32), torch.ones(32, 32, 3, 3))'
  const verbose = { ONEDNN_VERBOSE: '1', DNNL_VERBOSE: '1', ...(isa && heldToAvx2.pytorch) }
  const { stdout } = spawnSync(python, ['-c', convolution], { encoding: 'utf8', env: { ...process.env, ...verbose } })
  return /info,cpu,isa:(.*)/.exec(stdout ?? '')?.[1].trim()
}
