import { grad } from '../../autograd/backward.ts'
import { ConfigError } from '../../errors.ts'
import { conv2d } from '../../ops/conv2d.ts'
import { normal } from '../../ops/random.ts'
import { Generator } from '../../random/generator.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { about, heading, measure, median, millisecondsOf, type Run } from '../bench-timing.ts'
import type { BenchConvOptions } from '../commands/bench.ts'
import type { CliContext } from '../context.ts'
import { openDevice, threadCount } from '../device.ts'
import { formatTable } from '../table.ts'

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

  const forwards: Run = async (repeats) =>
    millisecondsOf(device, () => {
      for (let i = 0; i < repeats; i++) forward().dispose()
    })
  // The forward pass that a gradient needs is not part of its time.
  const backwards =
    (wanted: Tensor[]): Run =>
    async (repeats) => {
      let ms = 0
      for (const leaf of wanted) leaf.requiresGrad = true
      for (let i = 0; i < repeats; i++) {
        scope(() => {
          const y = forward()
          ms += millisecondsOf(device, () => grad(y, wanted, dy))
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
      await run(2)
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
