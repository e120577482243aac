// Every distinct convolution of WRN-28-10, forward, to the input and to the weight, ours against cuDNN through PyTorch,
// in TFLOP/s, beside the matrix peak measured in the same run.
//
// Ours does more in the same time: forward adds the bias, applies LeakyReLU and writes the sign bits; the gradient to the
// input applies sign bits. cuDNN's call is the bare convolution, channels_last, with the algorithm that
// cudnn.benchmark finds; with a shortcut, two of them and a sum. Inputs rotate past the L2 cache on both sides. Ours is timed by the clock around many calls,
// PyTorch by CUDA events.

import { median } from '../competitors.mjs'
import { distinctConvolutions, images, label, passesOf, passOf } from '../wide-resnet.mjs'
import { attempt, benchOptions, Kernels, log, Results, rotatedSets, startPyTorch } from './device.mjs'

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

function prepare(layer, batch, pass, sets) {
  const { size, cin, cout, kernel, stride, shortcut = 0 } = layer
  const out = size / stride
  const [inputs, outputs, weights] = [batch * size ** 2 * cin, batch * out ** 2 * cout, kernel ** 2 * cin * cout]
  const shape = [batch, size, size, cin, cout, kernel, kernel, stride, kernel >> 1]
  const several = (count) => Array.from({ length: sets }, () => kernels.activations(count, 'bf16'))
  const w = kernels.normal(weights, 'bf16', 0.05)
  const handles = [w]
  const own = (made) => {
    handles.push(...[made].flat())
    return made
  }
  if (pass === 'forward') {
    const [xs, bias, y] = [own(several(inputs)), own(kernels.normal(cout, 'bf16')), own(kernels.empty(outputs, 'bf16'))]
    const signs = own(kernels.empty(Math.ceil(outputs / 8), 'u8'))
    const added = shortcut ? own(several(batch * size ** 2 * shortcut)) : []
    const addedWeight = shortcut ? own(kernels.normal(shortcut * cout, 'bf16', 0.05)) : 0
    const call = (i) =>
      kernels.ops.conv2d(
        ...[xs[i % sets], w, bias, 0, added[i % sets] ?? 0, addedWeight, 0, y, 0, signs],
        ...[...shape, shortcut, 0.2],
      )
    return { handles, call }
  }
  const dys = own(several(outputs))
  if (pass === 'dgrad') {
    const [signs, dx] = [own(kernels.empty(Math.ceil(inputs / 8), 'u8')), own(kernels.empty(inputs, 'bf16'))]
    kernels.ops.fill(signs, Math.ceil(inputs / 8), 0b01100101)
    return { handles, call: (i) => kernels.ops.conv2dBackwardInput(dys[i % sets], w, signs, 0, dx, ...shape, 0.2) }
  }
  const [xs, dw, db] = [own(several(inputs)), own(kernels.empty(weights, 'bf16')), own(kernels.empty(cout, 'bf16'))]
  return { handles, call: (i) => kernels.ops.conv2dBackwardWeight(xs[i % sets], dys[i % sets], dw, db, ...shape) }
}

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
        const { handles, call } = prepare(layer, batch, pass, sets)
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
