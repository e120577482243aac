import { scoreHistogram } from '../plots.ts'
import { type OodResult, ood } from '../suites/ood.ts'
import { figures, tablesOf } from './html.ts'

export function oodSection(result: OodResult): string {
  const plots = result.histograms.map((sets) => ({ title: sets.label, svg: scoreHistogram(sets) }))
  return tablesOf(ood({ sets: [] }), result) + figures(plots)
}
