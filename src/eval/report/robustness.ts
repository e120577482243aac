import { attackNames } from '../attacks/names.ts'
import { robustnessCurves } from '../plots.ts'
import { type RobustnessCurve, type RobustnessResult, robustness } from '../suites/robustness.ts'
import type { Pictures } from '../suites/suite.ts'
import { figures, pictures, tablesOf } from './html.ts'

export function robustnessSection(result: RobustnessResult, png: Pictures): string {
  const plots = (['linf', 'l2'] as const).flatMap((norm) => {
    const all = result.curves.filter((curve) => curve.norm === norm)
    // Many lines hide each other: 'all' then stands for the attacks of its list.
    const isPart = ({ model, attack }: RobustnessCurve) =>
      (attackNames as readonly string[]).includes(attack) &&
      all.some((other) => other.model === model && other.attack === 'all')
    const curves = all.length > 6 ? all.filter((curve) => !isPart(curve)) : all
    if (curves.length === 0) return []
    const title = `Accuracy against ε in ${norm === 'linf' ? 'L∞' : 'L2'}`
    return {
      title,
      svg: robustnessCurves(
        title,
        curves.map(({ model, attack, points }) => ({ name: `${model}: ${attack}`, points })),
      ),
    }
  })
  const distal = result.distal.map(({ model, picture, classNames, confidence }) => ({
    png: png[picture],
    caption: `Distal adversarials of ${model}: from noise, most of p(y|x)`,
    alt: `One image for each class: ${classNames.join(', ')}`,
    columnLabels: confidence.map((p) => p.toFixed(2)),
  }))
  return figures(plots) + pictures(distal) + tablesOf(robustness(), result)
}
