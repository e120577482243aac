// Runs every hot kernel once at every level of the device (simt, sm80, sm90) on small whole numbers, where every product
// and sum is exact, and compares the levels bit for bit. Short enough to run under compute-sanitizer.
// Usage: node scripts/gpu/hot-kernels.mjs [--device cuda] [--tiny]
import { parseArgs } from 'node:util'
import { Kernels, sizeOf } from '../../bench/kernels/device.mjs'
import { nativeDevice } from '../../dist/native/device.js'

const { values: options } = parseArgs({
  options: { device: { type: 'string', default: 'cuda' }, tiny: { type: 'boolean', default: false } },
})
const { addon, ops } = nativeDevice(options.device)
const kernels = new Kernels(options.device)
// Winograd's transforms make fractions of whole numbers.
addon.setPrecision('strict')

/** The shapes of the reference nets, one of each kind; with few images. `shortcut`: channels of the 1×1 convolution that
 *  the forward pass adds. */
const layers = [
  { name: 'stem', batch: 2, size: 32, cin: 3, cout: 16, kernel: 3, stride: 1 },
  { name: 'grey stem', batch: 2, size: 28, cin: 1, cout: 16, kernel: 3, stride: 1 },
  { name: '16 channels', batch: 2, size: 28, cin: 16, cout: 16, kernel: 3, stride: 1 },
  { name: '32 channels', batch: 2, size: 16, cin: 32, cout: 32, kernel: 3, stride: 1 },
  { name: '64 channels, stride 2', batch: 2, size: 16, cin: 64, cout: 64, kernel: 3, stride: 2, shortcut: 32 },
  { name: 'shortcut', batch: 2, size: 16, cin: 32, cout: 64, kernel: 1, stride: 2 },
  ...(options.tiny
    ? []
    : [
        { name: '16 to 160', batch: 2, size: 32, cin: 16, cout: 160, kernel: 3, stride: 1 },
        { name: 'stage 1', batch: 2, size: 32, cin: 160, cout: 160, kernel: 3, stride: 1, shortcut: 16 },
        { name: 'stage 2, stride 2', batch: 2, size: 32, cin: 320, cout: 320, kernel: 3, stride: 2, shortcut: 160 },
        { name: 'stage 2', batch: 2, size: 16, cin: 320, cout: 320, kernel: 3, stride: 1 },
        { name: 'stage 3', batch: 4, size: 8, cin: 640, cout: 640, kernel: 3, stride: 1 },
        { name: 'stage 3, shortcut', batch: 2, size: 16, cin: 320, cout: 640, kernel: 1, stride: 2 },
      ]),
]

/** Whole numbers from -2 to 2, the same at every call with the same seed. */
function whole(count, dtype, seed) {
  const [numbers, y] = [kernels.empty(count, 'i32'), kernels.empty(count, dtype)]
  ops.randomInt(numbers, count, -2, 3, seed, 0, 0, 0)
  ops.convert(numbers, y, count)
  kernels.free(numbers)
  return y
}

function bits(count, seed) {
  const [numbers, y] = [kernels.empty(count, 'i32'), kernels.empty(count, 'u8')]
  ops.randomInt(numbers, count, 0, 256, seed, 0, 0, 0)
  ops.convert(numbers, y, count)
  kernels.free(numbers)
  return y
}

/** Bytes of the outputs of run(…inputs, …outputs); a sentinel in each output shows what was not written. */
function outputsOf({ inputs, outputs, run }) {
  const made = outputs.map(([count, dtype]) => {
    const y = kernels.empty(count, dtype)
    ops.fill(y, count, dtype === 'u8' ? 0xcd : 77)
    return y
  })
  run(...inputs, ...made)
  const bytes = made.map((handle, i) => {
    const [count, dtype] = outputs[i]
    const into = new { f32: Float32Array, i32: Int32Array, bf16: Uint16Array, u8: Uint8Array }[dtype](count)
    addon.readSync(handle, into)
    return Buffer.from(into.buffer, 0, count * sizeOf(dtype))
  })
  kernels.free(...made)
  return bytes
}

function* convolutionCases(dtype) {
  for (const [seed, { name, batch, size, cin, cout, kernel, stride, shortcut }] of layers.entries()) {
    const out = size / stride
    const [nx, ny, nw] = [batch * size ** 2 * cin, batch * out ** 2 * cout, kernel ** 2 * cin * cout]
    const shape = [batch, size, size, cin, cout, kernel, kernel, stride, kernel >> 1]
    const [x, w, dy] = [whole(nx, dtype, 3 * seed), whole(nw, dtype, 3 * seed + 1), whole(ny, dtype, 3 * seed + 2)]
    const [bias, signs] = [whole(cout, dtype, 90), bits(Math.ceil(nx / 8), 91)]
    yield {
      name: `${name}, forward`,
      inputs: [x, w, bias, dy],
      outputs: [
        [ny, dtype],
        [Math.ceil(ny / 8), 'u8'],
      ],
      run: (x, w, bias, residual, y, words) =>
        ops.conv2d(x, w, bias, residual, 0, 0, 0, y, 0, words, ...shape, 0, 0.25),
    }
    if (shortcut) {
      const added = [
        whole(batch * size ** 2 * shortcut, dtype, 92),
        whole(shortcut * cout, dtype, 93),
        whole(cout, dtype, 94),
      ]
      yield {
        name: `${name}, forward with its shortcut`,
        inputs: [x, w, bias, ...added],
        outputs: [
          [ny, dtype],
          [Math.ceil(ny / 8), 'u8'],
        ],
        run: (x, w, bias, sx, sw, sb, y, words) =>
          ops.conv2d(x, w, bias, 0, sx, sw, sb, y, 0, words, ...shape, shortcut, 0.25),
      }
      kernels.free(...added)
    }
    yield {
      name: `${name}, input gradient`,
      inputs: [dy, w, signs, x],
      outputs: [[nx, dtype]],
      run: (dy, w, signs, add, dx) => ops.conv2dBackwardInput(dy, w, signs, add, dx, ...shape, 0.25),
    }
    yield {
      name: `${name}, weight gradient`,
      inputs: [x, dy],
      outputs: [
        [nw, dtype],
        [cout, dtype],
      ],
      run: (x, dy, dw, db) => ops.conv2dBackwardWeight(x, dy, dw, db, ...shape),
    }
    kernels.free(x, w, dy, bias, signs)
  }
}

function* otherCases(dtype) {
  const n = 40_009 // odd: vectors have a rest
  const [x, g, weights] = [whole(n, dtype, 100), whole(n, dtype, 101), whole(64 * 48, dtype, 102)]
  const indices = kernels.empty(64, 'i32')
  ops.randomInt(indices, 64, 0, 100, 103, 0, 0, 0)
  const images = bits(100 * 12 * 12 * 3, 104)
  const one = (name, inputs, outputs, run) => ({ name, inputs, outputs, run })
  yield one(
    'leakyRelu',
    [x],
    [
      [n, dtype],
      [Math.ceil(n / 8), 'u8'],
    ],
    (x, y, s) => ops.leakyRelu(x, y, s, n, 0.25),
  )
  yield one('sum', [x], [[1, dtype]], (x, y) => ops.reduce(0, x, y, 1, n, 1))
  yield one('matmul', [x, weights], [[100 * 48, dtype]], (a, b, y) => ops.matmul(a, b, 0, y, 100, 48, 64, 0, 0))
  yield one('pooling', [x], [[4 * 64, dtype]], (x, y) => ops.avgPool2d(x, y, 4, 8, 8, 64, 8, 8))
  yield one('its gradient', [x], [[4 * 4096, dtype]], (dy, dx) => ops.avgPool2dBackward(dy, dx, 4, 8, 8, 64, 8, 8))
  yield one('logsumexp', [x], [[1000, dtype]], (x, y) => ops.logsumexp(x, y, 1000, 10))
  yield one('softmax', [x], [[10_000, dtype]], (x, y) => ops.softmax(x, y, 1000, 10, 0))
  yield one('gatherRows', [x, indices], [[64 * 300, dtype]], (x, i, y) => ops.gatherRows(x, i, y, 100, 64, 300))
  yield one('scatterRows', [x, indices], [[100 * 300, dtype]], (x, i, y) => ops.scatterRows(x, i, y, 100, 64, 300, 1))
  yield one('sgldUpdate', [g], [[n, dtype]], (g, x) => ops.sgldUpdate(x, g, n, 1, 0.01, 1, -100, 100, 5, 6, 7, 8))
  if (dtype === 'f32') {
    yield one(
      'adam',
      [g],
      [
        [n, 'f32'],
        [n, 'f32'],
        [n, 'f32'],
      ],
      (g, p, m, v) => ops.adam([p], [g], [m], [v], 0, 1e-3, 0.9, 0.999, 1e-8, 0.01, 3),
    )
    yield one('imageBatch', [images, indices], [[64 * 432, 'f32']], (u, i, y) =>
      ops.imageBatch(u, i, y, 100, 64, 12, 12, 3, 2, 1, 0.03, 1, 2, 3, 4),
    )
  }
  kernels.free(x, g, weights, indices, images)
}

function* cases(dtype) {
  yield* convolutionCases(dtype)
  yield* otherCases(dtype)
}

let [passed, failed] = [0, 0]
const levels = addon.variants().split(/[ ,]+/)
for (const dtype of ['bf16', 'f32']) {
  for (const kernel of cases(dtype)) {
    let expected
    for (const level of levels) {
      addon.setVariant(level)
      const actual = outputsOf(kernel)
      expected ??= actual
      const differs = actual.findIndex((bytes, i) => !bytes.equals(expected[i]))
      if (differs < 0) passed++
      else {
        failed++
        process.stdout.write(`${dtype} ${kernel.name}: output ${differs} of ${level} is not that of ${levels[0]}\n`)
      }
    }
  }
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exit(failed > 0 ? 1 : 0)
