// Every distinct convolution of WRN-28-10, forward, to the input and to the weight, ours against cuDNN through PyTorch,
// in TFLOP/s, beside the matrix peak measured in the same run.
//
// Ours does more in the same time: forward adds the bias, applies LeakyReLU and writes the sign bits; the gradient to the
// input applies sign bits. cuDNN's call is the bare convolution, channels_last, with the algorithm that
// cudnn.benchmark finds; with a shortcut, two of them and a sum. Inputs rotate past the L2 cache on both sides. Ours is timed by the clock around many calls,
// PyTorch by CUDA events.

import { attempt, log, Results } from '../document.mjs'
import { median } from '../figures.mjs'
import { prepareConvolution } from '../kernels/convolution.mjs'
import { Kernels } from '../kernels/device.mjs'
import { distinctConvolutions, images, label, passesOf, passOf } from '../wide-resnet.mjs'
import { benchOptions, rotatedSets, startPyTorch } from './device.mjs'

const options = benchOptions()
const { tiny, seconds } = options
const net = tiny ? 'wrn-10-2' : 'wrn-28-10'
const image = tiny ? { size: 8, channels: 3 } : images[net]
const batches = tiny ? [2] : [64, 256]
const precision = 'bf16'

const kernels = new Kernels(options.device)
const pytorch = await startPyTorch('kernels', options)
const results = new Results(options.out, { what: 'convolutions', net, precision, level: kernels.level() })
if (pytorch) results.set('pytorch', pytorch.about)

try {
  if (pytorch) {
    const n = tiny ? 64 : 8192
    const answer = await attempt(() => pytorch.ask('matmul', { n, precision, seconds: 4 * seconds }))
    if (!answer.error) results.set('matrixPeakTflops', (2 * n ** 3) / median(answer.seconds) / 1e12)
  }
  for (const batch of batches) {
    for (const layer of distinctConvolutions(net, image)) {
      for (const pass of passesOf(layer)) {
        const { operations, bytes } = passOf(layer, pass, batch)
        const sets = tiny ? 2 : rotatedSets(bytes, pytorch?.about.l2Bytes ?? undefined)
        const row = { layer: label(layer), ...layer, batch, pass, operations, bytes, sets }
        const figures = (taken) => ({ seconds: taken, tflops: operations / taken / 1e12 })
        const { handles, call } = prepareConvolution(kernels, layer, { batch, pass, sets, dtype: 'bf16' })
        row.langevin = await attempt(() => figures(median(kernels.repeated(call, seconds))))
        kernels.free(...handles)
        if (pytorch) {
          const request = { layer: { ...layer, batch }, what: pass, precision, sets, seconds }
          row.pytorch = await attempt(async () => figures(median((await pytorch.ask('convolution', request)).seconds)))
          row.ratio = row.pytorch.seconds / row.langevin.seconds || undefined
        }
        results.add(row)
        const tflops = (figure) => figure.tflops?.toFixed(1) ?? 'failed'
        log(
          `batch ${batch}, ${row.layer}, ${pass}: ${tflops(row.langevin)} TFLOP/s` +
            (pytorch ? `, cuDNN ${tflops(row.pytorch)}` : ''),
        )
      }
    }
  }
} finally {
  pytorch?.kill()
}
