import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { defaultConfig, type JemConfig } from '../../src/jem/config.ts'
import { recipeConfig, recipeNames, recipes } from '../../src/jem/recipes/index.ts'
import { JemTrainer, type StepMetrics } from '../../src/jem/trainer.ts'
import { bars, tiny } from './tiny.ts'

/** The arguments that each released script runs with, by its own names: its README's command, then its defaults. */
const published = {
  // train_wrn_ebm.py
  jem: {
    ...{ lr: 1e-4, optimizer: 'adam', weight_decay: 0, norm: 'none', sigma: 0.03, uncond: false, l2: 0, rho: 0 },
    ...{ p_x_weight: 1, p_y_given_x_weight: 1, p_x_y_weight: 0, n_steps: 20, in_steps: 0, step: 1, sgld_std: 0.01 },
    ...{ clip: 0, clamp: false, buffer_size: 10000, reinit_freq: 0.05, start: 'uniform', sampling: 'eval' },
    ...{ batch_size: 64, labelled: 64, n_epochs: 200, decay_epochs: [160, 180], decay_rate: 0.3, warmup_iters: -1 },
    ...{ n_valid: 5000, depth: 28, width: 10, px_augmented: true },
  },
  // train_jempp.py
  'jem++': {
    ...{ lr: 0.1, optimizer: 'sgd', weight_decay: 4e-4, norm: 'batch', sigma: 0.03, uncond: false, l2: 0, rho: 0 },
    ...{ p_x_weight: 1, p_y_given_x_weight: 1, p_x_y_weight: 0, n_steps: 10, in_steps: 5, step: 0.2, sgld_std: 0 },
    ...{ clip: 1, clamp: true, buffer_size: 10000, reinit_freq: 0.05, start: 'class-gaussians', sampling: 'train' },
    ...{
      batch_size: 64,
      labelled: 64,
      n_epochs: 150,
      decay_epochs: [50, 100, 125],
      decay_rate: 0.2,
      warmup_iters: 1000,
    },
    ...{ n_valid: 5000, depth: 28, width: 10, px_augmented: true },
  },
  // train_sadajem.py
  'sada-jem': {
    ...{ lr: 0.1, optimizer: 'sgd', weight_decay: 5e-4, norm: 'batch', sigma: 0, uncond: false, l2: 0, rho: 2 },
    ...{ p_x_weight: 1, p_y_given_x_weight: 1, p_x_y_weight: 0, n_steps: 5, in_steps: 0, step: 1, sgld_std: 0 },
    ...{ clip: 1, clamp: true, buffer_size: 10000, reinit_freq: 0.05, start: 'class-gaussians', sampling: 'train' },
    ...{
      batch_size: 64,
      labelled: 128,
      n_epochs: 200,
      decay_epochs: [60, 120, 180],
      decay_rate: 0.2,
      warmup_iters: 1000,
    },
    ...{ n_valid: 0, depth: 28, width: 10, px_augmented: false },
  },
  // train_maebm.py, scripts/majem_cifar10.sh
  'm-jem': {
    ...{ lr: 0.1, optimizer: 'sgd', weight_decay: 5e-4, norm: 'batch', sigma: 0, uncond: true, l2: 0.5, rho: 0 },
    ...{ p_x_weight: 1, p_y_given_x_weight: 1, p_x_y_weight: 0, n_steps: 5, in_steps: 0, step: 1, sgld_std: 0.001 },
    ...{ clip: 1, clamp: true, buffer_size: 10000, reinit_freq: 0.05, start: 'gaussian', sampling: 'train' },
    ...{
      batch_size: 64,
      labelled: 128,
      n_epochs: 200,
      decay_epochs: [60, 120, 180],
      decay_rate: 0.2,
      warmup_iters: 1000,
    },
    ...{ n_valid: 0, depth: 28, width: 10, px_augmented: false },
  },
}

function inReleasedNames(config: JemConfig): (typeof published)['jem'] {
  const [, depth, width] = config.model.split('-').map(Number)
  return {
    ...{ lr: config.lr, optimizer: config.optimizer, weight_decay: config.weightDecay, norm: config.norm },
    ...{ sigma: config.sigma, uncond: config.unconditional, l2: config.energyL2, rho: config.samRho },
    ...{ p_x_weight: config.pxWeight, p_y_given_x_weight: config.pyxWeight, p_x_y_weight: config.pxyWeight },
    ...{ n_steps: config.sgldSteps, in_steps: config.innerSteps === 1 ? 0 : config.innerSteps, step: config.stepSize },
    ...{ sgld_std: config.noiseStd, clip: config.gradientClip, clamp: config.clampSamples },
    ...{ buffer_size: config.bufferSize, reinit_freq: config.reinitProbability, start: config.chainStart },
    ...{ sampling: config.samplingMode, batch_size: config.batch, labelled: config.labelledBatch || config.batch },
    ...{ n_epochs: config.epochs, decay_epochs: config.decayEpochs, decay_rate: config.decayRate },
    ...{
      warmup_iters: config.warmupSteps,
      n_valid: config.validationSize,
      depth,
      width,
      px_augmented: config.augmentPx,
    },
  }
}

/** The recipe on images of 8×8 pixels: whatever it says besides sizes holds. */
const small = (name: string): JemConfig => {
  const { model, batch, bufferSize, validationSize, cropPadding, device } = tiny()
  const size = { model, batch, labelledBatch: 6, validationSize, cropPadding, device, steps: 4, warmupSteps: 2 }
  return recipeConfig(name, { ...size, bufferSize: Math.min(bufferSize, recipeConfig(name).bufferSize) })
}

describe('the recipes', () => {
  it.each(Object.entries(published))('%s has the constants of its released code', (name, constants) => {
    expect(inReleasedNames(recipeConfig(name))).toEqual(constants)
    expect(recipeConfig(name)).toMatchObject({ recipe: name, momentum: 0.9, cropPadding: 4, flip: 'auto' })
  })

  it('classifier is JEM without its p(x) term, and keeps no buffer', () => {
    const changed = { recipe: 'classifier', pxWeight: 0, sgldSteps: 0, bufferSize: 0 }
    expect(recipeConfig('classifier')).toEqual({ ...defaultConfig, ...changed })
  })

  it('jem is the released default', () => {
    expect(recipeConfig('jem')).toEqual(defaultConfig)
  })

  it('state nothing that is the default anyway', () => {
    for (const [name, { settings, source, title }] of Object.entries(recipes)) {
      for (const [key, value] of Object.entries(settings)) {
        expect(value, `${name}: ${key}`).not.toEqual(defaultConfig[key as keyof JemConfig])
      }
      expect(`${source}${title}`).toMatch(/@[0-9a-f]{7}/)
    }
  })

  it('are all in the list: a file that is not could not be chosen', () => {
    const files = readdirSync(new URL('../../src/jem/recipes/', import.meta.url))
    expect(files.filter((name) => !['index.ts', 'recipe.ts'].includes(name))).toHaveLength(recipeNames.length)
  })

  it('are changed by settings, and do not share their lists', () => {
    const config = recipeConfig('jem++', { sgldSteps: 20 })
    expect(config).toMatchObject({ sgldSteps: 20, innerSteps: 5 })
    config.decayEpochs.push(999)
    expect(recipeConfig('jem++').decayEpochs).toEqual([50, 100, 125])
  })

  it('that are unknown name the nearest', () => {
    expect(() => recipeConfig('jem+++')).toThrow(
      expect.objectContaining({
        code: 'CONFIG',
        message: expect.stringContaining('got "jem+++"'),
        hint: 'did you mean jem++?',
      }),
    )
    expect(() => recipeConfig('toString')).toThrow('recipe must be one of')
  })
})

describe('training by recipe', { timeout: 60_000 }, () => {
  it.each(recipeNames.map((name) => [name]))('%s runs, with finite figures and moving weights', async (name) => {
    const trainer = new JemTrainer(small(name), bars(), 'cpu')
    try {
      const before = trainer.model.parameters().map((p) => Array.from(p.dataSync()))
      const metrics: StepMetrics[] = []
      for (let step = 0; step < 4; step++) metrics.push(await trainer.iterate())
      for (const { loss, crossEntropy, gradientNorm, fData } of metrics) {
        expect([loss, crossEntropy, gradientNorm].every(Number.isFinite)).toBe(true)
        expect(fData === null).toBe(name === 'classifier')
      }
      expect(trainer.model.parameters().map((p) => Array.from(p.dataSync()))).not.toEqual(before)
      if (recipes[name].settings.clampSamples) {
        expect(trainer.buffer.samples.dataSync().every((v: number) => Math.abs(v) <= 1)).toBe(true)
      }
    } finally {
      trainer.dispose()
    }
  })
})
