// The kernels that are bound by memory, in GB/s, against a copy within the device in the same run.
//
// A kernel's bytes are those it cannot avoid: each input read once, each output written once. Tensors of 64 Mi elements
// (256 MiB of f32) do not fit the L2 cache, so nothing is rotated. Philox and Box–Muller cost arithmetic, not bytes.
import { attempt, log, Results } from '../document.mjs'
import { median } from '../figures.mjs'
import { Kernels } from '../kernels/device.mjs'
import { elementwiseCases } from '../kernels/elementwise.mjs'
import { benchOptions, startPyTorch } from './device.mjs'

const options = benchOptions()
const { tiny, seconds } = options
const n = tiny ? 2 ** 15 : 2 ** 26
const kernels = new Kernels(options.device)

const pytorch = await startPyTorch('kernels', options)
const results = new Results(options.out, { what: 'memory', elements: n })
try {
  if (pytorch) {
    const bytes = tiny ? 1e5 : 2 ** 30
    const answer = await attempt(() => pytorch.ask('copy', { bytes, seconds: 2 * seconds }))
    if (!answer.error) results.set('copyGBs', (2 * bytes) / median(answer.seconds) / 1e9)
  }
} finally {
  pytorch?.kill()
}
for (const [kernel, dtype, bytes, call] of elementwiseCases(kernels, n)) {
  const row = await attempt(() => {
    const taken = median(kernels.repeated(call, seconds))
    return { seconds: taken, gbs: bytes / taken / 1e9 }
  })
  results.add({ kernel, dtype, bytes, ...row })
  if (!row.error) log(`${dtype} ${kernel}: ${row.gbs.toFixed(0)} GB/s`)
}
