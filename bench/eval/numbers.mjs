// What judging costs once the model has said what it says: seconds, on one thread of JavaScript.
import { auroc, bootstrapIntervals, Detection, defaultConfig, detectionMetrics, Generator } from '../../dist/index.js'
import { spread } from '../figures.mjs'

/** Continuous scores; those of `shift` 1 are higher. */
function scores(seed, count, shift) {
  return new Generator(seed).uniforms(count).map((u) => Math.log(u + 1e-9) + shift)
}

export async function measureNumbers(rounds) {
  const { histogramSets } = await import('../../dist/eval/histograms.js')
  const { renderEvaluation } = await import('../../dist/eval/report/evaluation.js')
  const [inside, outside] = [scores(1, 500_000, 1), scores(2, 500_000, 0)]
  const names = ['logpx', 'maxprob', 'mass', 'maxlogit', 'entropy', 'typicality']
  const few = names.map((_, i) => [scores(10 + i, 10_000, 1), scores(20 + i, 10_000, 0)])
  const sizes = { inside: 10_000, outside: 10_000 }
  const work = {
    'AUROC of 1,000,000 scores': () => auroc(inside, outside),
    'AUROC, AUPR and FPR of 1,000,000 scores': () => detectionMetrics(inside, outside),
    'six scores, 2 × 10,000 images, 1,000 bootstrap resamples': () => {
      const detections = Object.fromEntries(names.map((name, i) => [name, new Detection(...few[i])]))
      return bootstrapIntervals(detections, sizes, new Generator(3), { resamples: 1000, level: 0.95 })
    },
    'report of four sets, six scores, 10,000 steps of training': () =>
      renderEvaluation(report(names, few, histogramSets)),
  }
  const results = {}
  for (const [what, run] of Object.entries(work)) {
    const seconds = []
    for (let round = 0; round < rounds; round++) {
      const start = performance.now()
      await run()
      seconds.push((performance.now() - start) / 1e3)
    }
    results[what] = spread(seconds)
  }
  return results
}

function report(names, few, histogramSets) {
  const on = { data: 'x', split: 'test', images: 10_000, sigma: 0.03, seed: 1 }
  const sets = ['a', 'b', 'c', 'd']
  const score = { ...detectionMetrics(...few[0].map((values) => values.subarray(0, 100))), intervals: null }
  const ood = {
    on,
    bootstrap: null,
    equalSizes: true,
    typicality: { on },
    sets: sets.map((data) => ({
      on: { ...on, data },
      inside: 10_000,
      models: [{ name: 'run', scores: Object.fromEntries(names.map((name) => [name, score])) }],
    })),
    histograms: names.map((label, i) =>
      histogramSets(
        label,
        ['in', ...sets].map((name, k) => ({ name, values: few[i][k % 2] })),
      ),
    ),
  }
  return {
    evaluation: {
      version: 1,
      run: {},
      judgedAt: '2026-01-01T00:00',
      suites: { ood },
      numbers: {},
      baselines: {},
      pictures: {},
    },
    pictures: {},
    run: { config: defaultConfig, data: { name: 'x', count: 1 }, step: 1, weights: 'trained' },
    folder: 'x',
    curves: Array.from({ length: 10_000 }, (_, step) => ({
      step,
      loss: Math.sin(step),
      accuracy: 0.5,
      fData: step,
      fSample: step,
    })),
    defaults: defaultConfig,
  }
}
