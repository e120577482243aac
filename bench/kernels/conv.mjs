// Times every distinct convolution of a reference net: forward (with bias, LeakyReLU and sign bits, as the sampler calls
// it), input gradient (with sign bits) and weight gradient. Prints milliseconds, GFLOP/s, the share of the FMA peak, and
// the sum over one SGLD step (forward and input gradient of every convolution).
//
//   node bench/kernels/conv.mjs [wrn-10-1 | wrn-16-2 | wrn-28-10 …] [--batch 64] [--threads 2] [--peak 213]
//        [--seconds 1] [--wgrad] [--best] [--variant avx512]
//
// --peak is the machine's FMA peak in GFLOP/s over the threads used; 213 was measured on 2 cores of an AMD EPYC (Zen 4)
// with a loop of independent 512-bit FMAs. Each figure is the median of interleaved
// rounds, or with --best the fastest: what the kernel takes when nothing else runs on a shared machine.
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'

const native = createRequire(import.meta.url)('../../build/Release/cpu.node')
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batch: { type: 'string' },
    threads: { type: 'string', default: '2' },
    peak: { type: 'string', default: '213' },
    seconds: { type: 'string', default: '1' },
    wgrad: { type: 'boolean', default: false },
    best: { type: 'boolean', default: false },
    variant: { type: 'string' },
  },
})
native.setThreads(Number(options.threads))
if (options.variant && !native.setVariant(options.variant))
  throw new Error(`no variant ${options.variant}: ${native.variants()}`)

/** Every convolution of a WideResNet without norm, in order (28×28×1 for depth 10, as the benchmarks use it). */
function convolutions(name) {
  const [depth, width] = name.split('-').slice(1).map(Number)
  const [size0, channels] = depth === 10 ? [28, 1] : [32, 3]
  const batch = Number(options.batch ?? (width >= 8 ? 8 : 64))
  const list = [{ batch, size: size0, cin: channels, cout: 16, k: 3, stride: 1, first: true }]
  let size = size0,
    cin = 16
  ;[16 * width, 32 * width, 64 * width].forEach((cout, stage) => {
    for (let block = 0; block < (depth - 4) / 6; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      list.push({ batch, size, cin, cout, k: 3, stride: 1 }, { batch, size, cin: cout, cout, k: 3, stride })
      if (stride !== 1 || cin !== cout) list.push({ batch, size, cin, cout, k: 1, stride })
      cin = cout
      size /= stride
    }
  })
  return { batch, list }
}

const middle = (list) => list.sort((a, b) => a - b)[options.best ? 0 : list.length >> 1]
const random = (n, scale) => Float32Array.from({ length: n }, () => (Math.random() * 2 - 1) * scale)
const upload = (data) => {
  const handle = native.alloc(data.length, 'f32')
  native.write(handle, data)
  return handle
}
const time = (run) => {
  const start = process.hrtime.bigint()
  run()
  native.synchronize()
  return Number(process.hrtime.bigint() - start) / 1e6
}

function prepare({ batch, size, cin, cout, k, stride }) {
  const padding = k === 3 ? 1 : 0,
    out = Math.floor((size + 2 * padding - k) / stride) + 1
  const fields = [batch, size, size, cin, cout, k, k, stride, padding]
  const inputs = batch * size * size * cin,
    outputs = batch * out * out * cout
  const x = upload(random(inputs, 1)),
    y = upload(random(outputs, 1)),
    dx = upload(random(inputs, 1))
  const w = upload(random(k * k * cin * cout, 0.1)),
    dw = upload(random(k * k * cin * cout, 0.1))
  const bias = upload(random(cout, 1)),
    db = upload(random(cout, 1))
  const signs = native.alloc(Math.ceil(Math.max(inputs, outputs) / 8), 'u8')
  native.ops.conv2d(x, w, bias, 0, 0, 0, 0, y, 0, signs, ...fields, 0, 0.2)
  return {
    flop: 2 * outputs * cin * k * k,
    handles: [x, y, dx, w, dw, bias, db, signs],
    runs: {
      fwd: () => native.ops.conv2d(x, w, bias, 0, 0, 0, 0, y, 0, signs, ...fields, 0, 0.2),
      dgrad: () => native.ops.conv2dBackwardInput(y, w, signs, 0, dx, ...fields, 0.2),
      ...(options.wgrad && { wgrad: () => native.ops.conv2dBackwardWeight(x, y, dw, db, ...fields) }),
    },
  }
}

for (const name of positionals.length ? positionals : ['wrn-10-1', 'wrn-16-2', 'wrn-28-10']) {
  const { batch, list } = convolutions(name)
  const layers = new Map()
  for (const layer of list) {
    const key = `${layer.k}x${layer.k} ${layer.cin}->${layer.cout} ${layer.size}x${layer.size} /${layer.stride}`
    if (layers.has(key)) layers.get(key).count++
    else layers.set(key, { ...layer, count: 1, times: { fwd: [], dgrad: [], wgrad: [] } })
  }
  const passes = options.wgrad ? ['fwd', 'dgrad', 'wgrad'] : ['fwd', 'dgrad']
  for (const layer of layers.values()) Object.assign(layer, prepare(layer))
  const end = Date.now() + 1000 * Number(options.seconds) * layers.size
  do {
    for (const layer of layers.values()) for (const pass of passes) layer.times[pass].push(time(layer.runs[pass]))
  } while (Date.now() < end)

  console.log(`\n${name}, batch ${batch}, ${options.threads} threads, ${native.variant()}: ms, GFLOP/s, % of peak`)
  const total = { fwd: 0, dgrad: 0, wgrad: 0 }
  let flop = 0
  for (const [key, layer] of layers) {
    let line = `${key.padEnd(26)} ×${layer.count}`
    for (const pass of passes) {
      const ms = middle(layer.times[pass])
      const gflops = layer.flop / ms / 1e6
      total[pass] += ms * layer.count
      line += `  ${pass} ${ms.toFixed(3).padStart(8)} ${gflops.toFixed(0).padStart(4)} ${((100 * gflops) / Number(options.peak)).toFixed(0).padStart(3)}%`
    }
    flop += 2 * layer.flop * layer.count
    console.log(line)
    for (const handle of layer.handles) native.free(handle)
  }
  const step = total.fwd + total.dgrad
  console.log(
    `SGLD step: fwd ${total.fwd.toFixed(2)} + dgrad ${total.dgrad.toFixed(2)} = ${step.toFixed(2)} ms, ${(flop / step / 1e6).toFixed(0)} GFLOP/s, ` +
      `at most ${((1000 * batch) / step).toFixed(1)} image-steps/s${options.wgrad ? `; wgrad ${total.wgrad.toFixed(2)} ms` : ''}`,
  )
}
