import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { DivergenceError } from '../../src/errors.ts'
import { loadTensors, readCheckpoint, writeCheckpoint } from '../../src/jem/checkpoint.ts'
import type { JemConfig } from '../../src/jem/config.ts'
import { JemTrainer } from '../../src/jem/trainer.ts'
import { assign } from '../../src/ops/cast.ts'
import { full } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { bars, finalState, tiny, train } from './tiny.ts'

const variants: [string, Partial<JemConfig>][] = [
  ['as released', {}],
  ['class-conditional samples', { classConditional: true }],
  ['p(x, y)', { pxyWeight: 0.5 }],
  ['a separate energy head', { unconditional: true, bufferSize: 15 }],
  ['SGD with momentum and decay', { optimizer: 'sgd', lr: 0.01, weightDecay: 1e-3 }],
  ['dropout', { dropout: 0.3 }],
  ['a sampler in bf16', { samplerPrecision: 'bf16' }],
  ['batch norm and a moving average', { norm: 'batch', ema: 0.9 }],
  ['batch norm in training mode while sampling', { norm: 'batch', samplingMode: 'train' }],
  ['ActNorm, which starts from the first batch', { norm: 'act', lr: 1e-3 }],
  [
    'PYLD from Gaussians of the classes',
    { innerSteps: 3, stepSize: 0.2, chainStart: 'class-gaussians', bufferSize: 16 },
  ],
  [
    'no buffer, and chains from one Gaussian',
    { bufferSize: 0, chainStart: 'gaussian', langevinTemperature: 1e-4, ema: 0.9 },
  ],
  ['adaptive SAM', { samRho: 0.5, samAdaptive: true, norm: 'batch', dropout: 0.2, optimizer: 'sgd', lr: 0.01 }],
  [
    'SAM and Adam, epochs of the labelled images',
    { samRho: 0.05, labelledBatch: 6, epochOf: 'labelled', augmentPx: false },
  ],
  [
    'all else',
    { schedule: 'cosine', warmupSteps: 3, energyL2: 0.1, gradientNormClip: 1, labelledBatch: 6, flip: 'on' },
  ],
]

describe('a run that was stopped and resumed ends with the bits of one that was not', { timeout: 120_000 }, () => {
  it.each(variants)('%s', async (_, settings) => {
    const folder = temporaryFolder()
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    const config = tiny({ steps: 7, checkpointEvery: 3, evalEvery: 4, ...settings })
    await train(whole, config)
    // Stopped after a checkpoint of its own, and, where the loop was cut without one, back at the last.
    expect(await train(parts, config, { stop: (step) => step === 2 })).toMatchObject({ steps: 2, finished: false })
    const cut = train(parts, config, {
      resume: true,
      onStep: ({ step }) => {
        if (step === 5) throw new Error('cut')
      },
    })
    await expect(cut).rejects.toThrow('cut')
    expect(readCheckpoint(parts).meta.trainer.step).toBe(3)
    expect(await train(parts, config, { resume: true })).toMatchObject({ steps: 7, finished: true })
    expect(finalState(parts)).toEqual(finalState(whole))
  })

  it('from the previous checkpoint, where the newest is lost', async () => {
    const folder = temporaryFolder()
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    const config = tiny({ checkpointEvery: 2 })
    await train(whole, config)
    await train(parts, config)
    rmSync(join(parts, 'checkpoint.safetensors'))
    await train(parts, config, { resume: true })
    expect(finalState(parts)).toEqual(finalState(whole))
  })

  it('a finished run that is resumed stays as it is', async () => {
    const run = join(temporaryFolder(), 'run')
    await train(run, tiny())
    const before = finalState(run)
    expect(await train(run, tiny(), { resume: true })).toMatchObject({ steps: 6, finished: true })
    expect(finalState(run)).toEqual(before)
  })
})

describe('looking on does not change what is computed', { timeout: 120_000 }, () => {
  it.each(variants.filter(([name]) => /released|batch norm/.test(name)))(
    'pictures and evaluations: %s',
    async (_, settings) => {
      const folder = temporaryFolder()
      const [blind, watched] = [join(folder, 'blind'), join(folder, 'watched')]
      await train(blind, tiny({ validationSize: 8, evalEvery: 100, ...settings }))
      await train(watched, tiny({ sampleEvery: 2, evalEvery: 1, logEvery: 2, ...settings }))
      const { tensors, trainer } = finalState(blind)
      expect(finalState(watched)).toMatchObject({ tensors, trainer })
      expect(readdirSync(join(watched, 'samples'))).toEqual(['step-000002.png', 'step-000004.png', 'step-000006.png'])
    },
  )
})

describe('a run that diverges', { timeout: 120_000 }, () => {
  const config = tiny({ steps: 8, checkpointEvery: 2, lr: 1e6, maxRollbacks: 2, rollbackLrFactor: 0.1 })

  it('rolls back, with another seed and a lower learning rate, says so, and gives up', async () => {
    const run = join(temporaryFolder(), 'run')
    const told: string[] = []
    const result = train(run, config, { onMessage: (message) => told.push(message) })
    await expect(result).rejects.toThrow(DivergenceError)
    await expect(result).rejects.toThrow('training diverged again after 2 roll-backs')
    expect(told.filter((line) => line.includes('training diverged'))).toHaveLength(3)
    expect(told.filter((line) => line.includes('rolled back'))).toEqual([
      expect.stringMatching(/^rolled back to step \d \(1 of 2\): seed 1000004, learning rate × 0.1$/),
      expect.stringMatching(/^rolled back to step \d \(2 of 2\): seed 2000007, learning rate × 0.1$/),
    ])
    const { meta } = readCheckpoint(run)
    expect(meta.rollbacks).toBe(2)
    expect(meta.trainer.seed).toBe(2000007)
    expect(meta.trainer.lrScale).toBeCloseTo(0.01, 12)
  })

  it('goes on with fresh chains from Gaussians and sharpness-aware steps', async () => {
    const run = join(temporaryFolder(), 'run')
    const settings = { samRho: 0.1, chainStart: 'class-gaussians', reinitProbability: 0.5 } as const
    const recovering = { ...config, ...settings, lr: 3e3, rollbackLrFactor: 1e-6, norm: 'act' as const }
    expect(await train(run, recovering)).toMatchObject({ finished: true, rollbacks: 1 })
  })

  it('goes back beyond a checkpoint that holds what went wrong', async () => {
    const run = join(temporaryFolder(), 'run')
    const healthy = tiny({ checkpointEvery: 1, steps: 6 })
    await train(run, healthy, { stop: (step) => step === 3 })
    // The checkpoint of step 4, written after an update that broke the weights and before any figure could show it.
    const { meta, tensors } = readCheckpoint(run)
    const trainer = new JemTrainer(healthy, bars(), 'cpu')
    try {
      loadTensors(trainer.tensors(), tensors)
      trainer.restore({ ...meta.trainer, step: 4 })
      scope(() => assign(trainer.model.parameters()[0], full(trainer.model.parameters()[0].shape, Number.NaN)))
      await writeCheckpoint(run, trainer.tensors(), { ...meta, trainer: trainer.state() })
    } finally {
      trainer.dispose()
    }
    const told: string[] = []
    const result = await train(run, healthy, { resume: true, onMessage: (message) => told.push(message) })
    expect(result).toMatchObject({ steps: 6, finished: true, rollbacks: 1 })
    expect(told).toEqual([
      'step 5: training diverged: the loss is NaN',
      'rolled back to step 3 (1 of 3): seed 1000004, learning rate × 0.5',
    ])
    const lines = finalState(run).metrics.trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).step)).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('and is stopped and resumed meanwhile ends with the same bits', async () => {
    const folder = temporaryFolder()
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    const recovering = { ...config, lr: 3e3, rollbackLrFactor: 1e-6, norm: 'act' as const }
    expect(await train(whole, recovering)).toMatchObject({ finished: true, rollbacks: 1 })
    let resume = false
    for (let step = 1; ; step++) {
      const result = await train(parts, recovering, { resume, stop: (at) => at >= step })
      if (result.finished) break
      resume = true
    }
    const { metrics, tensors, trainer } = finalState(whole)
    expect(finalState(parts)).toMatchObject({ metrics, tensors, trainer })
  })
})
