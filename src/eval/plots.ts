import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { DataError } from '../errors.ts'
import { calibrationErrorOfBins, histogram, type Numbers, quantile, type ReliabilityBin } from './metrics.ts'
import { smooth, thin } from './smooth.ts'

/** Plots as SVG text that stands alone (a file, an <img>) or inline in a page: it follows the reader's light or dark
 *  setting by itself. Loading this module loads a plotting library (~0.2 s), so import it lazily. */

/** A line of metrics.jsonl, as far as plots need it. Absent, null and non-finite values leave a gap. */
export interface TrainingPoint {
  step: number
  /** The whole loss that the optimiser minimises. */
  loss?: number | null
  /** Mean f(x) = log p(x) + const over the batch's data. */
  fData?: number | null
  /** Mean f(x) over the batch's samples. */
  fSample?: number | null
  /** Nats. */
  crossEntropy?: number | null
  /** Share in [0, 1] on the training batch. */
  accuracy?: number | null
  /** Share in [0, 1] on the validation part, where it was measured. */
  validationAccuracy?: number | null
}

export interface Figure {
  title: string
  svg: string
}

/** Scores of one data set. */
export interface ScoreSet {
  name: string
  values: Numbers
}

// Width and height in SVG units: small, so that 11-unit text stays legible at a phone's width.
const width = 420
const height = 250
// More points than this are smoothed, and drawn in thinned form.
const smoothAbove = 150
const drawnPoints = 600

/** Okabe & Ito's colour-blind-safe palette (2008, "Color Universal Design"), lightened for dark backgrounds. */
const light = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#3a9bd1']
const dark = ['#5ab4ee', '#f28e4c', '#3ccfa0', '#e59cc6', '#f0c04a', '#a9d8f7']
const dashes = ['', '6 3', '2 2.5', '8 3 2 3', '1 3', '10 4']
const color = (i: number) => `var(--c${i % light.length})`

/** Loss, energies, cross-entropy and accuracy over the steps: one figure each, those without a single value left out.
 *  Long series are smoothed (centred mean over 1/50 of the run); the raw values stay visible behind them. */
export function trainingCurves(points: readonly TrainingPoint[]): Figure[] {
  const panels = [
    { title: 'Loss', series: [{ key: 'loss', name: 'loss' }] },
    {
      title: 'f(x) of data and samples',
      series: [
        { key: 'fData', name: 'f(data)' },
        { key: 'fSample', name: 'f(samples)' },
      ],
    },
    { title: 'Cross-entropy (nats)', series: [{ key: 'crossEntropy', name: 'cross-entropy' }] },
    {
      title: 'Accuracy (%)',
      percent: true,
      series: [
        { key: 'accuracy', name: 'training batch' },
        { key: 'validationAccuracy', name: 'validation' },
      ],
    },
  ] as const
  return panels.flatMap((panel) => {
    const scale = 'percent' in panel ? 100 : 1
    const series = panel.series
      .map(({ key, name }) => ({ name, ...valuesOf(points, key, scale) }))
      .filter(({ x }) => x.length > 0)
    return series.length === 0 ? [] : [{ title: panel.title, svg: lines(panel.title, series) }]
  })
}

/** Densities of one score over several data sets, overlaid. The axis spans the middle 99 % of every set; values beyond
 *  it count in the outermost bars. Throws DataError on empty sets and values that are not finite. */
export function scoreHistogram(sets: readonly ScoreSet[], options: { label?: string; bins?: number } = {}): string {
  const { label = 'score', bins = 50 } = options
  if (sets.length === 0) throw new DataError('scoreHistogram: no data sets')
  const low = Math.min(...sets.map(({ values }) => quantile(values, 0.005)))
  const high = Math.max(...sets.map(({ values }) => quantile(values, 0.995)))
  const marks = sets.flatMap(({ values }, i) => {
    const { edges, density } = histogram(values, { bins, range: [low, high] })
    // One outline instead of bars: overlaid bars hide each other.
    const outline = Array.from(density).flatMap((y, b) => [
      { x: edges[b], y },
      { x: edges[b + 1], y },
    ])
    const closed = [{ x: edges[0], y: 0 }, ...outline, { x: edges[bins], y: 0 }]
    return [
      Plot.area(closed, { x1: 'x', y1: 0, y2: 'y', fill: color(i), fillOpacity: 0.22 }),
      Plot.line(closed, { x: 'x', y: 'y', stroke: color(i), strokeWidth: 1.6, strokeDasharray: dashes[i % 6] }),
    ]
  })
  return draw(`Histogram of ${label}: ${sets.map(({ name }) => name).join(', ')}`, {
    x: { label },
    y: { label: 'density', ticks: 4 },
    legend: sets.map(({ name }, i) => ({ name, color: color(i), dash: dashes[i % 6] })),
    marks: [...marks, Plot.ruleY([0], { stroke: 'currentColor' })],
  })
}

/** Accuracy by confidence: bars where predictions fell, opaque where they are many, the diagonal of perfect calibration,
 *  and the expected calibration error. */
export function reliabilityDiagram(bins: readonly ReliabilityBin[]): string {
  const filled = bins.filter(({ count }) => count > 0)
  const total = filled.reduce((sum, { count }) => sum + count, 0)
  if (total === 0) throw new DataError('reliabilityDiagram: no predictions in any bin')
  const ece = (100 * calibrationErrorOfBins(filled)).toFixed(2)
  const gap = (bin: ReliabilityBin) => [Math.min(bin.accuracy, bin.confidence), Math.max(bin.accuracy, bin.confidence)]
  return draw(`Reliability diagram, expected calibration error ${ece} %`, {
    height: 300,
    x: { label: 'confidence, max p(y|x)', domain: [0, 1] },
    y: { label: 'accuracy', domain: [0, 1] },
    legend: [
      { name: 'accuracy', color: color(0), box: true },
      { name: 'gap to confidence', color: color(1), box: true },
      { name: 'perfect', color: 'currentColor', dash: '4 3' },
    ],
    marks: [
      Plot.rect(filled, {
        x1: 'lower',
        x2: 'upper',
        y1: 0,
        y2: 'accuracy',
        fill: color(0),
        fillOpacity: ({ count }: ReliabilityBin) => 0.35 + 0.6 * Math.sqrt(count / total),
        inset: 0.5,
      }),
      Plot.rect(filled, {
        x1: 'lower',
        x2: 'upper',
        y1: (bin: ReliabilityBin) => gap(bin)[0],
        y2: (bin: ReliabilityBin) => gap(bin)[1],
        fill: color(1),
        fillOpacity: 0.5,
        stroke: color(1),
        insetLeft: 1,
        insetRight: 1,
      }),
      Plot.line(
        [
          [0, 0],
          [1, 1],
        ],
        { stroke: 'currentColor', strokeDasharray: '4 3' },
      ),
      Plot.text([`ECE ${ece} %`], { frameAnchor: 'top-left', dx: 8, dy: 8, fontSize: 14, fontWeight: 600 }),
      Plot.text([`${total} predictions, ${bins.length} bins`], { frameAnchor: 'top-left', dx: 8, dy: 27 }),
      Plot.ruleY([0], { stroke: 'currentColor' }),
    ],
  })
}

interface Series {
  name: string
  x: Float64Array
  y: Float64Array
}

function valuesOf(points: readonly TrainingPoint[], key: keyof TrainingPoint, scale: number) {
  const present = points.filter((point) => typeof point[key] === 'number' && Number.isFinite(point[key]))
  return {
    x: Float64Array.from(present, ({ step }) => step),
    y: Float64Array.from(present, (point) => scale * (point[key] as number)),
  }
}

function lines(title: string, series: readonly Series[]): string {
  const drawn = series.map(({ x, y }) => {
    const long = x.length > smoothAbove
    const trend = long ? smooth(y, Math.ceil(y.length / 50)) : y
    return { long, raw: thin(x, y, drawnPoints), trend: thin(x, trend, drawnPoints), y: trend }
  })
  // A few wild values at the start must not flatten the rest: a long run's axis spans 96 % of trend and raw values.
  const cut = drawn.some(({ long }) => long) ? 0.02 : 0
  const lows = drawn.flatMap(({ y }, i) => [quantile(y, cut), quantile(series[i].y, cut)])
  const highs = drawn.flatMap(({ y }, i) => [quantile(y, 1 - cut), quantile(series[i].y, 1 - cut)])
  const [low, high] = [Math.min(...lows), Math.max(...highs)]
  const pad = low === high ? Math.max(1e-3, Math.abs(low) * 0.05) : (high - low) * 0.04
  return draw(`${title} over training steps`, {
    x: { label: 'step', ticks: 5 },
    y: { label: null, domain: [low - pad, high + pad], ticks: 5, grid: true },
    legend:
      series.length > 1 ? series.map(({ name }, i) => ({ name, color: color(i), dash: dashes[i % 6] })) : undefined,
    marks: drawn.flatMap(({ long, raw, trend }, i) => [
      ...(long ? [Plot.line(raw, { x: 'x', y: 'y', stroke: color(i), strokeOpacity: 0.25, clip: true })] : []),
      Plot.line(trend, {
        x: 'x',
        y: 'y',
        stroke: color(i),
        strokeWidth: 2,
        strokeDasharray: dashes[i % 6],
        clip: true,
        // A line of one point would be invisible.
        marker: trend.length < 3 ? 'circle' : undefined,
      }),
    ]),
  })
}

interface LegendItem {
  name: string
  color: string
  dash?: string
  box?: boolean
}

interface Drawing {
  x: Plot.ScaleOptions
  y: Plot.ScaleOptions
  marks: Plot.Markish[]
  legend?: LegendItem[]
  height?: number
}

function draw(label: string, drawing: Drawing): string {
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
