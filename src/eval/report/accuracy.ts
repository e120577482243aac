import { count, percent } from '../format.ts'
import { type AccuracyResult, accuracy } from '../suites/accuracy.ts'
import { tablesOf, tiles } from './html.ts'

export function accuracySection(result: AccuracyResult): string {
  const [run] = result.models
  const headline = tiles([
    { name: 'Accuracy', value: percent(run.accuracy), note: `${count(result.on.images)} test images` },
    { name: 'Negative log likelihood', value: run.nll.toFixed(4), note: 'nats an image' },
  ])
  return headline + tablesOf(accuracy(), result)
}
