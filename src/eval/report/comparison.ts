import type { Comparison } from '../compare.ts'
import { comparisonTables } from '../comparison-tables.ts'
import { page, paragraphs, table } from './html.ts'

/** The page of `langevin compare --html`. */
export function renderComparison(comparison: Comparison, comparedAt: Date): string {
  const { groups, warnings } = comparison
  const count = groups.reduce((sum, { runs }) => sum + runs.length, 0)
  return page({
    title: `${count} runs in ${groups.length} ${groups.length === 1 ? 'group' : 'groups'}`,
    byline: [`Compared ${comparedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`],
    sections: [
      { title: 'Comparison', html: comparisonTables(comparison).map(table).join('') },
      { title: 'To bear in mind', html: paragraphs(warnings) },
      {
        title: 'Folders',
        html: groups
          .map(({ name, runs, seeds }) =>
            table({
              caption: name,
              head: ['run', 'seed'],
              rows: runs.map((run, i) => [run, String(seeds[i])]),
            }),
          )
          .join(''),
      },
    ],
  })
}
