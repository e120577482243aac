import type { LoadedRun } from '../../jem/loadRun.ts'
import type { Evaluation } from '../evaluation.ts'
import type { TrainingPoint } from '../plots.ts'
import type { Pictures } from '../suites/suite.ts'
import { page } from './html.ts'
import { configurationSection, runSection, trainingSection } from './run.ts'
import { evaluationSections } from './sections.ts'

export interface EvaluationReport {
  evaluation: Evaluation
  pictures: Pictures
  run: Pick<LoadedRun, 'config' | 'data' | 'step' | 'weights'>
  /** The run's folder, as it was named. */
  folder: string
  /** Lines of the run's metrics.jsonl. */
  curves: readonly TrainingPoint[]
  /** Settings to mark the differences from. */
  defaults: object
}

/** The report of `langevin eval`: every suite's section, how the run was trained, and its configuration. */
export function renderEvaluation({ evaluation, pictures, run, folder, curves, defaults }: EvaluationReport): string {
  const { config, data, step, weights } = run
  return page({
    title: `${config.model} on ${data.name}`,
    byline: [
      `${folder}, checkpoint of step ${step.toLocaleString('en-US')}, ${weights === 'average' ? 'moving average of the' : 'trained'} weights`,
      `Judged ${evaluation.judgedAt.slice(0, 16).replace('T', ' ')} UTC`,
    ],
    sections: [
      ...evaluationSections(evaluation, pictures),
      trainingSection(curves),
      runSection({
        model: config.model,
        data: `${data.name} (${data.count.toLocaleString('en-US')} images, ${data.height}×${data.width}×${data.channels})`,
        recipe: config.recipe,
        steps: step,
        weights,
      }),
      configurationSection({ ...config }, { ...defaults }),
    ],
  })
}
