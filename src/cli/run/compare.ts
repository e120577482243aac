import { compareRuns, readRunRecord } from '../../eval/compare.ts'
import { comparisonTables } from '../../eval/comparison-tables.ts'
import { renderComparison } from '../../eval/report/comparison.ts'
import { cellText } from '../../eval/suites/suite.ts'
import { writeFileAtomic } from '../../io/atomic.ts'
import type { CompareOptions } from '../commands/compare.ts'
import type { CliContext } from '../context.ts'
import { slowProgress } from '../slow-progress.ts'
import { formatTable } from '../table.ts'

export function runCompare({ runs, json, html }: CompareOptions, context: CliContext): void {
  const { stdout, stderr } = context
  const progress = slowProgress({ stream: stderr, total: runs.length, label: 'read runs' })
  const records = runs.map((folder, i) => {
    const record = readRunRecord(folder)
    progress.update(i + 1)
    return record
  })
  progress.finish()
  const comparison = compareRuns(records)
  const text = `${JSON.stringify(comparison, null, 2)}\n`
  if (html !== undefined) writeFileAtomic(html, renderComparison(comparison, new Date()))
  if (json !== undefined && json !== '-') writeFileAtomic(json, text)
  for (const warning of comparison.warnings) stderr.write(`notice: ${warning}\n`)
  if (json === '-') {
    stdout.write(text)
    return
  }
  for (const { caption, head, rows } of comparisonTables(comparison)) {
    const cells = rows.map((row) => row.map(cellText))
    stdout.write(`${caption}\n\n${formatTable(cells, head)}\n`)
  }
}
