// A training run on the GPU, emulated where there is none: chains captured, figures read, stopped and resumed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { JemConfig } from '../../src/jem/config.ts'
import { recipeConfig } from '../../src/jem/recipes/index.ts'
import { JemTrainer } from '../../src/jem/trainer.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { devices } from '../ops/drive.ts'
import { bars, finalState, tiny, train } from './tiny.ts'

const small: Partial<JemConfig> = {
  steps: 4,
  batch: 2,
  sgldSteps: 2,
  bufferSize: 8,
  checkpointEvery: 2,
  evalEvery: 100,
}

describe.runIf(devices.includes('cuda'))('cuda: training', { timeout: 240_000 }, () => {
  const config = tiny({ ...small, device: 'cuda' })

  // The successors' warm-up keeps the first learning rates small; their network, batches and buffer are those of `small`.
  const { model, validationSize, cropPadding } = config
  const sizes = { ...small, model, validationSize, cropPadding, labelledBatch: 4 }
  test.each<[string, JemConfig]>([
    ['jem', config],
    ...['jem++', 'sada-jem', 'm-jem'].map((name): [string, JemConfig] => [name, recipeConfig(name, sizes)]),
  ])('%s gives the figures of the CPU, up to rounding', async (_, settings) => {
    const run = async (device: 'cpu' | 'cuda') => {
      const trainer = new JemTrainer(settings, bars(), device)
      const figures = []
      for (let i = 0; i < 3; i++) figures.push(await trainer.iterate())
      trainer.dispose()
      return figures
    }
    const [cpu, cuda] = [await run('cpu'), await run('cuda')]
    for (const [i, { loss, fData, fSample, crossEntropy, gradientNorm }] of cuda.entries()) {
      expect(loss).toBeCloseTo(cpu[i].loss, 3)
      expect(fData).toBeCloseTo(cpu[i].fData!, 3)
      expect(fSample).toBeCloseTo(cpu[i].fSample!, 3)
      expect(crossEntropy).toBeCloseTo(cpu[i].crossEntropy!, 3)
      expect(gradientNorm / cpu[i].gradientNorm).toBeCloseTo(1, 2)
    }
  })

  test('learns in bf16 as well, with masters in f32', async () => {
    const trainer = new JemTrainer({ ...config, precision: 'bf16', samplerPrecision: 'bf16' }, bars(), 'cuda')
    const plain = new JemTrainer(config, bars(), 'cuda')
    for (let i = 0; i < 2; i++) {
      const [rounded, exact] = [await trainer.iterate(), await plain.iterate()]
      expect(Math.abs(rounded.crossEntropy! - exact.crossEntropy!)).toBeLessThan(0.05)
    }
    expect(trainer.model.parameters().every((p) => p.dtype === 'f32')).toBe(true)
    trainer.dispose()
    plain.dispose()
  })

  test('that was killed and resumed ends with the bits of one that was not', async () => {
    const folder = temporaryFolder()
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    await train(whole, config, { device: 'cuda' })
    const library = new URL('../../dist/index.js', import.meta.url).href
    const script = `
      import { trainRun } from '${library}'
      const { config, data, folder } = JSON.parse(process.argv[1])
      data.images = Uint8Array.from(data.images)
      data.labels = Uint8Array.from(data.labels)
      await trainRun({ config, data, source: 'bars', folder, device: 'cuda' })`
    const data = bars()
    const plain = { ...data, images: [...data.images], labels: [...data.labels] }
    const argument = JSON.stringify({ config: { ...config, steps: 1000 }, data: plain, folder: parts })
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, argument], { stdio: 'inherit' })
    const ended = once(child, 'close')
    while (!existsSync(join(parts, 'checkpoint.safetensors')) && child.exitCode === null) await setTimeout(20)
    child.kill('SIGKILL')
    expect((await ended)[1]).toBe('SIGKILL')
    // The run that was killed was to be longer: a resumed one may end earlier or later.
    expect(await train(parts, config, { device: 'cuda', resume: true })).toMatchObject({ steps: 4, finished: true })
    expect(finalState(parts)).toEqual(finalState(whole))
  })
})
