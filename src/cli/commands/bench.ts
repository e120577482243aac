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

export interface BenchSgldOptions extends BenchOptions {
  net: string
  size: number
  channels: number
  /** How products compute. */
  precision: Precision
  /** Measured beside ours, in turns. */
  peer?: 'pytorch'
}

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
    .option('--net <wrn-D-W>', 'WideResNet without normalisation, 10 classes', 'wrn-10-1')
    .option('--size <n>', 'height and width of the images (pixels)', wholeFlag('--size', positive), 28)
    .option('--channels <n>', 'of the images', wholeFlag('--channels', positive), 1)
    .option(
      '--precision <fp32|strict|tf32|bf16>',
      'of products; strict is fp32 without Winograd; tf32 is fp32 on a CPU',
      choiceFlag('--precision', precisions),
      'fp32',
    )
    .option(
      '--peer <pytorch>',
      "measure that machine's PyTorch beside it, in turns, on the same device",
      choiceFlag('--peer', ['pytorch'] as const),
    )
  addBenchOptions(sgld).action(async (flags: BenchSgldOptions) => {
    const { checkModelName } = await import('../config.ts')
    checkModelName('--net', flags.net)
    const { runBenchSgld } = await import('../run/bench.ts')
    await runBenchSgld({ ...flags, json: flags.json ?? false }, context)
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
    const { runBenchConv } = await import('../run/bench.ts')
    await runBenchConv({ ...flags, json: flags.json ?? false }, context)
  })
}

function addBenchOptions(command: Command): Command {
  command
    .option('--batch <n>', 'images', wholeFlag('--batch', positive), 64)
    .option('--seconds <s>', 'how long to measure', numberFlag('--seconds', { above: 0 }), 3)
    .option('--json', 'print one JSON object instead of a table')
  return addDeviceOptions(command)
}
