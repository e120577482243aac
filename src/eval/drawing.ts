import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'

/** How every plot is drawn: size, colours that follow the reader's light or dark setting, legend. Loading this module
 *  loads a plotting library (~0.2 s), so import it lazily. */

// Width and height in SVG units: small, so that 11-unit text stays legible at a phone's width.
const width = 420
const height = 250
/** Okabe & Ito's colour-blind-safe palette (2008, "Color Universal Design"), lightened for dark backgrounds. */
const light = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#3a9bd1']
const dark = ['#5ab4ee', '#f28e4c', '#3ccfa0', '#e59cc6', '#f0c04a', '#a9d8f7']
export const dashes = ['', '6 3', '2 2.5', '8 3 2 3', '1 3', '10 4']
/** The i-th colour of the palette. */
export const color = (i: number) => `var(--c${i % light.length})`

export interface LegendItem {
  name: string
  color: string
  dash?: string
  box?: boolean
}

/** A plot's axes and marks; see Observable Plot. */
export interface Drawing {
  x: Plot.ScaleOptions
  y: Plot.ScaleOptions
  /** Facets side by side. */
  fx?: Plot.ScaleOptions
  marks: Plot.Markish[]
  legend?: LegendItem[]
  height?: number
}

/** SVG text that stands alone; `label` is what a screen reader says. */
export function draw(label: string, drawing: Drawing): string {
  const items = place(drawing.legend ?? [])
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const svg = Plot.plot({
    document: document as never,
    width,
    height: drawing.height ?? height,
    marginTop: 18 + Math.max(0, ...items.map(({ y }) => y)),
    marginLeft: 48,
    marginBottom: 36,
    style: { fontSize: '11px' },
    x: { labelArrow: 'none', labelAnchor: 'center', ...drawing.x },
    y: { labelArrow: 'none', labelAnchor: 'center', ...drawing.y },
    ...(drawing.fx && { fx: drawing.fx }),
    marks: drawing.marks,
  })
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  svg.setAttribute('role', 'img')
  // linkedom writes attributes as HTML, where < and & may stand bare; in an SVG file they may not.
  svg.setAttribute('aria-label', label.replace(/&/g, '&amp;').replace(/</g, '&lt;'))
  svg.classList.add('langevin-plot')
  const theme = document.createElement('style')
  theme.textContent = themeCss
  svg.prepend(theme as never)
  if (items.length > 0) svg.append(legend(document, items) as never)
  // Coordinates to a hundredth of a unit: half the size, the same picture.
  return svg.outerHTML.replace(/-?\d+\.\d{3,}/g, (number: string) => String(Math.round(Number(number) * 100) / 100))
}

const variables = (colors: readonly string[]) => colors.map((value, i) => `--c${i}:${value}`).join(';')
const themeCss =
  `.langevin-plot{color:#1f2933;${variables(light)}}` +
  `@media screen and (prefers-color-scheme:dark){.langevin-plot{color:#dfe6ee;${variables(dark)}}}`

interface PlacedItem extends LegendItem {
  x: number
  y: number
}

/** Legend items in rows that fit the plot. No font metrics here: 6 units a letter is the mean of 11-unit sans serif,
 *  rounded up. */
function place(items: readonly LegendItem[]): PlacedItem[] {
  let x = 0
  let y = 12
  return items.map((item) => {
    const span = 36 + 6 * item.name.length
    if (x > 0 && x + span > width - 48) {
      x = 0
      y += 16
    }
    x += span
    return { ...item, x: x - span, y }
  })
}

function legend(document: ReturnType<typeof parseHTML>['document'], items: readonly PlacedItem[]) {
  const group = element(document, 'g', { 'text-anchor': 'start', 'font-size': 11, transform: 'translate(48,0)' })
  for (const { name, color, dash, box, x, y } of items) {
    const key = box
      ? { x, y: y - 5, width: 14, height: 10, fill: color, 'fill-opacity': 0.7 }
      : { x1: x, x2: x + 18, y1: y, y2: y, stroke: color, 'stroke-width': 2.4, 'stroke-dasharray': dash ?? '' }
    const text = element(document, 'text', { x: x + 22, y: y + 4 })
    text.textContent = name
    group.append(element(document, box ? 'rect' : 'line', key), text)
  }
  return group
}

function element(
  document: ReturnType<typeof parseHTML>['document'],
  name: string,
  attributes: Record<string, unknown>,
) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) if (value !== '') node.setAttribute(key, String(value))
  return node
}
