// SGLD in TensorFlow.js with its WebAssembly backend (SIMD), as a competitor of npm run bench (protocol: src/cli/peer.ts).
// The same network and step as bench/pytorch/sgld.py. One thread: in Node its threaded build does not start (tfjs 4.22 says
// WASM_HAS_MULTITHREAD_SUPPORT is false there), and where it starts it stays with one (tensorflow/tfjs issue 8513).
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import { readSafetensors } from '../../dist/index.js'
import { repeated, serve } from '../serve.mjs'
import { convolutionsOf } from '../wide-resnet.mjs'

setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`)
await tf.setBackend('wasm')
await tf.ready()

const settings = JSON.parse(process.argv[2])
const { net, batch, size, channels, classes, stepSize, noiseStd } = settings
const layers = convolutionsOf(net, { size, channels })
const features = layers.at(-1).cout

/** Name in PyTorch's state dict → shape here: [kh, kw, cin, cout], [in, out] or [cout]. */
const shapes = {
  'class_output.weight': [features, classes],
  'class_output.bias': [classes],
}
for (const layer of layers) {
  shapes[`${nameOf(layer)}.weight`] = [layer.kernel, layer.kernel, layer.cin, layer.cout]
  shapes[`${nameOf(layer)}.bias`] = [layer.cout]
}

function nameOf({ name }) {
  if (name === 'stem') return 'f.conv1'
  const [stage, block, part] = name.split('.')
  return `f.layer${stage}.${block}.${part === 'shortcut' ? 'shortcut.0' : part}`
}

const weights = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => {
    const fanIn = shape.slice(0, -1).reduce((product, n) => product * n, 1)
    return [name, tf.randomNormal(shape, 0, name.endsWith('bias') ? 0 : Math.sqrt(2 / fanIn))]
  }),
)
let x = tf.randomUniform([batch, size, size, channels], -1, 1)

function convolution(input, layer) {
  const y = tf.conv2d(input, weights[`${nameOf(layer)}.weight`], layer.stride, padding(layer))
  return tf.add(y, weights[`${nameOf(layer)}.bias`])
}

// As PyTorch pads: one pixel on every side of a 3×3 kernel, also at stride 2, where 'same' would pad only one.
function padding({ kernel }) {
  const side = kernel >> 1
  return [
    [0, 0],
    [side, side],
    [side, side],
    [0, 0],
  ]
}

const activate = (t) => tf.leakyRelu(t, 0.2)

/** Logits of images, [batch, classes]. */
function forward(images) {
  const [stem, ...rest] = layers
  let h = convolution(images, stem)
  while (rest.length > 0) {
    const conv1 = rest.shift()
    const conv2 = rest.shift()
    const shortcut = rest[0]?.name.endsWith('shortcut') ? rest.shift() : undefined
    const branch = convolution(activate(convolution(activate(h), conv1)), conv2)
    h = tf.add(branch, shortcut ? convolution(h, shortcut) : h)
  }
  const pooled = tf.mean(activate(h), [1, 2])
  return tf.add(tf.matMul(pooled, weights['class_output.weight']), weights['class_output.bias'])
}

const inputGradient = tf.grad((images) => tf.sum(tf.logSumExp(forward(images), 1)))

function step() {
  const next = tf.tidy(() =>
    tf.add(tf.add(x, tf.mul(inputGradient(x), stepSize)), tf.randomNormal(x.shape, 0, noiseStd)),
  )
  x.dispose()
  x = next
}

await serve(
  { name: 'tfjs', version: tf.version['tfjs-core'], threads: 1, backend: tf.getBackend() },
  {
    run: (request) =>
      repeated((steps) => {
        for (let i = 0; i < steps; i++) step()
        x.dataSync()
      }, request),
    /** Loads our weights; the relative error of our input gradient against tfjs's, in float32. */
    async check({ path }) {
      const { tensors } = readSafetensors(path)
      const take = (name) => tf.tensor(Float32Array.from(tensors.get(name).data), tensors.get(name).shape)
      for (const name of Object.keys(shapes)) {
        const rank = shapes[name].length
        // OIHW → HWIO, [out, in] → [in, out]
        const order = rank === 4 ? [2, 3, 1, 0] : rank === 2 ? [1, 0] : [0]
        weights[name] = tf.transpose(take(name), order)
      }
      const expected = take('check.gradient')
      const gradient = inputGradient(take('check.x'))
      const error = tf.norm(tf.sub(gradient, expected)).dataSync()[0] / tf.norm(gradient).dataSync()[0]
      return { gradientError: error }
    },
  },
)
