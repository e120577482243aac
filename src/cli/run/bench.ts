import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { grad } from '../../autograd/backward.ts'
import { ConfigError } from '../../errors.ts'
import { JemModel } from '../../jem/model.ts'
import { sgld } from '../../jem/sampler.ts'
import type { Device } from '../../native/contract.ts'
import { conv2d } from '../../ops/conv2d.ts'
import type { Precision } from '../../ops/precision.ts'
import { normal, uniform } from '../../ops/random.ts'
import { Generator } from '../../random/generator.ts'
import { type Captured, capture } from '../../tensor/capture.ts'
import { instructionSet } from '../../tensor/instruction-set.ts'
import { memory, resetPeakMemory, synchronize } from '../../tensor/memory.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { BenchConvOptions, BenchOptions, BenchSgldOptions } from '../commands/bench.ts'
import type { CliContext } from '../context.ts'
import { openDevice, threadCount } from '../device.ts'
import { findPyTorch, Peer } from '../peer.ts'
import { formatTable } from '../table.ts'

/** One measurement is at least this long (ms): the clock and the wait for the device then count for nothing. */
const roundMs = 50

const classes = 10
/** With a peer, each is measured this many times, in turns. */
const turns = 5
const stepSize = 1
/** JEM's chains have so many. */
const stepsOfChain = 20
const noiseStd = 0.01

/** Image-steps per second of SGLD as training runs it: forward, gradient to the images, noisy update; no norm. On a GPU a
 *  chain of steps is one graph, as in training; on a CPU the chains of a small net run through all steps in a core. */
export async function runBenchSgld(options: BenchSgldOptions, context: CliContext): Promise<void> {
  const { net, size, channels, batch, precision } = options
  if (size < 8) throw new ConfigError(`--size must be a whole number >= 8, got ${size}`)
  const device = openDevice(options, context.stderr)
  const peer = options.peer && startPyTorch(options, device)
  const generator = new Generator(1)
  const model = new JemModel({ model: net, classes, channels, device, generator }).eval()
  const x = uniform([batch, size, size, channels], generator, { low: -1, high: 1, device })
  let chain: Captured | undefined
  try {
    const steps = device === 'cpu' && model.chainsAtOnce === undefined ? 1 : stepsOfChain
    const once = () => sgld(model, x, generator, { steps, stepSize, noiseStd, precision })
    once() // what is made at the first call, such as copies in bf16, is no part of the graph
    if (device !== 'cpu') chain = capture(once, { device, generator })
    const run = timed(device, (count) => {
      for (let i = 0; i < count; i++) chain ? chain.replay() : once()
    })
    run(2)
    synchronize(device)
    resetPeakMemory(device)
    const measured = peer ? await inTurns(run, peer, options, context.signal) : undefined
    const times = (measured?.ours ?? (await measure(run, options, context.signal))).map((ms) => ms / steps)
    const msPerStep = median(times)
    const imageStepsPerSecond = (1000 * batch) / msPerStep
    const result = {
      net,
      size,
      channels,
      batch,
      precision,
      threads: threadCount(device),
      device,
      imageStepsPerSecond,
      msPerStep,
      peakBytes: memory(device).peakBytes,
      rounds: times.length,
      fastestMs: Math.min(...times),
      slowestMs: Math.max(...times),
      ...about(device),
      ...(measured && { peer: { ...measured.peer, ratio: measured.peer.msPerStep / msPerStep } }),
    }
    if (options.json) {
      context.stdout.write(`${JSON.stringify(result)}\n`)
      return
    }
    context.stdout.write(
      `${heading(`SGLD of ${net}, ${batch} images of ${size}×${size}×${channels}`, device, precision)}\n`,
    )
    const theirs = result.peer
    const row = (name: string, value: string, other?: string) => [name, value, ...(theirs ? [other ?? ''] : [])]
    context.stdout.write(
      formatTable(
        [
          row('image-steps/s', imageStepsPerSecond.toFixed(1), theirs?.imageStepsPerSecond.toFixed(1)),
          row('ms/step', msPerStep.toFixed(3), theirs?.msPerStep.toFixed(3)),
          row('ms/step, fastest', result.fastestMs.toFixed(3), theirs?.fastestMs.toFixed(3)),
          row('ms/step, slowest', result.slowestMs.toFixed(3), theirs?.slowestMs.toFixed(3)),
          row('peak memory', `${(result.peakBytes / 1e6).toFixed(1)} MB`),
        ],
        theirs && ['', 'langevin', `PyTorch ${theirs.version}, ${theirs.mode}`],
      ),
    )
    if (theirs)
      context.stdout.write(`\nlangevin makes ${theirs.ratio.toFixed(2)} times as many image-steps per second\n`)
  } finally {
    peer?.kill()
    chain?.dispose()
    x.dispose()
    model.dispose()
  }
}

/** PyTorch on the same device with as many threads. Throws ConfigError where there is no PyTorch. */
function startPyTorch({ net, size, channels, batch, precision }: BenchSgldOptions, device: Device): Peer {
  const python = findPyTorch()
  if (!python) {
    throw new ConfigError('--peer pytorch needs a Python that has PyTorch', {
      hint: 'apt-get install python3-torch (Debian), or set PYTHON to the program',
    })
  }
  const program = fileURLToPath(new URL('../../../bench/pytorch/sgld.py', import.meta.url))
  const threads = threadCount(device)
  return new Peer('pytorch', [python, program], {
    ...{ net, size, channels, batch, classes, stepSize, noiseStd, device, precision },
    ...(threads > 0 && { threads }),
  })
}

interface PeerFigures {
  name: string
  version: string
  /** The way to run it that was fastest here. */
  mode: string
  imageStepsPerSecond: number
  msPerStep: number
  fastestMs: number
  slowestMs: number
}

/** Both, warm, slice by slice: what disturbs the machine disturbs both. Each gets options.seconds. */
async function inTurns(
  run: (steps: number) => number,
  peer: Peer,
  options: BenchSgldOptions,
  signal: AbortSignal,
): Promise<{ ours: number[]; peer: PeerFigures }> {
  const seconds = options.seconds / turns
  const { version } = await peer.ready().catch((error: Error) => {
    throw new ConfigError(`--peer pytorch: ${error.message}`, { hint: 'what it said stands above', cause: error })
  })
  const { mode } = await peer.ask('choose', { seconds })
  const ours: number[] = []
  const theirs: number[] = []
  for (let turn = 0; turn < turns; turn++) {
    ours.push(median(await measure(run, { seconds }, signal)))
    const slice = await peer.ask('run', { seconds, steps: 2 })
    theirs.push((1000 * (slice.seconds as number)) / (slice.steps as number))
    signal.throwIfAborted()
  }
  const msPerStep = median(theirs)
  return {
    ours,
    peer: {
      name: 'pytorch',
      version: version as string,
      mode: mode as string,
      imageStepsPerSecond: (1000 * options.batch) / msPerStep,
      msPerStep,
      fastestMs: Math.min(...theirs),
      slowestMs: Math.max(...theirs),
    },
  }
}

/** One convolution with bias, "same" padding: forward, gradient to the input, gradient to weight and bias. */
export async function runBenchConv(options: BenchConvOptions, context: CliContext): Promise<void> {
  const { size, in: cin, out: cout, kernel, stride, batch } = options
  const padding = Math.floor(kernel / 2)
  if (size + 2 * padding < kernel) {
    throw new ConfigError(`--kernel must be at most ${size + 2 * padding} for --size ${size}, got ${kernel}`)
  }
  const device = openDevice(options, context.stderr)
  const generator = new Generator(1)
  const x = normal([batch, size, size, cin], generator, { device })
  const weight = normal([kernel, kernel, cin, cout], generator, { device, std: 0.1 })
  const bias = normal([cout], generator, { device })
  const forward = () => conv2d(x, weight, { bias, stride, padding })
  const probe = forward()
  const dy = normal(probe.shape, generator, { device })
  const flop = 2 * probe.size * cin * kernel * kernel
  probe.dispose()

  const forwards = timed(device, (repeats) => {
    for (let i = 0; i < repeats; i++) forward().dispose()
  })
  // The forward pass that a gradient needs is not part of its time.
  const backwards = (wanted: Tensor[]) => (repeats: number) => {
    let ms = 0
    for (const leaf of wanted) leaf.requiresGrad = true
    for (let i = 0; i < repeats; i++) {
      scope(() => {
        const y = forward()
        ms += timed(device, () => grad(y, wanted, dy))(1)
      })
    }
    for (const leaf of wanted) leaf.requiresGrad = false
    return ms
  }
  try {
    const passes: Record<string, { ms: number; gflops: number }> = {}
    for (const [name, run] of Object.entries({
      forward: forwards,
      inputGradient: backwards([x]),
      weightGradient: backwards([weight, bias]),
    })) {
      run(2)
      const ms = median(await measure(run, { ...options, seconds: options.seconds / 3 }, context.signal))
      passes[name] = { ms, gflops: flop / ms / 1e6 }
    }
    const shape = { size, in: cin, out: cout, kernel, stride, padding, batch }
    if (options.json) {
      const result = { ...shape, threads: threadCount(device), device, ...passes, ...about(device) }
      context.stdout.write(`${JSON.stringify(result)}\n`)
      return
    }
    const title = `${kernel}×${kernel} convolution ${cin} → ${cout}, stride ${stride}, ${batch} images of ${size}×${size}`
    context.stdout.write(`${heading(title, device, 'fp32')}\n`)
    const rows = Object.entries(passes).map(([name, { ms, gflops }]) => [
      name.replace('Gradient', ' gradient'),
      ms.toFixed(3),
      gflops.toFixed(1),
    ])
    context.stdout.write(formatTable(rows, ['', 'ms', 'GFLOP/s']))
  } finally {
    for (const t of [x, weight, bias, dy]) t.dispose()
  }
}

/** `run` with the milliseconds it takes, the device's part included. */
function timed(device: Device, run: (repeats: number) => void): (repeats: number) => number {
  return (repeats) => {
    synchronize(device)
    const start = performance.now()
    run(repeats)
    synchronize(device)
    return performance.now() - start
  }
}

/** Milliseconds of one repeat, one figure a round. `run` returns what its repeats took. */
async function measure(
  run: (repeats: number) => number,
  { seconds }: Pick<BenchOptions, 'seconds'>,
  signal: AbortSignal,
): Promise<number[]> {
  const repeats = Math.max(1, Math.ceil(roundMs / Math.max(1e-3, run(1))))
  const times: number[] = []
  const end = performance.now() + 1000 * seconds
  do {
    times.push(run(repeats) / repeats)
    // Lets Ctrl-C in.
    await new Promise(setImmediate)
    signal.throwIfAborted()
  } while (performance.now() < end)
  return times
}

function about(device: Device) {
  return {
    ...(device === 'cpu' ? { cpu: cpus()[0]?.model, instructionSet: instructionSet() } : {}),
    node: process.version,
    date: new Date().toISOString(),
  }
}

function heading(what: string, device: Device, precision: Precision): string {
  const where = device === 'cpu' ? `${cpus()[0]?.model}, ${instructionSet()}, ${threadCount(device)} threads` : device
  return `${what}; ${precision}; ${where}; median\n`
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
