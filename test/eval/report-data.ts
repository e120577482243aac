import { encode } from 'fast-png'
import { detectionMetrics } from '../../src/eval/detection.ts'
import { histogramSets } from '../../src/eval/histograms.ts'
import {
  calibrationErrorOfBins,
  maximumCalibrationError,
  type ReliabilityBin,
  reliabilityBins,
} from '../../src/eval/metrics.ts'
import type { EvaluationReport } from '../../src/eval/report/evaluation.ts'
import { scoreNames } from '../../src/eval/scores.ts'
import type { AccuracyResult } from '../../src/eval/suites/accuracy.ts'
import { binCounts, type CalibrationErrors, type CalibrationResult } from '../../src/eval/suites/calibration.ts'
import type { OodResult, ScoreResult } from '../../src/eval/suites/ood.ts'
import type { MeasuredOn } from '../../src/eval/suites/suite.ts'
import { defaultConfig } from '../../src/jem/config.ts'

/** A report with every section filled from invented numbers, to test and to look at. */
export function syntheticReport(): EvaluationReport {
  const random = lcg(7)
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const test: MeasuredOn = { data: 'mnist', split: 'test', images: 2000, sigma: 0.1, seed: 1 }
  const on = (data: string, images = 2000): MeasuredOn => ({ ...test, data, images })
  const accuracy: AccuracyResult = {
    on: test,
    models: [
      { name: 'run', accuracy: 0.9585, nll: 0.1811 },
      { name: 'baseline', accuracy: 0.972, nll: 0.2042 },
    ],
  }
  const errors = (overconfidence: number): CalibrationErrors => {
    const confidence = Float64Array.from({ length: 2000 }, () => 1 - 0.6 * random() ** 3)
    const correct = Array.from(confidence, (c) => random() < c - overconfidence)
    const finite = (bin: ReliabilityBin) => (bin.count > 0 ? bin : { ...bin, confidence: null, accuracy: null })
    const bins = binCounts.map((count) => {
      const diagram = reliabilityBins(confidence, correct, count)
      return {
        count,
        ece: calibrationErrorOfBins(diagram),
        mce: maximumCalibrationError(diagram),
        diagram: diagram.map(finite),
      }
    })
    return { bins, brier: 0.081, nll: 0.1811 }
  }
  const calibration: CalibrationResult = {
    on: test,
    models: [
      {
        name: 'run',
        asTrained: errors(0.03),
        scaled: {
          ...{ temperature: 1.234, atLimit: false },
          fittedOn: { ...test, split: 'validation', images: 1000 },
          errors: errors(0),
        },
      },
      { name: 'baseline', asTrained: errors(0.12), scaled: { missing: 'the run held no images out of training' } },
    ],
  }
  const sets = ['fashion-mnist', 'interpolation', 'uniform <noise>']
  const drawn = (mean: number) => Float64Array.from({ length: 2000 }, () => mean + normal())
  const scores = (shift: number): Record<string, ScoreResult> => {
    const metrics = detectionMetrics(drawn(shift), drawn(0))
    const interval = (value: number): [number, number] => [Math.max(0, value - 0.01), Math.min(1, value + 0.01)]
    const intervals = Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, interval(value)]))
    return Object.fromEntries(
      scoreNames.map((name) => [name, { ...metrics, intervals: intervals as ScoreResult['intervals'] }]),
    )
  }
  const ood: OodResult = {
    on: test,
    bootstrap: { resamples: 1000, level: 0.95, method: 'percentile', seed: 1 },
    equalSizes: true,
    typicality: { on: { ...test, split: 'validation', images: 1000 } },
    sets: sets.map((name, i) => ({
      on: on(name),
      inside: 2000,
      models: ['run', 'baseline'].map((model) => ({ name: model, scores: scores(i + 1) })),
    })),
    histograms: scoreNames.map((name) =>
      histogramSets(name, [
        { name: 'mnist', values: drawn(4) },
        ...sets.map((set, i) => ({ name: set, values: drawn(3 - i) })),
      ]),
    ),
  }
  return {
    evaluation: {
      version: 1,
      run: { recipe: 'jem', model: 'wrn-10-1', data: 'mnist', step: 2400, weights: 'average', seed: 1 },
      baselines: {
        ood: { recipe: 'classifier', model: 'wrn-10-1', data: 'mnist', step: 2400, weights: 'trained', seed: 1 },
      },
      judgedAt: '2026-11-05T14:20:11.000Z',
      suites: { accuracy, calibration, ood },
      numbers: {},
      pictures: {},
    },
    pictures: {},
    folder: 'runs/<mnist> & "more"',
    run: {
      config: {
        ...defaultConfig,
        model: 'wrn-10-1',
        init: 'he',
        sigma: 0.1,
        lr: 1e-3,
        warmupSteps: 50,
        bufferSize: 2000,
      },
      data: {
        ...{
          source: 'mnist',
          name: 'mnist',
          height: 28,
          width: 28,
          channels: 1,
          classes: 10,
          count: 10_000,
          crc32: '',
        },
        classNames: Array.from({ length: 10 }, (_, i) => String(i)),
      },
      step: 2400,
      weights: 'average',
    },
    curves: Array.from({ length: 2400 }, (_, step) => ({
      step,
      loss: 2.4 * Math.exp(-step / 300) + 0.15 * normal() + (step < 3 ? 200 : 0),
      fData: 3 + step / 400 + 0.3 * normal(),
      fSample: 2.6 + step / 410 + 0.35 * normal(),
      crossEntropy: 2.3 * Math.exp(-step / 350) + 0.08 * Math.abs(normal()),
      accuracy: Math.min(1, 1 - 0.9 * Math.exp(-step / 250) + 0.03 * normal()),
      validationAccuracy: step % 240 === 239 ? 1 - 0.9 * Math.exp(-step / 270) : undefined,
    })),
    defaults: defaultConfig,
  }
}

/** A grid of rings on noise, to stand for samples. */
export function gridPicture(columns: number, rows: number): Uint8Array {
  return noisePng(columns * 29, rows * 29, lcg(3))
}

function noisePng(width: number, height: number, random: () => number): Uint8Array {
  const data = Uint8Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [(i % width) % 29, Math.floor(i / width) % 29]
    if (x === 28 || y === 28) return 255
    return Math.abs(Math.hypot(x - 14, y - 14) - 8) < 2 ? 230 : 60 * random()
  })
  return encode({ width, height, data, channels: 1, depth: 8 })
}

/** Numerical Recipes' 32-bit generator: the report's numbers only need to be the same each time. */
function lcg(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
