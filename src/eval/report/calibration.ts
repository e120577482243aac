import { reliabilityDiagram } from '../plots.ts'
import { type CalibrationResult, calibration } from '../suites/calibration.ts'
import { figures, tablesOf } from './html.ts'

/** Of each model, the diagrams with the more bins, before and after temperature scaling. */
export function calibrationSection(result: CalibrationResult): string {
  const plots = result.models.flatMap(({ name, asTrained, scaled }) => {
    const both = [
      { title: `${name}, as trained`, errors: asTrained },
      ...('missing' in scaled ? [] : [{ title: `${name}, temperature-scaled`, errors: scaled.errors }]),
    ]
    return both.map(({ title, errors }) => ({ title, svg: reliabilityDiagram(errors.bins[0].diagram) }))
  })
  return tablesOf(calibration(), result) + figures(plots)
}
