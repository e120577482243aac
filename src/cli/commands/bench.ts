import type { Command } from 'commander'
import { type Precision, precisions } from '../../ops/precision.ts'
import type { CliContext } from '../context.ts'
import { choiceFlag, numberFlag, wholeFlag } from '../range.ts'
import { addDeviceOptions, type DeviceOptions } from './device.ts'

export interface BenchOptions extends DeviceOptions {
  batch: number
  /** Seconds to measure for. */
  seconds: number
  json: boolean
}

export interface BenchNetworkOptions extends BenchOptions {
  net: string
  size: number
  channels: number
  /** Measured beside ours, in turns. */
  peer?: 'pytorch'
}

export interface BenchSgldOptions extends BenchNetworkOptions {
  /** How products compute. */
  precision: Precision
}

export interface BenchIterationOptions extends BenchSgldOptions {
  /** SGLD steps. */
  steps: number
}

export type BenchInferenceOptions = BenchNetworkOptions

export interface BenchConvOptions extends BenchOptions {
  size: number
  in: number
  out: number
  kernel: number
  stride: number
}

const positive = { min: 1 }

export function declareBench(program: Command, context: CliContext): void {
  const bench = program
    .command('bench')
    .summary('measure speed')
    .description('Measures speed on this machine.')
    .helpCommand(false)

  const sgld = bench
    .command('sgld')
    .summary('SGLD steps of a network, in image-steps per second')
    .description('Image-steps per second: images × SGLD steps / time; a step is forward, input gradient and update.')
  addPrecision(addNetworkOptions(sgld)).action(async (flags: BenchSgldOptions) => {
    const { runBenchSgld } = await network(flags)
    await runBenchSgld({ ...flags, json: flags.json ?? false }, context)
  })

  const iteration = bench
    .command('iteration')
    .summary('whole JEM iterations of a network: SGLD steps, then the train step with Adam')
    .description('Seconds of a JEM iteration as released: SGLD on the replay buffer, three batches, Adam.')
    .option('--steps <n>', 'SGLD steps of an iteration', wholeFlag('--steps', positive), 20)
  addPrecision(addNetworkOptions(iteration)).action(async (flags: BenchIterationOptions) => {
    const { runBenchIteration } = await network(flags)
    await runBenchIteration({ ...flags, json: flags.json ?? false }, context)
  })

  const inference = bench
    .command('inference')
    .summary('logits and log p(x) of a batch, in images per second')
    .description('Images per second of classifying: logits and log p(x), read by the program.')
  addNetworkOptions(inference).action(async (flags: BenchInferenceOptions) => {
    const { runBenchInference } = await network(flags)
    await runBenchInference({ ...flags, json: flags.json ?? false }, context)
  })

  const conv = bench
    .command('conv')
    .summary('one convolution: forward, input gradient, weight gradient')
    .description('Time and GFLOP/s of a convolution forward, to its input and to its weight.')
    .option('--size <n>', 'height and width of the input (pixels)', wholeFlag('--size', positive), 28)
    .option('--in <n>', 'input channels', wholeFlag('--in', positive), 16)
    .option('--out <n>', 'output channels', wholeFlag('--out', positive), 16)
    .option('--kernel <n>', 'height and width of the kernel (pixels)', wholeFlag('--kernel', positive), 3)
    .option('--stride <n>', 'in pixels', wholeFlag('--stride', positive), 1)
  addBenchOptions(conv).action(async (flags: BenchConvOptions) => {
    const { runBenchConv } = await import('../run/bench-conv.ts')
    await runBenchConv({ ...flags, json: flags.json ?? false }, context)
  })
}

async function network({ net }: BenchNetworkOptions) {
  const { checkModelName } = await import('../config.ts')
  checkModelName('--net', net)
  return import('../run/bench-network.ts')
}

function addNetworkOptions(command: Command): Command {
  command
    .option('--net <wrn-D-W>', 'WideResNet without normalisation, 10 classes', 'wrn-10-1')
    .option('--size <n>', 'height and width of the images (pixels)', wholeFlag('--size', positive), 28)
    .option('--channels <n>', 'of the images', wholeFlag('--channels', positive), 1)
    .option(
      '--peer <pytorch>',
      "measure that machine's PyTorch beside it, in turns, on the same device",
      choiceFlag('--peer', ['pytorch'] as const),
    )
  return addBenchOptions(command)
}

function addPrecision(command: Command): Command {
  return command.option(
    '--precision <fp32|strict|tf32|bf16>',
    'of products; strict is fp32 without Winograd; tf32 is fp32 on a CPU',
    choiceFlag('--precision', precisions),
    'fp32',
  )
}

function addBenchOptions(command: Command): Command {
  command
    .option('--batch <n>', 'images', wholeFlag('--batch', positive), 64)
    .option('--seconds <s>', 'how long to measure', numberFlag('--seconds', { above: 0 }), 3)
    .option('--json', 'print one JSON object instead of a table')
  return addDeviceOptions(command)
}
