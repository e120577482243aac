import { scoreHistogram } from '../plots.ts'
import { type OodResult, ood } from '../suites/ood.ts'
import { figures, table } from './html.ts'

export function oodSection(result: OodResult): string {
  const plots = result.histograms.map((sets) => ({ title: sets.label, svg: scoreHistogram(sets) }))
  return ood({ sets: [] }).tables(result).map(table).join('') + figures(plots)
}
