import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dataset, takeImages } from '../../src/data/dataset.ts'
import { splitIndices } from '../../src/data/loader.ts'
import { loadOod } from '../../src/data/ood.ts'
import { type Evaluation, type JudgeOptions, judge, readEvaluation, saveEvaluation } from '../../src/eval/evaluation.ts'
import { auroc, negativeLogLikelihood, accuracy as shareRight } from '../../src/eval/metrics.ts'
import { modelOutputs, scoreNames, scoresOf } from '../../src/eval/scores.ts'
import { type AccuracyResult, accuracy } from '../../src/eval/suites/accuracy.ts'
import { type CalibrationResult, calibration } from '../../src/eval/suites/calibration.ts'
import { type OodResult, ood } from '../../src/eval/suites/ood.ts'
import { describeData } from '../../src/jem/checkpoint.ts'
import { defaultConfig } from '../../src/jem/config.ts'
import type { LoadedRun } from '../../src/jem/loadRun.ts'
import { assign } from '../../src/ops/cast.ts'
import { full } from '../../src/tensor/create.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { trainedOnBars } from './small-net.ts'

let run: LoadedRun
let data: Dataset
beforeAll(() => {
  const trained = trainedOnBars()
  data = trained.data
  run = {
    config: { ...defaultConfig, model: 'wrn-10-1', validationSize: 12 },
    data: describeData('bars', data),
    step: 25,
    model: trained.model,
    weights: 'trained',
    buffer: new Float32Array(0),
    warnings: [],
  }
})
afterAll(() => run.model.dispose())

/** Noise strong enough that some images are got wrong. */
const sigma = 1.5
const options = (): JudgeOptions => ({ run, test: data, training: () => data, sigma, seed: 3 })

describe('scores', () => {
  it('are what their definitions say, on logits whose softmax is known', () => {
    // softmax(log 1, log 3) = (1/4, 3/4); softmax(5, 5) = (1/2, 1/2); softmax(0, 2000) = (0, 1).
    const logits = Float32Array.of(0, Math.log(3), 5, 5, 0, 2000)
    const f = Float32Array.of(1, 4, -2)
    const scores = scoresOf({ logits, f, gradientNorm: Float32Array.of(3, 0, 1) }, 2, 1.5)
    const close = (name: (typeof scoreNames)[number], expected: number[]) => {
      for (const [i, value] of expected.entries()) expect(scores[name][i], `${name} ${i}`).toBeCloseTo(value, 6)
    }
    close('logpx', [1, 4, -2])
    close('maxprob', [0.75, 0.5, 1])
    close('mass', [-3, 0, -1])
    close('maxlogit', [Math.log(3), 5, 2000])
    close('entropy', [0.25 * Math.log(0.25) + 0.75 * Math.log(0.75), -Math.log(2), 0])
    close('typicality', [-0.5, -2.5, -3.5])
  })
})

describe('suites', { timeout: 60_000 }, () => {
  it('say what the model says, and judge each set once however many suites ask', async () => {
    const passes: string[] = []
    const { evaluation } = await judge(
      [accuracy(), calibration(), ood({ sets: [loadOod('uniform', data)], resamples: 0 })],
      {
        ...options(),
        progress: (label, _total, work) => {
          passes.push(label)
          return work(() => {})
        },
      },
    )
    expect(passes.sort()).toEqual(['judge bars with run', 'judge bars with run', 'judge uniform with run'])
    const { logits, f, gradientNorm } = await modelOutputs(run.model, data, { sigma, seed: 3, gradients: true })
    const { models, on } = evaluation.suites.accuracy as AccuracyResult
    expect(on).toEqual({ data: data.name, split: data.split, images: 40, sigma, seed: 3 })
    expect(models[0].accuracy).toBe(shareRight(logits, data.labels, 4))
    expect(models[0].accuracy).toBeLessThan(1)
    expect(models[0].nll).toBe(negativeLogLikelihood(logits, data.labels, 4))

    const result = evaluation.suites.ood as OodResult
    const held = takeImages(data, splitIndices(data.labels, 4, 12, -1).validation)
    const { f: heldF } = await modelOutputs(run.model, held, { sigma, seed: 3 })
    const meanF = heldF.reduce((sum, value) => sum + value, 0) / 12
    const uniform = await modelOutputs(run.model, loadOod('uniform', data), { sigma, seed: 3, gradients: true })
    const [ours, others] = [{ logits, f, gradientNorm: gradientNorm! }, uniform].map((outputs) =>
      scoresOf(outputs as Required<typeof outputs>, 4, meanF),
    )
    const { scores } = result.sets[0].models[0]
    expect(Object.keys(scores)).toEqual([...scoreNames])
    for (const name of scoreNames) {
      expect(scores[name]!.auroc, name).toBeCloseTo(auroc(ours[name], others[name]), 12)
      expect(scores[name]!.intervals, name).toBeNull()
    }
    expect(result.typicality).toEqual({ on: { data: data.name, split: 'validation', images: 12, sigma, seed: 3 } })
    // Everything is plain JSON: nothing becomes null or is lost on the way to the file.
    expect(JSON.parse(JSON.stringify(evaluation))).toEqual(evaluation)
  })

  it('temperature scaling is fitted on what was held out, never on the test images', async () => {
    const test = loadOod('shuffled', data)
    const { evaluation } = await judge([calibration()], {
      ...options(),
      test: { ...test, labels: data.labels, classes: 4 },
      baseline: { ...run, config: { ...run.config, validationSize: 0 } },
    })
    const { models } = evaluation.suites.calibration as CalibrationResult
    expect(models.map(({ name }) => name)).toEqual(['run', 'baseline'])
    expect(models[0].asTrained).toEqual(models[1].asTrained)
    expect(models[0].asTrained.bins.map(({ count }) => count)).toEqual([15, 20])
    expect(models[0].scaled).toMatchObject({ fittedOn: { data: data.name, split: 'validation', images: 12 } })
    expect(models[1].scaled).toEqual({ missing: 'the run held no images out of training' })
  })

  it('compare equally many images of both sides, unless asked not to', async () => {
    const few = takeImages(
      loadOod('gaussian', data),
      Int32Array.from({ length: 10 }, (_, i) => i),
    )
    const many = { ...loadOod('uniform', data), name: 'many' }
    const sizes = async (equalSizes: boolean) => {
      const small = takeImages(
        data,
        Int32Array.from({ length: 25 }, (_, i) => i),
      )
      const judged = await judge([ood({ sets: [few, many], equalSizes, resamples: 20 })], { ...options(), test: small })
      return (judged.evaluation.suites.ood as OodResult).sets.map(({ on, inside }) => [inside, on.images])
    }
    expect(await sizes(true)).toEqual([
      [10, 10],
      [25, 25],
    ])
    expect(await sizes(false)).toEqual([
      [25, 10],
      [25, 40],
    ])
  })

  it('go on without typicality and temperature where the training images are gone or have changed, and say why', async () => {
    const changed = { ...data, images: data.images.map((v) => 255 - v) }
    const sets = [loadOod('uniform', data)]
    const { evaluation } = await judge([calibration(), ood({ sets, resamples: 0 })], {
      ...options(),
      training: () => changed,
    })
    const why = { missing: 'bars is not what the run was trained on: its images have changed since' }
    expect((evaluation.suites.calibration as CalibrationResult).models[0].scaled).toEqual(why)
    const result = evaluation.suites.ood as OodResult
    expect(result.typicality).toEqual(why)
    expect(Object.keys(result.sets[0].models[0].scores)).not.toContain('typicality')
    expect(result.histograms).toHaveLength(scoreNames.length - 1)
  })

  it('count and name scores that are NaN, instead of dropping images', async () => {
    const bias = run.model.namedParameters().find(([name]) => name === 'class_output.bias')![1]
    const before = full(bias.shape, 0)
    assign(before, bias)
    const broken = full(bias.shape, Number.NaN)
    assign(bias, broken)
    await expect(judge([accuracy()], options())).rejects.toThrow(
      'run: 160 of 160 values of logits on bars are NaN or infinite',
    )
    assign(bias, before)
    before.dispose()
    broken.dispose()
  })

  it('refuse fewer images than bins and OOD detection without a set', async () => {
    const few = takeImages(
      data,
      Int32Array.from({ length: 19 }, (_, i) => i),
    )
    await expect(judge([calibration()], { ...options(), test: few })).rejects.toThrow(
      'calibration: bars has 19 test images, fewer than the 20 bins',
    )
    await expect(judge([ood({ sets: [] })], options())).rejects.toThrow('no out-of-distribution sets')
  })

  it('stop where they are asked to; what is judged by then can be saved', async () => {
    const controller = new AbortController()
    const finished: string[][] = []
    const stopped = judge([accuracy(), calibration(), ood({ sets: [data] })], {
      ...options(),
      signal: controller.signal,
      finished: async ({ evaluation }) => {
        finished.push(Object.keys(evaluation.suites))
        expect(evaluation.judgedAt).toMatch(/^\d{4}-/)
        if (finished.length === 2) controller.abort()
      },
    })
    await expect(stopped).rejects.toThrow(/abort/i)
    expect(finished).toEqual([['accuracy'], ['accuracy', 'calibration']])
  })
})

describe('eval.json', () => {
  const evaluation = (step: number, suites: Record<string, object>): Evaluation => ({
    version: 1,
    run: { recipe: 'jem', model: 'm', data: 'd', step, weights: 'trained', seed: 1 },
    baselines: {},
    judgedAt: '2026-01-01T00:00:00.000Z',
    suites,
    numbers: {},
    pictures: Object.fromEntries(Object.keys(suites).map((name) => [name, [`${name}.png`]])),
  })
  const pictures = (...names: string[]) =>
    Object.fromEntries(names.map((name) => [`${name}.png`, new TextEncoder().encode(name)]))

  it('keeps the other suites of the same checkpoint, with their pictures, and none of another', () => {
    const folder = temporaryFolder()
    saveEvaluation(folder, { evaluation: evaluation(1, { a: { x: 1 }, b: { x: 1 } }), pictures: pictures('a', 'b') })
    const saved = saveEvaluation(folder, { evaluation: evaluation(1, { b: { x: 2 } }), pictures: pictures('b') })
    expect(saved.evaluation.suites).toEqual({ a: { x: 1 }, b: { x: 2 } })
    expect(readEvaluation(join(folder, 'eval.json'))).toEqual(saved.evaluation)
    expect(Object.keys(saved.pictures).sort()).toEqual(['a.png', 'b.png'])
    expect(saved.pictures['a.png'].toString()).toBe('a')
    // A suite whose picture has gone would be a report with a hole.
    rmSync(join(folder, 'eval', 'a.png'))
    expect(
      saveEvaluation(folder, { evaluation: evaluation(1, { b: { x: 3 } }), pictures: pictures('b') }).evaluation.suites,
    ).toEqual({
      b: { x: 3 },
    })
    expect(
      saveEvaluation(folder, { evaluation: evaluation(2, { b: {} }), pictures: pictures('b') }).evaluation.suites,
    ).toEqual({ b: {} })
  })

  it('of another version, or broken, is refused and left as it is', () => {
    const folder = temporaryFolder()
    const path = join(folder, 'eval.json')
    const refusals = [
      ['{', 'is not JSON'],
      ['{"version": 7}', 'has evaluation version 7; this program reads 1'],
      ['null', 'has evaluation version none; this program reads 1'],
      ['{"version": 1}', 'has no run: it is not a whole eval.json'],
    ]
    for (const [text, reason] of refusals) {
      writeFileSync(path, text)
      expect(() => saveEvaluation(folder, { evaluation: evaluation(1, { a: {} }), pictures: pictures('a') })).toThrow(
        reason,
      )
      expect(readFileSync(path, 'utf8')).toBe(text)
      expect(existsSync(join(folder, 'eval'))).toBe(false)
      expect(readdirSync(folder)).toEqual(['eval.json'])
    }
  })
})
