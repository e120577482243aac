import { describe, expect, it } from 'vitest'
import { IndexLoader, splitIndices } from '../../src/data/loader.ts'
import { OutOfMemoryError } from '../../src/errors.ts'
import type { JemConfig } from '../../src/jem/config.ts'
import { JemTrainer, type StepMetrics } from '../../src/jem/trainer.ts'
import { memory, setMemoryLimit } from '../../src/tensor/memory.ts'
import { bars, tiny } from './tiny.ts'

/** Runs `steps` iterations and then `look`. */
async function trained<R>(
  settings: Partial<JemConfig>,
  steps: number,
  look: (trainer: JemTrainer, metrics: StepMetrics[]) => R,
  data = bars(),
): Promise<R> {
  const trainer = new JemTrainer(tiny(settings), data, 'cpu')
  try {
    const metrics: StepMetrics[] = []
    for (let step = 0; step < steps; step++) metrics.push(await trainer.iterate())
    return look(trainer, metrics)
  } finally {
    trainer.dispose()
  }
}

/** A plain classifier: nothing is sampled, so that iterations are quick. */
const classifier = { pxWeight: 0, sgldSteps: 0 }
const lrs = (_: JemTrainer, metrics: StepMetrics[]) => metrics.map(({ lr }) => lr)
const losses = (_: JemTrainer, metrics: StepMetrics[]) => metrics.map(({ loss }) => loss)
const parametersOf = (trainer: JemTrainer) => trainer.model.parameters().map((p) => Array.from(p.dataSync()))
const bufferOf = (trainer: JemTrainer) => Array.from(trainer.buffer.samples.dataSync())

describe('the learning rate', { timeout: 60_000 }, () => {
  it('warms up from 0: iteration 0 changes no parameter', async () => {
    const settings = { ...classifier, lr: 0.01, warmupSteps: 3, steps: 6 }
    const rates = await trained(settings, 6, lrs)
    // lr·iteration/warmup while iteration <= warmup (train_wrn_ebm.py)
    expect(rates).toBeAllclose([0, 0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01], { rtol: 1e-12, atol: 0 })
    const [start, first, second] = await Promise.all([0, 1, 2].map((n) => trained(settings, n, parametersOf)))
    expect(first).toEqual(start)
    expect(second).not.toEqual(first)
  })

  it('decays at the start of the named epochs', async () => {
    // 40 images, 8 held out, batch 4: 8 iterations an epoch.
    const rates = await trained({ ...classifier, lr: 1, optimizer: 'sgd', decayEpochs: [1, 2], steps: 18 }, 18, lrs)
    const expected = Array.from({ length: 18 }, (_, step) => (step < 8 ? 1 : step < 16 ? 0.3 : 0.09))
    expect(rates).toBeAllclose(expected, { rtol: 1e-12, atol: 0 })
  })

  it('by cosine falls to half at the middle', async () => {
    const rates = await trained({ ...classifier, lr: 1e-3, schedule: 'cosine', steps: 8 }, 5, lrs)
    expect(rates[0]).toBe(1e-3)
    expect(rates[4]).toBeCloseTo(0.5e-3, 12)
  })
})

describe('the loaders', () => {
  const indices = Int32Array.from({ length: 33 }, (_, i) => 2 * i)

  it('give each image once an epoch, in another order each, and drop a last short batch', () => {
    const loader = new IndexLoader(indices, 4, 1, 0)
    expect(loader.batchesPerEpoch).toBe(8)
    const epochs = [0, 1].map(() => Array.from({ length: 8 }, () => Array.from(loader.next())).flat())
    for (const epoch of epochs) {
      expect(new Set(epoch).size).toBe(32)
      expect(epoch.every((i) => indices.includes(i))).toBe(true)
    }
    expect(epochs[0]).not.toEqual(epochs[1])
    expect(loader.state()).toEqual({ epoch: 1, position: 8 })
  })

  it('of the two terms see different images', () => {
    const orders = [0, 1].map((stream) => {
      const loader = new IndexLoader(indices, 4, 1, stream)
      return Array.from({ length: 8 }, () => Array.from(loader.next()))
    })
    expect(orders[0].filter((batch, i) => batch.join() === orders[1][i].join())).toEqual([])
  })

  it('advance on their own: a larger labelled batch ends its epoch sooner', async () => {
    // 32 training images: 8 batches of 4, 3 of 10.
    const state = await trained({ ...classifier, labelledBatch: 10, steps: 9 }, 5, (trainer) => trainer.state())
    expect(state.loaders).toEqual({ px: { epoch: 0, position: 5 }, pyx: { epoch: 1, position: 2 } })
  })
})

describe('the split', () => {
  const { labels } = bars(80)

  it('holds validation images out of training, the same ones for every seed', () => {
    const { train, validation, labelled } = splitIndices(labels, 4, 20, -1)
    expect([train.length, validation.length]).toEqual([60, 20])
    expect(new Set([...train, ...validation]).size).toBe(80)
    expect(labelled).toEqual(train)
  })

  it('keeps the first labels of each class', () => {
    const { train, labelled } = splitIndices(labels, 4, 20, 3)
    for (let k = 0; k < 4; k++) {
      const ofClass = (set: Int32Array) => Array.from(set).filter((i) => labels[i] === k)
      expect(ofClass(labelled)).toEqual(ofClass(train).slice(0, 3))
    }
  })
})

describe('an iteration', { timeout: 60_000 }, () => {
  it('stores its chains in the buffer, and only in the slots it drew', async () => {
    const settings = { bufferSize: 64 }
    const [before, after] = await Promise.all([0, 1].map((n) => trained(settings, n, bufferOf)))
    const changed = new Set(before.flatMap((v, at) => (v === after[at] ? [] : [Math.floor(at / 64)])))
    expect(changed.size).toBeGreaterThan(0)
    expect(changed.size).toBeLessThanOrEqual(4)
  })

  it('samples p(x, y) given the labels of its batch: every chain stays in the segment of its class', async () => {
    const settings = { pxWeight: 0, pyxWeight: 0, pxyWeight: 1, bufferSize: 64 }
    const data = { ...bars(), labels: new Uint8Array(40).fill(2) }
    const [before, after] = await Promise.all([0, 2].map((n) => trained(settings, n, bufferOf, data)))
    const changed = before.flatMap((v, at) => (v === after[at] ? [] : [Math.floor(at / 64)]))
    expect(changed.length).toBeGreaterThan(0)
    expect(changed.every((slot) => slot >= 32 && slot < 48)).toBe(true)
  })

  it('with p(x) weight 0 samples nothing', async () => {
    await trained({ pxWeight: 0 }, 2, (trainer, [metrics]) => {
      expect(metrics).toMatchObject({ fData: null, fSample: null, loss: metrics.crossEntropy })
      expect(trainer.state().generators).toMatchObject({ sgld: { step: 0 }, bufferDraw: { step: 0 } })
    })
  })

  it('with p(y|x) weight 0 looks at no label', async () => {
    await trained({ pyxWeight: 0 }, 1, (_, [metrics]) => {
      expect(metrics).toMatchObject({ crossEntropy: null, accuracy: null })
      expect(metrics.loss).toBeCloseTo(metrics.fSample! - metrics.fData!, 5)
    })
  })

  it('draws classes for its samples only where they are class-conditional', async () => {
    const draws = (trainer: JemTrainer) => trainer.state().generators.labels.step
    expect(await trained({}, 2, draws)).toBe(0)
    expect(await trained({ classConditional: true }, 2, draws)).toBe(2)
  })

  it('mirrors images, but not digits', async () => {
    const run = (flip: 'auto' | 'on' | 'off', name: string) =>
      trained({ ...classifier, flip, cropPadding: 0, sigma: 0 }, 2, losses, { ...bars(), name })
    expect(await run('auto', 'mnist')).toEqual(await run('off', 'mnist'))
    expect(await run('auto', 'svhn')).toEqual(await run('off', 'mnist'))
    expect(await run('auto', 'cifar10')).toEqual(await run('on', 'mnist'))
    expect(await run('on', 'mnist')).not.toEqual(await run('off', 'mnist'))
  })

  it('augments the images of p(x) only where asked, those of p(y|x) always', async () => {
    const settings = { flip: 'on', cropPadding: 3, sigma: 0, lr: 0 } as const
    const energies = (augmentPx: boolean) =>
      trained({ ...settings, augmentPx }, 3, (_, metrics) =>
        metrics.map(({ fData, crossEntropy }) => [fData, crossEntropy]),
      )
    const [plain, augmented] = [await energies(false), await energies(true)]
    expect(plain.map(([f]) => f)).not.toEqual(augmented.map(([f]) => f))
    expect(plain.map(([, ce]) => ce)).toEqual(augmented.map(([, ce]) => ce))
  })

  it('counts epochs by the loader that is asked for', async () => {
    // 32 training images: 8 batches of 4, 3 of 10.
    const settings = { ...classifier, labelledBatch: 10, steps: 0, epochs: 3 }
    const length = ({ stepsPerEpoch, totalSteps }: JemTrainer) => [stepsPerEpoch, totalSteps]
    expect(await trained(settings, 0, length)).toEqual([8, 24])
    expect(await trained({ ...settings, epochOf: 'labelled' }, 0, length)).toEqual([3, 9])
  })

  it('with SAM takes the gradient elsewhere, of the same samples, and lets the norms see each batch once', async () => {
    const settings = { norm: 'batch', optimizer: 'sgd', lr: 0.1, samplingMode: 'train' } as const
    const look = (trainer: JemTrainer, [metrics]: StepMetrics[]) => ({
      metrics,
      state: trainer.state(),
      samples: bufferOf(trainer),
      statistics: trainer.model.namedBuffers().map(([, b]) => Array.from(b.dataSync())),
    })
    const plain = await trained(settings, 1, look)
    const sharp = await trained({ ...settings, samRho: 0.5 }, 1, look)
    expect(sharp.samples).toEqual(plain.samples)
    expect(sharp.state).toEqual(plain.state)
    expect(sharp.statistics).toEqual(plain.statistics)
    expect(sharp.metrics).toMatchObject({ loss: plain.metrics.loss, crossEntropy: plain.metrics.crossEntropy })
    expect(sharp.metrics.gradientNorm).not.toBe(plain.metrics.gradientNorm)
  })

  it('moves the averaged weights by 1 − decay towards the weights', async () => {
    // The first decay is (1 + 0)/(10 + 0), below 0.9.
    const start = await trained({ ...classifier, ema: 0.9 }, 0, parametersOf)
    await trained({ ...classifier, ema: 0.9, lr: 0.01 }, 1, (trainer) => {
      const decay = 1 / 10
      const weights = parametersOf(trainer)
      const averages = trainer.average!.parameters().map((p) => Array.from(p.dataSync()))
      for (const [i, average] of averages.entries()) {
        const expected = average.map((_, at) => decay * start[i][at] + (1 - decay) * weights[i][at])
        expect(average).toBeAllclose(expected, { rtol: 1e-5, atol: 1e-7 })
      }
      expect(trainer.judged).toBe(trainer.average)
    })
  })

  it('without enough memory is a typed error, leaves nothing behind, and the next one works', async () => {
    // Of a size that no test before has left cached.
    const trainer = new JemTrainer(tiny({ model: 'wrn-10-3', batch: 24 }), bars(), 'cpu')
    try {
      const { buffers, liveBytes } = memory()
      setMemoryLimit(liveBytes + 50_000)
      expect(() => trainer.iterate()).toThrow(OutOfMemoryError)
      expect(memory()).toMatchObject({ buffers, liveBytes })
      setMemoryLimit(0)
      expect(Number.isFinite((await trainer.iterate()).loss)).toBe(true)
    } finally {
      setMemoryLimit(0)
      trainer.dispose()
    }
  })

  it('with SAM keeps weights and gradients clean wherever in it memory runs out', async () => {
    // Of a size that no test before has left cached.
    const settings = { ...classifier, model: 'wrn-10-2', samRho: 0.1, norm: 'batch', labelledBatch: 3 } as const
    const trainer = new JemTrainer(tiny(settings), bars(), 'cpu')
    try {
      const before = parametersOf(trainer)
      const { buffers, liveBytes } = memory()
      let failures = 0
      for (let spare = 50_000; ; spare += 400_000) {
        setMemoryLimit(liveBytes + spare)
        try {
          expect(Number.isFinite((await trainer.iterate()).loss)).toBe(true)
          break
        } catch (error) {
          expect(error).toBeInstanceOf(OutOfMemoryError)
          failures++
        }
        expect(memory()).toMatchObject({ buffers, liveBytes })
        expect(trainer.model.parameters().every((p) => p.grad === undefined)).toBe(true)
        expect(parametersOf(trainer)).toEqual(before)
      }
      expect(failures).toBeGreaterThan(3)
    } finally {
      setMemoryLimit(0)
      trainer.dispose()
    }
  })
})
