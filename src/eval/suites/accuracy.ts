import { percent } from '../format.ts'
import { negativeLogLikelihood, accuracy as shareRight } from '../metrics.ts'
import { candidatesOf, describeMeasured, type MeasuredOn, measuredOn, type Suite } from './suite.ts'

export interface AccuracyResult {
  on: MeasuredOn
  /** The judged run, then the baseline. */
  models: {
    name: string
    /** Share in [0, 1] of images whose largest logit is the label's. */
    accuracy: number
    /** Nats an image. */
    nll: number
  }[]
}

/** Accuracy and negative log likelihood on the test images. */
export function accuracy(): Suite<AccuracyResult> {
  return {
    name: 'accuracy',
    async run(context) {
      const { test } = context
      const models: AccuracyResult['models'] = []
      for (const { name, scores } of candidatesOf(context)) {
        const { logits } = await scores.outputs(test)
        models.push({
          name,
          accuracy: shareRight(logits, test.labels, test.classes),
          nll: negativeLogLikelihood(logits, test.labels, test.classes),
        })
      }
      return { result: { on: measuredOn(context, test), models } }
    },
    numbers: ({ on, models: [{ accuracy, nll }] }) => [
      { name: 'accuracy', value: accuracy, unit: 'percent', on },
      { name: 'NLL', value: nll, unit: 'nats', on },
    ],
    tables: ({ on, models }) => [
      {
        caption: `Accuracy: ${describeMeasured(on)}`,
        head: ['model', 'accuracy', 'NLL (nats)'],
        rows: models.map(({ name, accuracy, nll }) => [name, percent(accuracy), nll.toFixed(4)]),
      },
    ],
  }
}
