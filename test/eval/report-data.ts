import { encode } from 'fast-png'
import { classificationMetrics } from '../../src/eval/metrics.ts'
import type { ReportData } from '../../src/eval/report.ts'
import { defaultConfig } from '../../src/jem/config.ts'

/** A report with every section filled from invented numbers, to test and to look at. */
export function syntheticReport(): ReportData {
  const random = lcg(7)
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const logits: number[] = []
  const labels: number[] = []
  for (let i = 0; i < 2000; i++) {
    const label = i % 10
    labels.push(label)
    for (let k = 0; k < 10; k++) logits.push(1.4 * normal() + (k === label ? 5 : 0))
  }
  const { reliability, ...results } = classificationMetrics(logits, labels, 10)
  const scores = (mean: number, spread: number) => Float64Array.from({ length: 2000 }, () => mean + spread * normal())
  return {
    title: 'A joint energy-based model of handwritten digits',
    subtitle: 'WRN-10-1 trained on 10,000 MNIST digits: one network that classifies, samples and scores.',
    createdAt: '2026-11-05 14:20',
    results,
    ood: [
      { name: 'fashion-mnist', n: 2000, logpx: 0.9871, maxprob: 0.9412, mass: 0.9034 },
      { name: 'noise', n: 500, logpx: 0.9998, maxprob: 0.97 },
    ],
    training: {
      model: 'wrn-10-1',
      data: 'mnist (10,000 images, 28×28×1)',
      device: 'cpu, 2 threads, AVX-512',
      recipe: 'he initialisation, energy regulariser 0.05, labelled batch 128, EMA 0.99',
      parameters: 77_754,
      steps: 2400,
      seconds: 412.3,
      imageStepsPerSecond: 9123.4,
      peakBytes: 143_200_000,
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
    samples: [{ png: noisePng(12 * 29, 8 * 29, random), caption: '96 samples from fresh chains, 400 steps' }],
    classSamples: {
      png: noisePng(10 * 29, 10 * 29, random),
      caption: 'Ten samples of each class',
      rowLabels: Array.from({ length: 10 }, (_, i) => String(i)),
    },
    chain: {
      png: noisePng(12 * 29, 4 * 29, random),
      caption: 'From uniform noise to a digit: four chains',
      columnLabels: Array.from({ length: 12 }, (_, i) => String(i * 20)),
    },
    scores: [
      {
        label: 'log p(x) + const',
        sets: [
          { name: 'mnist test', values: scores(8, 1) },
          { name: 'fashion-mnist', values: scores(3, 2.4) },
          { name: 'noise', values: scores(-1, 0.5) },
        ],
      },
      {
        label: 'max p(y|x)',
        sets: [
          { name: 'mnist test', values: scores(8, 1).map((z) => 1 / (1 + Math.exp(-z / 2))) },
          { name: 'fashion-mnist', values: scores(1, 1).map((z) => 1 / (1 + Math.exp(-z))) },
        ],
      },
    ],
    reliability,
    config: {
      ...defaultConfig,
      model: 'wrn-10-1',
      init: 'he',
      sigma: 0.1,
      lr: 1e-3,
      warmupSteps: 50,
      bufferSize: 2000,
    },
    defaults: { ...defaultConfig },
    notes: ['Accuracy is measured without test-time noise; the paper adds σ = 0.03 <b>noise</b> & "more".'],
  }
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
