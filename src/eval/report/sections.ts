import type { Evaluation, JudgedCheckpoint } from '../evaluation.ts'
import { count } from '../format.ts'
import type { Pictures } from '../suites/suite.ts'
import { accuracySection } from './accuracy.ts'
import { calibrationSection } from './calibration.ts'
import { note, type Section } from './html.ts'
import { oodSection } from './ood.ts'
import { robustnessSection } from './robustness.ts'
import { samplesSection } from './samples.ts'

/** How each suite's result looks, in the order of the page. Loading this module loads a plotting library (~0.2 s). */
const suiteSections: Record<string, { title: string; html(result: object, pictures: Pictures): string }> = {
  accuracy: section('Accuracy', accuracySection),
  calibration: section('Calibration', calibrationSection),
  ood: section('Out-of-distribution detection', oodSection),
  robustness: section('Robustness', robustnessSection),
  samples: section('Samples', samplesSection),
}

function section<Result>(title: string, html: (result: Result, pictures: Pictures) => string) {
  return { title, html: html as (result: object, pictures: Pictures) => string }
}

/** The sections of an evaluation's suites, from nothing but their results and pictures. */
export function evaluationSections({ suites, baselines }: Evaluation, pictures: Pictures): Section[] {
  return Object.entries(suiteSections)
    .filter(([name]) => name in suites)
    .map(([name, { title, html }]) => ({
      title,
      html: html(suites[name], pictures) + (name in baselines ? note(describeBaseline(baselines[name])) : ''),
    }))
}

function describeBaseline({ recipe, model, data, step, weights, seed }: JudgedCheckpoint): string {
  const which = weights === 'average' ? 'moving average of the weights' : 'trained weights'
  return `Baseline: ${recipe}, ${model} on ${data}, step ${count(step)}, ${which}, seed ${seed}.`
}
