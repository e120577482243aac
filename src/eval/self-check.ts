import { backward, grad } from '../autograd/backward.ts'
import type { Device } from '../native/contract.ts'
import { add, greater, mul, where } from '../ops/arithmetic.ts'
import { cast } from '../ops/cast.ts'
import { energyHead } from '../ops/energyHead.ts'
import { linear } from '../ops/matmul.ts'
import { instanceNorm } from '../ops/norm.ts'
import { globalAvgPool } from '../ops/pool.ts'
import { normal, uniform } from '../ops/random.ts'
import { argmax, sum } from '../ops/reduce.ts'
import { gatherRows, pick, scatterRows } from '../ops/rows.ts'
import { transpose } from '../ops/shape.ts'
import { crossEntropy, logsumexp, softmax } from '../ops/softmax.ts'
import { imageBatch, sgldUpdate } from '../ops/training.ts'
import { leakyRelu, tanh } from '../ops/unary.ts'
import { Adam } from '../optim/adam.ts'
import { Sgd } from '../optim/sgd.ts'
import { Generator } from '../random/generator.ts'
import { tensor } from '../tensor/create.ts'
import { instructionSet } from '../tensor/instruction-set.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { convolutionPairs, type Pair, tensorCorePairs } from './self-check-convolution.ts'

/** How far a family of kernels is from float64 arithmetic in plain loops. */
export interface KernelCheck {
  /** As the files of native/cpu/kernels are called; with the dtype where it is not f32. */
  family: string
  /** Largest difference over the largest expected value; Infinity where something is not finite or the sizes differ. */
  error: number
  tolerance: number
  pass: boolean
  /** What was thrown instead of a result. */
  failure?: string
}

/** Of the largest value: f32 sums of some hundred products. With AVX-512 BF16, tiles and weights that Winograd's scheme has
 *  transformed are rounded to bf16: 1.2e-2 of the norm (docs/kernels.md), several times that in the worst of thousands. */
function toleranceOf(family: string, device: Device): number {
  const rounds = family === 'convolution, bf16' && device === 'cpu' && instructionSet() === 'avx512bf16'
  return rounds ? 2 ** -4 : 1e-5
}

/** Odd sizes, so that every kernel's edges are reached as well as its blocks. */
const batch = 3
const size = 9
const cin = 5

/** Counts the calls: other numbers each time, so that a kernel that writes nothing cannot pass by what the last call left
 *  in the same memory. */
let round = 0

/** Small ops of every family of kernels against plain loops in float64, on the device (and, on a CPU, the instruction
 *  set) in use. Takes some milliseconds. */
export function checkKernels(device: Device = 'cpu'): KernelCheck[] {
  round++
  return Object.entries(families).map(([family, pairs]) => {
    const tolerance = toleranceOf(family, device)
    let error = Number.POSITIVE_INFINITY
    let failure: string | undefined
    try {
      error = scope(() => Math.max(...pairs(device).map(([ours, expected]) => distance(ours, expected))))
    } catch (thrown) {
      failure = (thrown as Error).message
    }
    return { family, error, tolerance, pass: error <= tolerance, ...(failure === undefined ? {} : { failure }) }
  })
}

const families: Record<string, (device: Device) => Pair[]> = {
  convolution: (device) => convolutionPairs(device, numbers),
  'convolution, bf16': (device) => tensorCorePairs(device, numbers),
  matmul: checkMatmul,
  elementwise: checkElementwise,
  reduce: checkReduce,
  pool: checkPool,
  norm: checkNorm,
  head: checkHead,
  memory: checkMemory,
  random: checkRandom,
  sampler: checkSampler,
  optimizers: checkOptimizers,
  images: checkImages,
}

function distance(ours: Tensor, expected: ArrayLike<number>): number {
  const values = ours.dataSync()
  if (values.length !== expected.length) return Number.POSITIVE_INFINITY
  let worst = 0
  let largest = 1e-30
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs(values[i] - expected[i])
    if (!(error <= worst)) worst = Number.isFinite(error) ? error : Number.POSITIVE_INFINITY
    largest = Math.max(largest, Math.abs(expected[i]))
  }
  return worst / largest
}

/** Numbers in [-1, 1) that f32 holds exactly, from the host's Philox. */
function numbers(count: number, stream: number): Float32Array {
  return Float32Array.from(new Generator(round, 'user', stream).uniforms(count), (u) => 2 * u - 1)
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

function checkMatmul(device: Device): Pair[] {
  const [m, k, n] = [7, 33, 21]
  const [a, b, bias] = [numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3)]
  const expected = Float64Array.from({ length: m * n }, (_, at) =>
    range(k).reduce((total, i) => total + a[Math.floor(at / n) * k + i] * b[i * n + (at % n)], bias[at % n]),
  )
  return [
    [
      linear(tensor(a, { shape: [m, k], device }), tensor(b, { shape: [k, n], device }), tensor(bias, { device })),
      expected,
    ],
  ]
}

function checkElementwise(device: Device): Pair[] {
  const [a, b] = [numbers(77, 1), numbers(11, 2)]
  const [x, y] = [tensor(a, { shape: [7, 11], device }), tensor(b, { device })]
  const leaf = tensor(a, { shape: [7, 11], device })
  leaf.requiresGrad = true
  const [slope] = grad(sum(leakyRelu(leaf, 0.2)), [leaf])
  return [
    [add(mul(x, y), y), Float64Array.from(a, (v, i) => v * b[i % 11] + b[i % 11])],
    [tanh(x), Float64Array.from(a, Math.tanh)],
    [where(greater(x, y), x, y), Float64Array.from(a, (v, i) => Math.max(v, b[i % 11]))],
    [leakyRelu(x, 0.2), Float64Array.from(a, (v) => (v > 0 ? v : 0.2 * v))],
    [slope, Float64Array.from(a, (v) => (v > 0 ? 1 : 0.2))],
  ]
}

function checkReduce(device: Device): Pair[] {
  const a = numbers(7 * 37, 1)
  const x = tensor(a, { shape: [7, 37], device })
  const rows = range(7).map((r) => a.subarray(r * 37, (r + 1) * 37))
  return [
    [sum(x, { axes: [1] }), rows.map((row) => row.reduce((total, v) => total + v, 0))],
    [sum(x, { axes: [0] }), range(37).map((c) => rows.reduce((total, row) => total + row[c], 0))],
    [argmax(x), rows.map((row) => row.indexOf(Math.max(...row)))],
  ]
}

function checkPool(device: Device): Pair[] {
  const a = numbers(batch * size * size * cin, 1)
  const expected = new Float64Array(batch * cin)
  for (const [i, v] of a.entries()) expected[Math.floor(i / (size * size * cin)) * cin + (i % cin)] += v / size ** 2
  return [[globalAvgPool(tensor(a, { shape: [batch, size, size, cin], device })), expected]]
}

function checkNorm(device: Device): Pair[] {
  const a = numbers(batch * size * size * cin, 1)
  const expected = new Float64Array(a.length)
  for (let image = 0; image < batch; image++) {
    for (let c = 0; c < cin; c++) {
      const at = range(size * size).map((p) => (image * size * size + p) * cin + c)
      const mean = at.reduce((total, i) => total + a[i], 0) / at.length
      const variance = at.reduce((total, i) => total + (a[i] - mean) ** 2, 0) / at.length
      for (const i of at) expected[i] = (a[i] - mean) / Math.sqrt(variance + 1e-5)
    }
  }
  return [[instanceNorm(tensor(a, { shape: [batch, size, size, cin], device }), { eps: 1e-5 }).y, expected]]
}

function checkHead(device: Device): Pair[] {
  const classes = 10
  const a = numbers(batch * classes, 1).map((v) => 8 * v)
  const labels = Int32Array.from([0, 9, 4])
  const x = tensor(a, { shape: [batch, classes], device })
  const y = tensor(labels, { device })
  const rows = range(batch).map((r) => Array.from(a.subarray(r * classes, (r + 1) * classes)))
  const normalisers = rows.map((row) => Math.log(row.reduce((total, v) => total + Math.exp(v), 0)))
  return [
    ...energyHeadPairs(device),
    [logsumexp(x), normalisers],
    [softmax(x), rows.flatMap((row, r) => row.map((v) => Math.exp(v - normalisers[r])))],
    [crossEntropy(x, y), rows.map((row, r) => normalisers[r] - row[labels[r]])],
    [pick(x, y), rows.map((row, r) => row[labels[r]])],
  ]
}

/** The fused head of sampling: pooling, linear map and log-sum-exp, and its gradient, one row for all pixels. */
function energyHeadPairs(device: Device): Pair[] {
  const classes = 10
  const pixels = size * size
  const host = {
    x: numbers(batch * pixels * cin, 4),
    w: numbers(cin * classes, 5).map((v) => 8 * v),
    b: numbers(classes, 6),
  }
  const f = new Float64Array(batch)
  const dx = new Float64Array(host.x.length)
  for (let image = 0; image < batch; image++) {
    const pooled = range(cin).map((c) =>
      range(pixels).reduce((total, p) => total + host.x[(image * pixels + p) * cin + c] / pixels, 0),
    )
    const logits = range(classes).map((k) =>
      range(cin).reduce((total, c) => total + pooled[c] * host.w[c * classes + k], host.b[k]),
    )
    f[image] = Math.log(logits.reduce((total, v) => total + Math.exp(v), 0))
    const row = range(cin).map((c) =>
      logits.reduce((total, v, k) => total + (Math.exp(v - f[image]) * host.w[c * classes + k]) / pixels, 0),
    )
    for (let i = 0; i < pixels * cin; i++) dx[image * pixels * cin + i] = row[i % cin]
  }
  const x = tensor(host.x, { shape: [batch, size, size, cin], device })
  x.requiresGrad = true
  const ours = energyHead(x, tensor(host.w, { shape: [cin, classes], device }), { bias: tensor(host.b, { device }) })
  return [
    [ours.detach(), f],
    [grad(sum(ours), [x])[0], dx],
  ]
}

function checkMemory(device: Device): Pair[] {
  const a = numbers(7 * 11, 1)
  const x = tensor(a, { shape: [7, 11], device })
  const rows = Int32Array.from([6, 0, 6, 3])
  const index = tensor(rows, { device })
  const gathered = Array.from(rows).flatMap((r) => Array.from(a.subarray(r * 11, (r + 1) * 11)))
  const target = tensor(new Float32Array(77), { shape: [7, 11], device })
  // Row 6 twice: the later one stays.
  scatterRows(target, index, tensor(a.slice(0, 44), { shape: [4, 11], device }))
  const scattered = new Float32Array(77)
  for (const [i, row] of rows.entries()) scattered.set(a.subarray(i * 11, (i + 1) * 11), row * 11)
  return [
    [transpose(x, [1, 0]), range(77).map((i) => a[(i % 7) * 11 + Math.floor(i / 7)])],
    [gatherRows(x, index), gathered],
    [target, scattered],
    [cast(x, 'f64'), a],
  ]
}

/** Uniform numbers bit for bit those of the host's Philox; normals by their first two moments. */
function checkRandom(device: Device): Pair[] {
  const count = 1000
  const many = 1 << 16
  const draws = normal([many], new Generator(3), { device }).dataSync() as Float32Array
  const mean = draws.reduce((total, v) => total + v, 0) / many
  const variance = draws.reduce((total, v) => total + (v - mean) ** 2, 0) / many
  // Six standard errors.
  const isNormal = Math.abs(mean) < 6 / Math.sqrt(many) && Math.abs(variance - 1) < 6 * Math.sqrt(2 / many)
  return [
    [uniform([count], new Generator(3), { low: 0, high: 1, device }), new Generator(3).uniforms(count)],
    [tensor([isNormal ? 1 : 0], { device }), [1]],
  ]
}

function checkSampler(device: Device): Pair[] {
  const [a, g] = [numbers(101, 1), numbers(101, 2)]
  const noise = normal([101], new Generator(5), { device }).dataSync()
  const x = tensor(a, { device })
  sgldUpdate(x, tensor(g, { device }), new Generator(5), {
    stepSize: 0.7,
    noiseStd: 0.1,
    gradientClip: 0.5,
    clamp: [-1, 1],
  })
  const clip = (v: number, limit: number) => Math.min(limit, Math.max(-limit, v))
  return [[x, Float64Array.from(a, (v, i) => clip(v + 0.7 * clip(g[i], 0.5) + 0.1 * noise[i], 1))]]
}

/** Two steps, with gradients c and −c/2: that of Σ c·p and of its half downwards. */
function checkOptimizers(device: Device): Pair[] {
  const [start, c] = [numbers(101, 1), numbers(101, 2)]
  const constants = tensor(c, { device })
  const slopes = [1, -0.5]
  const after = (make: (parameters: [string, Tensor][]) => Adam | Sgd): Tensor => {
    const p = tensor(start, { device })
    p.requiresGrad = true
    const optimizer = make([['p', p]])
    try {
      for (let step = 0; step < 2; step++) {
        backward(mul(sum(mul(p, constants)), slopes[step]))
        optimizer.step(0.1)
        p.grad?.dispose()
        p.grad = undefined
      }
    } finally {
      optimizer.dispose()
    }
    return p.detach()
  }
  const adam = Float64Array.from(start, (v, i) => {
    let p = v
    let [first, second] = [0, 0]
    for (let step = 1; step <= 2; step++) {
      const gradient = slopes[step - 1] * c[i]
      first = 0.9 * first + 0.1 * gradient
      second = 0.999 * second + 0.001 * gradient ** 2
      p -= (0.1 * first) / (1 - 0.9 ** step) / (Math.sqrt(second / (1 - 0.999 ** step)) + 1e-8)
    }
    return p
  })
  // Velocities c, then 0.9·c − c/2.
  const sgd = Float64Array.from(start, (v, i) => v - 0.1 * c[i] - 0.1 * 0.4 * c[i])
  return [
    [after((parameters) => new Adam(parameters)), adam],
    [after((parameters) => new Sgd(parameters, { momentum: 0.9 })), sgd],
  ]
}

function checkImages(device: Device): Pair[] {
  const bytes = Uint8Array.from({ length: 2 * size * size }, (_, i) => ((i + round) * 37) % 256)
  const images = tensor(bytes, { shape: [2, size, size, 1], device })
  const y = imageBatch(images, tensor(Int32Array.from([1]), { device }), new Generator(5), {
    padding: 0,
    flip: false,
    noiseStd: 0,
  })
  return [[y, Float64Array.from(bytes.subarray(size * size), (byte) => byte / 127.5 - 1)]]
}
