import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { builtCli } from '../cli/built.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const module = (path: string) => import(new URL(`../../${path}`, import.meta.url).href)

describe('what a GPU must do', async () => {
  const { convolutionsOf, images, operationsPerImageStep, passesOf, passOf } = await module('bench/wide-resnet.mjs')
  const layers = convolutionsOf('wrn-28-10', images['wrn-28-10'])

  // Expected: counted by hand from the released architecture; the paper's WRN-28-10 has 36.5 million parameters.
  it('is counted from the released architecture', () => {
    const parameters = layers.reduce(
      (sum: number, { cin, cout, kernel }: Record<string, number>) => sum + kernel ** 2 * cin * cout + cout,
      640 * 10 + 10,
    )
    expect(parameters / 1e6).toBeCloseTo(36.47, 1)
    expect(layers).toHaveLength(1 + 2 * 12 + 3)
    expect((64 * operationsPerImageStep('wrn-28-10', images['wrn-28-10'])) / 1e12).toBeCloseTo(1.5235, 4)
  })

  it('as products and bytes, each tensor once', () => {
    const layer = layers.find(({ name }: { name: string }) => name === '1.1.conv2')
    // 64 · 32 · 32 pixels; 2 · 65536 · 160 · 1440 operations; x, y and residual, weights, sign bits.
    const [pixels, y] = [64 * 32 * 32, 64 * 32 * 32 * 160]
    expect(passOf(layer, 'forward', 64)).toEqual({
      ...{ m: pixels, n: 160, k: 1440, operations: 2 * pixels * 160 * 1440 },
      bytes: 2 * (3 * y + 9 * 160 * 160) + y / 8,
    })
    const strided = layers.find(({ name }: { name: string }) => name === '2.0.conv2')
    // A quarter of the taps for each of four phases.
    expect(passOf(strided, 'dgrad', 64)).toMatchObject({
      m: 65536,
      n: 320,
      k: (9 * 320) / 4,
      operations: 30_198_988_800,
    })
    // Its shortcut reads every other row and column of 160 channels, in place of a residual.
    const [x, z, inner] = [65536 * 320, 16384 * 320, 9 * 320 + 160]
    expect(passOf(strided, 'forward', 64)).toEqual({
      ...{ m: 16384, n: 320, k: inner, operations: 2 * 16384 * 320 * inner },
      bytes: 2 * (x + 9 * 320 * 320 + z + 16384 * 160 + 160 * 320) + z / 8,
    })
    const shortcut = layers.find(({ name }: { name: string }) => name === '2.0.shortcut')
    expect(passesOf(shortcut)).toEqual(['dgrad', 'wgrad'])
    expect(passOf(strided, 'wgrad', 64)).toMatchObject({ m: 9 * 320, n: 320, k: 16384, operations: 30_198_988_800 })
  })
})

describe('what it should take', async () => {
  const { assumed, predictConvolution, predictIteration, predictStep, tileOf } =
    await module('bench/gpu/prediction.mjs')

  it('is never below the floor, and tiles are the kernel’s', () => {
    expect(tileOf(65536, 160, 160)).toEqual({ pixels: 256, channels: 160 })
    expect(tileOf(4096, 640, 640)).toEqual({ pixels: 128, channels: 160 })
    expect(tileOf(65536, 16, 160)).toBeUndefined()
    expect(tileOf(65536, 32, 32)).toEqual({ pixels: 128, channels: 32 })
    const layer = { name: '1.1.conv1', size: 32, cin: 160, cout: 160, kernel: 3, stride: 1 }
    const { waves, efficiency, floor, microseconds } = predictConvolution(layer, 'forward', 64)
    expect(waves).toBeCloseTo(256 / 132, 12)
    expect(efficiency).toBeCloseTo(256 / 264, 12)
    expect(floor).toBeCloseTo((2 * 65536 * 160 * 1440) / assumed.matrixPeak / 1e6, 9)
    expect(microseconds).toBeGreaterThan(floor)
    const step = predictStep('wrn-28-10', 64)
    expect(step.microseconds).toBeGreaterThan(1523.5 / 0.989)
    expect(predictIteration('wrn-28-10', 64).milliseconds).toBeGreaterThan(20 * (step.microseconds / 1e3))
    expect(predictStep('wrn-28-10', 64, 'fp32').imageStepsPerSecond).toBeLessThan(step.imageStepsPerSecond / 10)
  })
})

describe('pictures and pages', () => {
  it('show what is in the newest results', { timeout: 60_000 }, () => {
    builtCli()
    const { status, stderr } = spawnSync(process.execPath, ['bench/gpu/pages.mjs', '--check'], {
      cwd: root,
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  it('draw what was measured: a dot for each convolution, a bar for each net', { timeout: 60_000 }, async () => {
    builtCli()
    const { ratioBars, rooflinePlot } = await module('bench/gpu/plots.mjs')
    const row = { batch: 64, pass: 'forward', operations: 3e10, bytes: 6e7 }
    const document = {
      gpu: { name: 'NVIDIA H100' },
      memory: { copyGBs: 2900 },
      convolutions: {
        matrixPeakTflops: 790,
        rows: [
          { ...row, langevin: { tflops: 600 }, pytorch: { tflops: 400 } },
          { ...row, pass: 'dgrad', langevin: { tflops: 500 }, pytorch: { error: 'none' } },
          { ...row, batch: 256, langevin: { tflops: 700 } },
          { ...row, pass: 'wgrad', langevin: { tflops: 700 } },
        ],
      },
      sgld: {
        rows: [
          { net: 'wrn-28-10', batch: 64, precision: 'bf16', ratio: { median: 1.5, min: 1.4, max: 1.6 } },
          { net: 'wrn-28-10', batch: 64, precision: 'fp32', ratio: { median: 1.1, min: 1, max: 1.2 } },
          { net: 'wrn-16-2', batch: 64, precision: 'bf16', error: 'failed' },
        ],
      },
    }
    const roofline = rooflinePlot(document)
    expect(roofline).toContain('NVIDIA H100')
    expect(roofline).toContain('790 TFLOP/s, 2.9 TB/s')
    expect(roofline.match(/<circle/g)).toHaveLength(2)
    const bars = ratioBars(document)
    expect(bars.match(/<rect/g)?.length).toBe(2 + 3) // and three keys of the legend
    expect(ratioBars({ ...document, sgld: { rows: [] } })).toBeUndefined()
    expect(rooflinePlot(undefined)).toContain('predicted, not measured')
  })
})
