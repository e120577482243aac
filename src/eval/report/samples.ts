import { energyTrace } from '../plots.ts'
import { type SampleGrid, type SamplesResult, samples } from '../suites/samples.ts'
import type { Pictures } from '../suites/suite.ts'
import { figures, type Picture, picture, pictures, tablesOf } from './html.ts'

export function samplesSection(result: SamplesResult, png: Pictures): string {
  const { grids, extremes, longChains, neighbours } = result
  const shown: Picture[] = grids.map((grid) => ({
    png: png[grid.picture],
    caption: titleOf(grid),
    rowLabels: grid.rows,
  }))
  if (extremes) {
    shown.push({
      png: png[extremes.picture],
      caption: `Of ${extremes.samples} ${extremes.source} samples, those with the highest and lowest scores`,
      rowLabels: extremes.rows.map(({ name }) => name),
    })
  }
  if (!('missing' in neighbours)) {
    shown.push({
      png: png[neighbours.picture],
      caption: 'The samples nearest to a training image, and that image below; L2 distance of images in [0, 1]',
      rowLabels: ['sample', 'training'],
      columnLabels: neighbours.distances.map((distance) => distance.toFixed(2)),
    })
  }
  const { trace, data, frames } = longChains
  const strip = picture({
    png: png[longChains.picture],
    caption: 'Long chains, a row each; below, the step',
    columnLabels: frames.map((step) => step.toLocaleString('en-US')),
    room: 960,
  })
  const plot = { title: 'f(x) of the chains', svg: energyTrace(trace, data) }
  return pictures(shown) + strip + figures([plot]) + tablesOf(samples(), result)
}

function titleOf({ source, rows, samples }: SampleGrid): string {
  const from = source === 'fresh' ? 'Fresh samples' : 'Samples of the replay buffer'
  if (rows.length === 0) return `${from}, ${samples}, not chosen`
  return source === 'fresh'
    ? `${from} given a class, a row each`
    : `${from}, by the class that the model takes them for`
}
