import type { Dataset } from '../../data/dataset.ts'
import { DataError } from '../../errors.ts'
import { percent } from '../format.ts'
import {
  argmaxRows,
  brierScore,
  calibrationErrorOfBins,
  maximumCalibrationError,
  type Numbers,
  negativeLogLikelihood,
  type ReliabilityBin,
  reliabilityBins,
  softmaxRows,
} from '../metrics.ts'
import { fitTemperature, scaledLogits } from '../temperature.ts'
import {
  type Candidate,
  candidatesOf,
  describeMeasured,
  type MeasuredOn,
  measuredOn,
  type NamedNumber,
  type ResultTable,
  type Suite,
  type SuiteContext,
} from './suite.ts'

/** 15 as Guo et al. 2017, 20 as JEM's figures. */
export const binCounts = [15, 20] as const

export interface CalibrationErrors {
  /** By number of bins. `mce` is the largest gap of one bin, empty ones left out. */
  bins: { count: (typeof binCounts)[number]; ece: number; mce: number; diagram: DiagramBin[] }[]
  /** In [0, 2]. */
  brier: number
  /** Nats an image. */
  nll: number
}

/** A bin of the reliability diagram; `confidence` and `accuracy` are null where it is empty. */
export type DiagramBin = Omit<ReliabilityBin, 'confidence' | 'accuracy'> & {
  confidence: number | null
  accuracy: number | null
}

export interface CalibrationResult {
  on: MeasuredOn
  models: {
    name: string
    asTrained: CalibrationErrors
    /** After temperature scaling, or why there is none. */
    scaled:
      | { temperature: number; atLimit: boolean; fittedOn: MeasuredOn; errors: CalibrationErrors }
      | { missing: string }
  }[]
}

/** Calibration errors, before and after temperature scaling fitted on the images held out of training. */
export function calibration(): Suite<CalibrationResult> {
  return { name: 'calibration', check, run, tables, notes, numbers }
}

function check({ test }: SuiteContext): void {
  const most = Math.max(...binCounts)
  if (test.count < most) {
    throw new DataError(`calibration: ${test.name} has ${test.count} test images, fewer than the ${most} bins`, {
      hint: 'judge on more images, or leave the suite out with --suite',
    })
  }
}

async function run(context: SuiteContext): Promise<{ result: CalibrationResult }> {
  const { test } = context
  const models: CalibrationResult['models'] = []
  for (const candidate of candidatesOf(context)) {
    const { name, run, scores } = candidate
    const { classes } = run.model.options
    const { logits } = await scores.outputs(test)
    const asTrained = errorsOf(logits, test.labels, classes)
    models.push({ name, asTrained, scaled: await scaled(context, candidate, logits) })
  }
  return { result: { on: measuredOn(context, test), models } }
}

async function scaled(
  context: SuiteContext,
  { run, scores }: Candidate,
  logits: Float32Array,
): Promise<CalibrationResult['models'][number]['scaled']> {
  let heldOut: Dataset
  try {
    heldOut = context.validation(run)
  } catch (error) {
    if (error instanceof DataError) return { missing: error.message }
    throw error
  }
  const { classes } = run.model.options
  const fit = fitTemperature((await scores.outputs(heldOut)).logits, heldOut.labels, classes)
  const fittedOn: MeasuredOn = { ...measuredOn(context, heldOut), split: 'validation' }
  const errors = errorsOf(scaledLogits(logits, fit.temperature), context.test.labels, classes)
  return { ...fit, fittedOn, errors }
}

function errorsOf(logits: Numbers, labels: Numbers, classes: number): CalibrationErrors {
  const probabilities = softmaxRows(logits, classes)
  const predicted = argmaxRows(logits, classes)
  const confidence = Float64Array.from(predicted, (k, i) => probabilities[i * classes + k])
  const correct = Uint8Array.from(predicted, (k, i) => (k === labels[i] ? 1 : 0))
  return {
    bins: binCounts.map((count) => {
      const bins = reliabilityBins(confidence, correct, count)
      return {
        count,
        ece: calibrationErrorOfBins(bins),
        mce: maximumCalibrationError(bins),
        diagram: bins.map((bin) => (bin.count > 0 ? bin : { ...bin, confidence: null, accuracy: null })),
      }
    }),
    brier: brierScore(probabilities, labels, classes),
    nll: negativeLogLikelihood(logits, labels, classes),
  }
}

function tables({ on, models }: CalibrationResult): ResultTable[] {
  const row = (name: string, { bins, brier, nll }: CalibrationErrors) => [
    name,
    ...bins.map(({ ece }) => percent(ece)),
    ...bins.map(({ mce }) => percent(mce)),
    brier.toFixed(4),
    nll.toFixed(4),
  ]
  return [
    {
      caption: `Calibration: ${describeMeasured(on)}`,
      head: [
        'model',
        ...binCounts.map((count) => `ECE, ${count} bins`),
        ...binCounts.map((count) => `MCE, ${count} bins`),
        'Brier',
        'NLL (nats)',
      ],
      rows: models.flatMap(({ name, asTrained, scaled }) => [
        row(name, asTrained),
        ...('missing' in scaled ? [] : [row(`${name}, scaled`, scaled.errors)]),
      ]),
    },
  ]
}

function notes({ models }: CalibrationResult): string[] {
  const scaling = models.map(({ name, scaled }) => {
    if ('missing' in scaled) return `${name}: no temperature scaling, ${scaled.missing}.`
    const { temperature, atLimit, fittedOn } = scaled
    const limit = atLimit ? ' (the limit of the fit)' : ''
    return `${name}, scaled: logits / ${temperature.toPrecision(4)}${limit}, fitted on ${describeMeasured(fittedOn)}.`
  })
  return [
    'Bins of max p(y|x) have equal widths; MCE is the gap of the worst bin, however few images it has.',
    ...scaling,
  ]
}

function numbers({ on, models: [{ asTrained, scaled }] }: CalibrationResult): NamedNumber[] {
  const of = ({ bins, brier }: CalibrationErrors, when: string): NamedNumber[] => [
    ...bins.map(({ count, ece }) => ({ name: `ECE, ${count} bins${when}`, value: ece, unit: 'percent' as const, on })),
    { name: `Brier${when}`, value: brier, unit: 'none', on },
  ]
  return [...of(asTrained, ''), ...('missing' in scaled ? [] : of(scaled.errors, ', scaled'))]
}
