// Checks conv2d, its gradients and matmul against plain loops in float64, over shapes around the edges of the kernels'
// tiles, on every instruction set, dtype and 1 to 3 threads. The data are small integers, so every sum is exact and
// results must be equal, not close.
//
//   node bench/kernels/check-conv.mjs [random shapes per combination, default 40] [seed]
import { createRequire } from 'node:module'

const native = createRequire(import.meta.url)('../../build/Release/cpu.node')
const rounds = Number(process.argv[2] ?? 40)
let state = Number(process.argv[3] ?? 1) * 2654435761
const random = () => {
  state = (Math.imul(state | 0, 1664525) + 1013904223) >>> 0
  return state / 4294967296
}
const pick = (list) => list[Math.floor(random() * list.length)]

const arrays = { f32: Float32Array, f64: Float64Array, bf16: Uint16Array, u8: Uint8Array }
const toBf16 = (value) => {
  const word = new Uint32Array(new Float32Array([value]).buffer)[0]
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
}
const fromBf16 = (bits) => new Float32Array(new Uint32Array([bits << 16]).buffer)[0]
const encode = (values, dtype) => (dtype === 'bf16' ? Uint16Array.from(values, toBf16) : arrays[dtype].from(values))
const decode = (values, dtype) => (dtype === 'bf16' ? Float64Array.from(values, fromBf16) : Float64Array.from(values))
const rounded = (values, dtype) => decode(encode(values, dtype), dtype)

const upload = (values, dtype) => {
  const data = encode(values, dtype)
  const handle = native.alloc(data.length, dtype)
  native.write(handle, data)
  return handle
}
// Outputs start as garbage, so that a value never written shows.
const output = (count, dtype) => upload(new Float64Array(count).fill(dtype === 'u8' ? 0xa5 : 777), dtype)
const download = (handle, count, dtype) => {
  const data = new arrays[dtype](count)
  native.readSync(handle, data)
  native.free(handle)
  return decode(data, dtype)
}
const integers = (n, limit = 3) =>
  Float64Array.from({ length: n }, () => Math.floor(random() * (2 * limit + 1)) - limit)

const sizes = (s) => {
  const oh = Math.floor((s.height + 2 * s.padding - s.kh) / s.stride) + 1
  const ow = Math.floor((s.width + 2 * s.padding - s.kw) / s.stride) + 1
  return {
    oh,
    ow,
    inputs: s.batch * s.height * s.width * s.cin,
    outputs: s.batch * oh * ow * s.cout,
    weights: s.kh * s.kw * s.cin * s.cout,
  }
}
const fields = (s) => [s.batch, s.height, s.width, s.cin, s.cout, s.kh, s.kw, s.stride, s.padding]

/** Calls visit(input pixel index, output pixel index, tap) for every pair that a convolution connects. */
function connect(s, visit) {
  const { oh, ow } = sizes(s)
  for (let b = 0; b < s.batch; b++)
    for (let i = 0; i < oh; i++)
      for (let j = 0; j < ow; j++)
        for (let ky = 0; ky < s.kh; ky++)
          for (let kx = 0; kx < s.kw; kx++) {
            const y = i * s.stride + ky - s.padding
            const x = j * s.stride + kx - s.padding
            if (y < 0 || x < 0 || y >= s.height || x >= s.width) continue
            visit((b * s.height + y) * s.width + x, (b * oh + i) * ow + j, ky * s.kw + kx)
          }
}

function compare(label, actual, expected) {
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i])
      throw new Error(`${label}: element ${i} of ${expected.length} is ${actual[i]}, not ${expected[i]}`)
  }
}
const packBits = (flags) => {
  const bytes = new Float64Array(Math.ceil(flags.length / 8))
  flags.forEach((flag, i) => {
    if (flag) bytes[i >> 3] += 1 << (i & 7)
  })
  return bytes
}

function checkForward(s, dtype, o) {
  const { inputs, outputs, weights } = sizes(s)
  const x = integers(inputs),
    w = integers(weights, 2),
    bias = integers(s.cout),
    residual = integers(outputs)
  const z = new Float64Array(outputs)
  if (o.bias) for (let i = 0; i < outputs; i++) z[i] += bias[i % s.cout]
  if (o.residual) for (let i = 0; i < outputs; i++) z[i] += residual[i]
  connect(s, (input, out, tap) => {
    for (let c = 0; c < s.cin; c++) {
      const v = x[input * s.cin + c]
      for (let n = 0; n < s.cout; n++) z[out * s.cout + n] += v * w[(tap * s.cin + c) * s.cout + n]
    }
  })
  const handles = [
    upload(x, dtype),
    upload(w, dtype),
    o.bias ? upload(bias, dtype) : 0,
    o.residual ? upload(residual, dtype) : 0,
  ]
  const y = output(outputs, dtype)
  const pre = o.pre ? output(outputs, dtype) : 0
  const signs = o.signs ? output(Math.ceil(outputs / 8), 'u8') : 0
  native.ops.conv2d(...handles, 0, 0, 0, y, pre, signs, ...fields(s), 0, o.slope)
  compare(
    'y',
    download(y, outputs, dtype),
    rounded(
      z.map((v) => (v > 0 ? v : o.slope * v)),
      dtype,
    ),
  )
  if (pre) compare('pre', download(pre, outputs, dtype), rounded(z, dtype))
  if (signs) compare('signs', download(signs, Math.ceil(outputs / 8), 'u8'), packBits(Array.from(z, (v) => v > 0)))
  for (const h of handles) if (h) native.free(h)
}

function checkBackwardInput(s, dtype, o) {
  const { inputs, outputs, weights } = sizes(s)
  const dy = integers(outputs),
    w = integers(weights, 2),
    add = integers(inputs)
  const flags = Array.from({ length: inputs }, () => random() < 0.5)
  const dx = new Float64Array(inputs)
  connect(s, (input, out, tap) => {
    for (let c = 0; c < s.cin; c++) {
      let sum = 0
      for (let n = 0; n < s.cout; n++) sum += dy[out * s.cout + n] * w[(tap * s.cin + c) * s.cout + n]
      dx[input * s.cin + c] += sum
    }
  })
  for (let i = 0; i < inputs; i++) dx[i] = (o.signs && !flags[i] ? o.slope * dx[i] : dx[i]) + (o.add ? add[i] : 0)
  const handles = [
    upload(dy, dtype),
    upload(w, dtype),
    o.signs ? upload(packBits(flags), 'u8') : 0,
    o.add ? upload(add, dtype) : 0,
  ]
  const out = output(inputs, dtype)
  native.ops.conv2dBackwardInput(...handles, out, ...fields(s), o.slope)
  compare('dx', download(out, inputs, dtype), rounded(dx, dtype))
  for (const h of handles) if (h) native.free(h)
}

function checkBackwardWeight(s, dtype, o) {
  const { inputs, outputs, weights } = sizes(s)
  const x = integers(inputs),
    dy = integers(outputs)
  const dw = new Float64Array(weights),
    db = new Float64Array(s.cout)
  connect(s, (input, out, tap) => {
    for (let c = 0; c < s.cin; c++) {
      const v = x[input * s.cin + c]
      for (let n = 0; n < s.cout; n++) dw[(tap * s.cin + c) * s.cout + n] += v * dy[out * s.cout + n]
    }
  })
  for (let i = 0; i < outputs; i++) db[i % s.cout] += dy[i]
  const handles = [upload(x, dtype), upload(dy, dtype)]
  const dweight = output(weights, dtype),
    dbias = o.bias ? output(s.cout, dtype) : 0
  native.ops.conv2dBackwardWeight(...handles, dweight, dbias, ...fields(s))
  compare('dweight', download(dweight, weights, dtype), rounded(dw, dtype))
  if (dbias) compare('dbias', download(dbias, s.cout, dtype), rounded(db, dtype))
  for (const h of handles) native.free(h)
}

function checkMatmul(m, n, k, transposeA, transposeB, withBias, dtype) {
  const a = integers(m * k),
    b = integers(k * n),
    bias = integers(n)
  const y = new Float64Array(m * n)
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = withBias ? bias[j] : 0
      for (let l = 0; l < k; l++) sum += a[transposeA ? l * m + i : i * k + l] * b[transposeB ? j * k + l : l * n + j]
      y[i * n + j] = sum
    }
  const handles = [upload(a, dtype), upload(b, dtype), withBias ? upload(bias, dtype) : 0]
  const out = output(m * n, dtype)
  native.ops.matmul(...handles, out, m, n, k, transposeA ? 1 : 0, transposeB ? 1 : 0)
  compare('y', download(out, m * n, dtype), rounded(y, dtype))
  for (const h of handles) if (h) native.free(h)
}

function randomShape(limit) {
  for (;;) {
    const s = {
      batch: pick([1, 2, 3, 5]),
      height: pick([1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 28]),
      width: pick([1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 28, 32]),
      cin: pick([1, 2, 3, 5, 8, 16, 17, 32, 48, 64, 160]),
      cout: pick([1, 2, 3, 5, 8, 10, 16, 17, 24, 32, 48, 64, 160, 320]),
      kh: pick([1, 2, 3, 3, 3, 5]),
      kw: 0,
      stride: pick([1, 1, 2, 3]),
      padding: pick([0, 1, 1, 2]),
    }
    s.kw = random() < 0.8 ? s.kh : pick([1, 2, 3, 5])
    if (s.kh > s.height + 2 * s.padding || s.kw > s.width + 2 * s.padding) continue
    const { outputs } = sizes(s)
    if (outputs * s.kh * s.kw * s.cin <= limit) return s
  }
}

const flag = () => random() < 0.5
const fixed = [
  // every shape class of the reference nets, in small
  { batch: 3, height: 28, width: 28, cin: 1, cout: 16, kh: 3, kw: 3, stride: 1, padding: 1 },
  { batch: 2, height: 32, width: 32, cin: 3, cout: 16, kh: 3, kw: 3, stride: 1, padding: 1 },
  { batch: 2, height: 28, width: 28, cin: 16, cout: 16, kh: 3, kw: 3, stride: 1, padding: 1 },
  { batch: 2, height: 28, width: 28, cin: 16, cout: 32, kh: 1, kw: 1, stride: 2, padding: 0 },
  { batch: 2, height: 28, width: 28, cin: 32, cout: 32, kh: 3, kw: 3, stride: 2, padding: 1 },
  { batch: 3, height: 14, width: 14, cin: 64, cout: 64, kh: 3, kw: 3, stride: 2, padding: 1 },
  { batch: 2, height: 8, width: 8, cin: 320, cout: 320, kh: 3, kw: 3, stride: 1, padding: 1 },
  { batch: 2, height: 8, width: 8, cin: 160, cout: 336, kh: 3, kw: 3, stride: 2, padding: 1 },
  // strides beyond the image, and a kernel that only ever sees padding
  { batch: 2, height: 1, width: 1, cin: 5, cout: 6, kh: 1, kw: 1, stride: 3, padding: 2 },
  { batch: 1, height: 2, width: 3, cin: 4, cout: 16, kh: 3, kw: 2, stride: 5, padding: 2 },
  { batch: 1, height: 3, width: 2, cin: 16, cout: 3, kh: 2, kw: 2, stride: 1000, padding: 0 },
]
let checked = 0
for (const variant of native.variants().split(/[ ,]+/)) {
  if (!native.setVariant(variant)) continue
  for (const threads of [1, 2, 3]) {
    native.setThreads(threads)
    for (const dtype of ['f32', 'f64', 'bf16']) {
      const check = (label, run) => {
        try {
          run()
          checked++
        } catch (error) {
          console.error(`${variant} ${dtype} threads ${threads} ${label}: ${error.message}`)
          process.exitCode = 1
        }
      }
      const shapes = [...(threads === 2 ? fixed : []), ...Array.from({ length: rounds }, () => randomShape(2e6))]
      for (const s of shapes) {
        const name = JSON.stringify(s)
        const forward = { bias: flag(), residual: flag(), pre: flag(), signs: flag(), slope: pick([1, 0.25, 0]) }
        check(`conv2d ${name} ${JSON.stringify(forward)}`, () => checkForward(s, dtype, forward))
        const backward = { signs: flag(), add: flag(), slope: pick([0.25, 0]) }
        check(`conv2dBackwardInput ${name} ${JSON.stringify(backward)}`, () => checkBackwardInput(s, dtype, backward))
        check(`conv2dBackwardWeight ${name}`, () => checkBackwardWeight(s, dtype, { bias: flag() }))
      }
      for (let i = 0; i < rounds; i++) {
        const [m, n, k] = [0, 0, 0].map(() => pick([1, 2, 3, 7, 10, 16, 31, 32, 33, 64, 100, 170]))
        const depth = random() < 0.05 ? 0 : k
        const options = [flag(), flag(), flag()]
        check(`matmul ${m} ${n} ${depth} ${options}`, () => checkMatmul(m, n, depth, ...options, dtype))
      }
    }
  }
}
console.log(`${checked} checks passed`)
