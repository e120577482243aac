/** Rows of text as aligned columns, two spaces apart. Columns of numbers are right-aligned, a header (if any) is
 *  underlined. Ends with a newline; no trailing spaces. */
export function formatTable(rows: readonly (readonly (string | number)[])[], header?: readonly string[]): string {
  const body = rows.map((row) => row.map(String))
  const all = header ? [[...header], ...body] : body
  const columns = Math.max(0, ...all.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, c) => Math.max(...all.map((row) => length(row[c] ?? ''))))
  const numeric = widths.map((_, c) => c > 0 && body.every((row) => isNumeric(row[c] ?? '')))
  const line = (row: readonly string[]) =>
    widths
      .map((width, c) => {
        const cell = row[c] ?? ''
        const pad = ' '.repeat(width - length(cell))
        return numeric[c] ? pad + cell : cell + pad
      })
      .join('  ')
      .trimEnd()
  const lines = all.map(line)
  if (header) lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '))
  return lines.map((text) => `${text}\n`).join('')
}

// "97.3 %", "1,234", "–", "1.2e-7 ms": a number, perhaps with a unit.
function isNumeric(cell: string): boolean {
  return cell === '' || cell === '–' || /^[-−+]?[\d.,]+(e[-+]?\d+)?( ?[%a-zA-Z/]+)?$/.test(cell)
}

function length(text: string): number {
  return [...text].length
}
