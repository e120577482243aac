import { count, duration, megabytes } from '../format.ts'
import { type TrainingPoint, trainingCurves } from '../plots.ts'
import { escapeHtml, facts, figures, type Section } from './html.ts'

/** How a run was trained; what is not known is left out. */
export interface RunFacts {
  model?: string
  data?: string
  /** What was done, in a few words: the recipe's name or its particulars. */
  recipe?: string
  device?: string
  parameters?: number
  steps?: number
  /** Which weights are judged. */
  weights?: string
  seconds?: number
  imageStepsPerSecond?: number
  peakBytes?: number
}

/** Curves of metrics.jsonl. */
export function trainingSection(points: readonly TrainingPoint[]): Section {
  return { title: 'Training', html: figures(trainingCurves(points)) }
}

export function runSection(run: RunFacts): Section {
  const known = <T>(value: T | undefined, text: (value: T) => string) => (value === undefined ? undefined : text(value))
  const html = facts([
    ['Model', run.model],
    ['Data', run.data],
    ['Recipe', run.recipe],
    ['Device', run.device],
    ['Parameters', known(run.parameters, count)],
    ['Steps', known(run.steps, count)],
    ['Weights', run.weights],
    ['Time', known(run.seconds, duration)],
    ['Image-steps per second', known(run.imageStepsPerSecond, count)],
    ['Peak device memory', known(run.peakBytes, megabytes)],
  ])
  return { title: 'Run', html }
}

/** Every setting; those that differ from `defaults` are marked. */
export function configurationSection(
  config: Readonly<Record<string, unknown>>,
  defaults: Readonly<Record<string, unknown>>,
): Section {
  const text = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)))
  const row = ([key, value]: [string, unknown]) => {
    const changed = key in defaults && text(defaults[key]) !== text(value)
    const note = changed ? `<small>default ${escapeHtml(text(defaults[key]))}</small>` : ''
    return `<div${changed ? ' class="changed"' : ''}><dt>${escapeHtml(key)}</dt><dd>${escapeHtml(text(value))} ${note}</dd></div>`
  }
  const rows = Object.entries(config)
  return {
    title: 'Configuration',
    html: rows.length === 0 ? '' : `<dl class="config">${rows.map(row).join('')}</dl>`,
  }
}
