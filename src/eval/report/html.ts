import type { Figure } from '../plots.ts'
import type { Cell, ResultTable, Suite } from '../suites/suite.ts'
import { reportCss } from './style.ts'

/** The pieces of a report page. All text that they are given is escaped; only functions of this file and plots make
 *  markup. */

/** Part of a page. `html` is markup; a section without any is left out. */
export interface Section {
  title: string
  html: string
}

export interface Page {
  title: string
  /** Lines below the title. */
  byline?: readonly string[]
  sections: readonly Section[]
}

/** One HTML page that needs nothing else: styles, SVG and PNG are inside, and nothing is fetched. */
export function page({ title, byline = [], sections }: Page): string {
  const shown = sections.filter(({ html }) => html !== '')
  const section = ({ title, html }: Section) =>
    title === '' ? html : `<section><h2>${escapeHtml(title)}</h2>${html}</section>`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${reportCss}</style>
</head>
<body>
<main>
<header><h1>${escapeHtml(title)}</h1>${paragraphs(byline)}</header>
${shown.map(section).join('\n')}
</main>
</body>
</html>
`
}

/** A headline figure. Those without a value are left out. */
export interface Tile {
  name: string
  value: string | undefined
  note?: string
}

export function tiles(all: readonly Tile[]): string {
  const shown = all.filter(({ value }) => value !== undefined)
  if (shown.length === 0) return ''
  const one = ({ name, value, note }: Tile) =>
    `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value!)}</dd>` +
    `${note ? `<dd class="note">${escapeHtml(note)}</dd>` : ''}</div>`
  return `<dl class="tiles">${shown.map(one).join('')}</dl>`
}

export function figures(all: readonly Figure[]): string {
  if (all.length === 0) return ''
  const one = ({ title, svg }: Figure) => `<figure><figcaption>${escapeHtml(title)}</figcaption>${svg}</figure>`
  return `<div class="plots">${all.map(one).join('')}</div>`
}

export function table({ caption, head, rows }: ResultTable): string {
  const header = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('')
  return (
    `<div class="table"><table><caption>${escapeHtml(caption)}</caption><thead><tr>${header}</tr></thead>` +
    `<tbody>${tableRows(rows)}</tbody></table></div>`
  )
}

/** A suite's tables with its notes below. */
export function tablesOf<Result extends object>(
  { tables, notes }: Pick<Suite<Result>, 'tables' | 'notes'>,
  result: Result,
): string {
  return tables(result).map(table).join('') + (notes?.(result) ?? []).map(note).join('')
}

/** Small print. */
export function note(text: string): string {
  return `<p class="note">${escapeHtml(text)}</p>`
}

/** Names and values without a head. */
export function facts(rows: readonly (readonly [string, string | undefined])[]): string {
  const known = rows.filter((row): row is [string, string] => row[1] !== undefined)
  if (known.length === 0) return ''
  return `<div class="table"><table class="facts"><tbody>${tableRows(known)}</tbody></table></div>`
}

function tableRows(rows: readonly (readonly Cell[])[]): string {
  const content = (cell: Cell) =>
    typeof cell === 'string' ? escapeHtml(cell) : `${escapeHtml(cell.value)}<small>${escapeHtml(cell.spread)}</small>`
  const cell = (one: Cell, i: number) => {
    if (i === 0) return `<th scope="row">${content(one)}</th>`
    return `<td${isProse(one) ? ' class="prose"' : ''}>${content(one)}</td>`
  }
  return rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('')
}

/** A sentence, which may be broken into lines, rather than a value. */
const isProse = (cell: Cell) => typeof cell === 'string' && cell.split(' ').length > 5

export function paragraphs(texts: readonly string[]): string {
  return texts.map((text) => `<p>${escapeHtml(text)}</p>`).join('')
}

export interface Picture {
  png: Uint8Array
  caption: string
  /** What the picture shows, for those who cannot see it; default: the caption. */
  alt?: string
  /** One for each row or column of a grid. */
  rowLabels?: readonly string[]
  columnLabels?: readonly string[]
  /** Small pictures are enlarged to about this many CSS pixels of width. Default 480. */
  room?: number
}

/** Pictures side by side, where there is room. */
export function pictures(all: readonly Picture[]): string {
  return all.length === 0 ? '' : `<div class="pictures">${all.map(picture).join('')}</div>`
}

/** One picture over the whole width, such as a film strip. */
export function picture({ png, caption, alt = caption, rowLabels, columnLabels, room = 480 }: Picture): string {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  // IHDR is always the first chunk: width and height stand at bytes 16 and 20 (PNG specification, 11.2.2).
  const [width, height] = bytes.length >= 24 ? [bytes.readUInt32BE(16), bytes.readUInt32BE(20)] : [1, 1]
  const zoom = Math.max(1, Math.ceil(room / Math.max(width, 1)))
  const source = `data:image/png;base64,${bytes.toString('base64')}`
  const size = `width="${width * zoom}" height="${height * zoom}"`
  const image = `<img ${size} alt="${escapeHtml(alt)}" src="${source}">`
  const labels = gridLabels('rows', rowLabels) + gridLabels('columns', columnLabels)
  return `<figure><div class="frame">${image}${labels}</div><figcaption>${escapeHtml(caption)}</figcaption></figure>`
}

function gridLabels(kind: 'rows' | 'columns', texts: readonly string[] = []): string {
  if (texts.length === 0) return ''
  return `<div class="${kind}" aria-hidden="true">${texts.map((text) => `<span>${escapeHtml(text)}</span>`).join('')}</div>`
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export function escapeHtml(text: string): string {
  return String(text).replace(/[&<>"']/g, (character) => entities[character])
}
