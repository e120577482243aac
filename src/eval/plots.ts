import * as Plot from '@observablehq/plot'
import { DataError } from '../errors.ts'
import { color, dashes, draw } from './drawing.ts'
import type { HistogramSets } from './histograms.ts'
import { calibrationErrorOfBins, quantile, type ReliabilityBin } from './metrics.ts'
import { smooth, thin } from './smooth.ts'
import type { DiagramBin } from './suites/calibration.ts'

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

// More points than this are smoothed, and drawn in thinned form.
const smoothAbove = 150
const drawnPoints = 600

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

/** Densities of one score over several data sets, overlaid. */
export function scoreHistogram({ label, edges, sets }: HistogramSets): string {
  const marks = sets.flatMap(({ density }, i) => {
    // One outline instead of bars: overlaid bars hide each other.
    const outline = density.flatMap((y, b) => [
      { x: edges[b], y },
      { x: edges[b + 1], y },
    ])
    const closed = [{ x: edges[0], y: 0 }, ...outline, { x: edges[density.length], y: 0 }]
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

/** A named line of a robustness plot. */
export interface AccuracyByEpsilon {
  name: string
  /** By rising ε. */
  points: readonly { epsilon: number; accuracy: number }[]
}

/** Accuracy against ε, one line a model and attack; the axis is that of √ε, where small budgets do not crowd. */
export function robustnessCurves(title: string, curves: readonly AccuracyByEpsilon[]): string {
  const epsilons = [...new Set(curves.flatMap(({ points }) => points.map(({ epsilon }) => epsilon)))]
  return draw(`${title}: ${curves.map(({ name }) => name).join(', ')}`, {
    height: 290,
    x: {
      label: 'ε in 1/255 of [0, 1]',
      type: 'sqrt',
      ticks: epsilons,
      tickFormat: (epsilon: number) => String(epsilon),
    },
    y: { label: 'accuracy (%)', domain: [0, 100], ticks: 5, grid: true },
    legend: curves.map(({ name }, i) => ({ name, color: color(i), dash: dashes[i % 6] })),
    marks: [
      ...curves.map(({ points }, i) =>
        Plot.line(points, {
          ...{ x: 'epsilon', y: ({ accuracy }: { accuracy: number }) => 100 * accuracy, marker: 'circle' },
          ...{ stroke: color(i), strokeWidth: 1.8, strokeDasharray: dashes[i % 6] },
        }),
      ),
      Plot.ruleY([0], { stroke: 'currentColor' }),
    ],
  })
}

/** Mean f(x) of chains over their steps, between the least and the largest, beside mean ± 2 standard deviations of data. */
export function energyTrace(
  trace: readonly { step: number; f: { mean: number; min: number; max: number } | null }[],
  data: { fMean: number; fStd: number },
): string {
  const points = trace.flatMap(({ step, f }) => (f ? [{ step, ...f }] : []))
  const ends = [trace[0].step, trace[trace.length - 1].step].map((step) => ({
    ...{ step, mean: data.fMean, min: data.fMean - 2 * data.fStd, max: data.fMean + 2 * data.fStd },
  }))
  const band = (all: typeof ends, i: number) => [
    Plot.area(all, { x1: 'step', y1: 'min', y2: 'max', fill: color(i), fillOpacity: 0.18 }),
    Plot.line(all, { x: 'step', y: 'mean', stroke: color(i), strokeWidth: 1.8, strokeDasharray: dashes[i] }),
  ]
  return draw('f(x) of long chains over their steps, beside that of data', {
    x: { label: 'step', ticks: 5 },
    y: { label: 'f(x), log p(x) up to a constant', ticks: 5, grid: true },
    legend: [
      { name: 'chains: mean, least to largest', color: color(0), dash: dashes[0] },
      { name: 'data: mean ± 2 std', color: color(1), dash: dashes[1] },
    ],
    marks: [...band(ends, 1), ...band(points, 0)],
  })
}

/** Accuracy by confidence: bars where predictions fell, opaque where they are many, the diagonal of perfect calibration,
 *  and the expected calibration error. */
export function reliabilityDiagram(bins: readonly DiagramBin[]): string {
  const filled = bins.filter((bin): bin is ReliabilityBin => bin.count > 0)
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
