import { fileURLToPath } from 'node:url'
import { ConfigError } from '../../errors.ts'
import type { Device } from '../../native/contract.ts'
import type { Precision } from '../../ops/precision.ts'
import { memory, resetPeakMemory, synchronize } from '../../tensor/memory.ts'
import { about, heading, measure, median, type Run } from '../bench-timing.ts'
import {
  classes,
  inferenceWork,
  iterationWork,
  noiseStd,
  sgldWork,
  stepSize,
  type Work,
  type WorkOptions,
} from '../bench-work.ts'
import type {
  BenchInferenceOptions,
  BenchIterationOptions,
  BenchNetworkOptions,
  BenchSgldOptions,
} from '../commands/bench.ts'
import type { CliContext } from '../context.ts'
import { openDevice, threadCount } from '../device.ts'
import { findPyTorch, Peer } from '../peer.ts'
import { formatTable } from '../table.ts'

/** With a peer, each is measured this many times, in turns. */
const turns = 5

/** What a figure is called. */
interface Names {
  title: string
  /** Of what is made each second, in a table and in JSON. */
  unit: string
  rateKey: string
  /** Of what is timed. */
  each: string
  msKey: string
  /** The peer's program, and how many of its calls are timed together. */
  program: string
  peerCalls: number
}

/** Image-steps per second of SGLD as training runs it: forward, gradient to the images, noisy update; no norm. On a GPU a
 *  chain of steps is one graph, as in training. */
export function runBenchSgld(options: BenchSgldOptions, context: CliContext): Promise<void> {
  const { net, size, channels, batch } = options
  const names = {
    title: `SGLD of ${net}, ${batch} images of ${size}×${size}×${channels}`,
    ...{ unit: 'image-steps/s', rateKey: 'imageStepsPerSecond', each: 'step', msKey: 'msPerStep', program: 'sgld.py' },
    peerCalls: 2,
  }
  return runBenchNetwork(sgldWork, options, names, context)
}

/** One JEM iteration as released: `steps` SGLD steps on chains of the replay buffer, then the train step on three batches,
 *  and Adam; no norm. */
export function runBenchIteration(options: BenchIterationOptions, context: CliContext): Promise<void> {
  const { net, size, channels, batch, steps } = options
  const names = {
    title: `JEM iterations of ${net}, ${batch} images of ${size}×${size}×${channels}, ${steps} SGLD steps`,
    ...{ unit: 'iterations/s', rateKey: 'iterationsPerSecond', each: 'iteration', msKey: 'msPerIteration' },
    ...{ program: 'iteration.py', peerCalls: 1 }, // one takes seconds
  }
  return runBenchNetwork(iterationWork, options, names, context)
}

/** Logits and log p(x) up to a constant of a batch, both read; no norm. */
export function runBenchInference(options: BenchInferenceOptions, context: CliContext): Promise<void> {
  const { net, size, channels, batch } = options
  const names = {
    title: `logits and log p(x) of ${net}, ${batch} images of ${size}×${size}×${channels}`,
    ...{ unit: 'images/s', rateKey: 'imagesPerSecond', each: 'batch', msKey: 'msPerBatch', program: 'inference.py' },
    peerCalls: 2,
  }
  return runBenchNetwork(inferenceWork, { ...options, precision: 'fp32' as Precision }, names, context)
}

async function runBenchNetwork<Options extends BenchNetworkOptions & WorkOptions>(
  makeWork: (options: Options, device: Device) => Work,
  options: Options,
  names: Names,
  context: CliContext,
): Promise<void> {
  const { net, size, channels, batch, precision } = options
  if (size < 8) throw new ConfigError(`--size must be a whole number >= 8, got ${size}`)
  const device = openDevice(options, context.stderr)
  const peer = options.peer && startPyTorch(options, names.program, device)
  let work: Work | undefined
  try {
    const { call, repeats, made } = (work = makeWork(options, device))
    await call(2)
    synchronize(device)
    resetPeakMemory(device)
    const figures = (times: readonly number[]) => {
      const ms = median(times)
      return {
        [names.rateKey]: (1000 * made) / ms,
        [names.msKey]: ms,
        fastestMs: Math.min(...times),
        slowestMs: Math.max(...times),
      }
    }
    const run = async (count: number) => {
      synchronize(device)
      const start = performance.now()
      await call(count)
      synchronize(device)
      return performance.now() - start
    }
    const measured = peer ? await inTurns(run, peer, names.peerCalls, options, context.signal) : undefined
    const times = (measured?.ours ?? (await measure(run, options, context.signal))).map((ms) => ms / repeats)
    const own = figures(times)
    const theirs = measured && {
      ...{ name: 'pytorch', version: measured.version, mode: measured.mode },
      ...figures(measured.theirs),
      ratio: median(measured.theirs) / median(times),
    }
    const result = {
      ...{ net, size, channels, batch, precision, threads: threadCount(device), device },
      ...('steps' in options && { steps: options.steps }),
      ...own,
      ...{ peakBytes: memory(device).peakBytes, rounds: times.length },
      ...about(device),
      ...(theirs && { peer: theirs }),
    }
    if (options.json) {
      context.stdout.write(`${JSON.stringify(result)}\n`)
      return
    }
    context.stdout.write(`${heading(names.title, device, precision)}\n`)
    const row = (name: string, key: string, digits: number) => {
      const columns = theirs ? [own, theirs] : [own]
      return [name, ...columns.map((column) => Number(column[key as keyof typeof column]).toFixed(digits))]
    }
    const peak = `${(result.peakBytes / 1e6).toFixed(1)} MB`
    context.stdout.write(
      formatTable(
        [
          row(names.unit, names.rateKey, own[names.rateKey] < 10 ? 3 : 1),
          row(`ms/${names.each}`, names.msKey, 3),
          row(`ms/${names.each}, fastest`, 'fastestMs', 3),
          row(`ms/${names.each}, slowest`, 'slowestMs', 3),
          ['peak memory', peak, ...(theirs ? [''] : [])],
        ],
        theirs && ['', 'langevin', `PyTorch ${theirs.version}, ${theirs.mode}`],
      ),
    )
    if (theirs) {
      const what = names.unit.replace('/s', '')
      context.stdout.write(`\nlangevin makes ${theirs.ratio.toFixed(2)} times as many ${what} per second\n`)
    }
  } finally {
    peer?.kill()
    work?.dispose()
  }
}

/** PyTorch on the same device with as many threads. Throws ConfigError where there is no PyTorch. */
function startPyTorch(options: BenchNetworkOptions & WorkOptions, program: string, device: Device): Peer {
  const python = findPyTorch()
  if (!python) {
    throw new ConfigError('--peer pytorch needs a Python that has PyTorch', {
      hint: 'apt-get install python3-torch (Debian), or set PYTHON to the program',
    })
  }
  const path = fileURLToPath(new URL(`../../../bench/pytorch/${program}`, import.meta.url))
  const threads = threadCount(device)
  const { net, size, channels, batch, precision, steps } = options
  return new Peer('pytorch', [python, path], {
    ...{ net, size, channels, batch, classes, stepSize, noiseStd, device, precision, steps },
    ...(threads > 0 && { threads }),
  })
}

/** Both, warm, slice by slice: what disturbs the machine disturbs both. Each gets options.seconds. */
async function inTurns(
  run: Run,
  peer: Peer,
  peerCalls: number,
  options: { seconds: number },
  signal: AbortSignal,
): Promise<{ ours: number[]; theirs: number[]; version: string; mode: string }> {
  const seconds = options.seconds / turns
  const { version } = await peer.ready().catch((error: Error) => {
    throw new ConfigError(`--peer pytorch: ${error.message}`, { hint: 'what it said stands above', cause: error })
  })
  const { mode } = await peer.ask('choose', { seconds })
  const ours: number[] = []
  const theirs: number[] = []
  for (let turn = 0; turn < turns; turn++) {
    ours.push(median(await measure(run, { seconds }, signal)))
    const slice = await peer.ask('run', { seconds, steps: peerCalls })
    theirs.push((1000 * (slice.seconds as number)) / (slice.steps as number))
    signal.throwIfAborted()
  }
  return { ours, theirs, version: version as string, mode: mode as string }
}
