import { readFileSync } from 'node:fs'
import { calibrationErrorOfBins, type ReliabilityBin } from './metrics.ts'
import {
  type Figure,
  reliabilityDiagram,
  type ScoreSet,
  scoreHistogram,
  type TrainingPoint,
  trainingCurves,
} from './plots.ts'
import { reportCss } from './report-style.ts'

/** What a report shows. Every part but the title may be absent; its section is then left out. */
export interface ReportData {
  title: string
  /** One sentence below the title. */
  subtitle?: string
  /** ISO 8601 or any readable date. */
  createdAt?: string
  results?: ReportResults
  /** One row a data set that the model was not trained on. */
  ood?: readonly ReportOod[]
  training?: ReportTraining
  /** Metrics over the run, as in metrics.jsonl. */
  curves?: readonly TrainingPoint[]
  /** Grids of unconditional samples. */
  samples?: readonly ReportPicture[]
  /** One row of samples per class. */
  classSamples?: ReportPicture & { rowLabels?: readonly string[] }
  /** Chains from noise to sample, left to right; `columnLabels` e.g. the step of each frame. */
  chain?: ReportPicture & { columnLabels?: readonly string[] }
  /** One histogram an entry, several data sets in each. */
  scores?: readonly { label: string; sets: readonly ScoreSet[] }[]
  /** Bins of the reliability diagram. */
  reliability?: readonly ReliabilityBin[]
  /** The whole configuration. */
  config?: Readonly<Record<string, unknown>>
  /** The defaults, to mark what the run changed. */
  defaults?: Readonly<Record<string, unknown>>
  /** Remarks in plain text, a paragraph each. */
  notes?: readonly string[]
}

/** Shares in [0, 1]; nll in nats. `n` is the number of test images. */
export interface ReportResults {
  n?: number
  accuracy?: number
  nll?: number
  ece15?: number
  ece20?: number
  brier?: number
}

/** AUROC in [0, 1] of each score, in-distribution positive. */
export interface ReportOod {
  name: string
  n?: number
  logpx?: number
  maxprob?: number
  mass?: number
}

export interface ReportTraining {
  model?: string
  data?: string
  device?: string
  /** What was done, in a few words: the recipe's name or its particulars. */
  recipe?: string
  parameters?: number
  steps?: number
  seconds?: number
  imageStepsPerSecond?: number
  peakBytes?: number
}

/** A PNG: its bytes, or the path of its file. Small pictures are enlarged to the page. */
export interface ReportPicture {
  png: Uint8Array | string
  caption?: string
  /** What the picture shows, for those who cannot see it. */
  alt?: string
}

/** One HTML page that needs nothing else: styles, SVG and PNG are inside, and nothing is fetched. All text is escaped. */
export function renderReport(data: ReportData): string {
  const byline = [data.subtitle, data.createdAt].filter((text) => text !== undefined)
  const sections = [
    tiles(data),
    section('Training', figures(data.curves ? trainingCurves(data.curves) : [])),
    section('Samples', samples(data)),
    section('Out-of-distribution detection', oodTable(data.ood) + scorePlots(data.scores)),
    section('Calibration', calibration(data.reliability)),
    section('Notes', (data.notes ?? []).map((note) => `<p>${escapeHtml(note)}</p>`).join('')),
    section('Run', trainingTable(data.training)),
    section('Configuration', configTable(data.config, data.defaults)),
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(data.title)}</title>
<style>${reportCss}</style>
</head>
<body>
<main>
<header><h1>${escapeHtml(data.title)}</h1>${byline.map((text) => `<p>${escapeHtml(text)}</p>`).join('')}</header>
${sections.filter((html) => html !== '').join('\n')}
</main>
</body>
</html>
`
}

/** The headline figures. */
function tiles({ results = {}, ood = [], training = {} }: ReportData): string {
  const best = ood.find(({ logpx }) => logpx !== undefined)
  const all: [string, string | undefined, string?][] = [
    ['Accuracy', percent(results.accuracy, 2), results.n === undefined ? undefined : `${count(results.n)} test images`],
    ['Negative log likelihood', fixed(results.nll, 4), 'nats an image'],
    ['Calibration error', percent(results.ece15, 2), `15 bins${suffix(percent(results.ece20, 2), ' with 20')}`],
    ['AUROC of log p(x)', fixed(best?.logpx, 4), best && `against ${best.name}`],
    ['Brier score', fixed(results.brier, 4), '0 is best, 2 worst'],
    [
      'Training time',
      duration(training.seconds),
      training.steps === undefined ? undefined : `${count(training.steps)} steps`,
    ],
    ['Speed', count(training.imageStepsPerSecond), 'image-steps a second'],
    ['Parameters', count(training.parameters), training.model],
  ]
  const shown = all.filter(([, value]) => value !== undefined)
  if (shown.length === 0) return ''
  const tile = ([label, value, note]: (typeof all)[number]) =>
    `<div><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(value!)}</dd>${note ? `<dd class="note">${escapeHtml(note)}</dd>` : ''}</div>`
  return `<dl class="tiles">${shown.map(tile).join('')}</dl>`
}

function samples({ samples = [], classSamples, chain }: ReportData): string {
  const grids = samples.map((one) => picture(one, 'Grid of samples'))
  if (classSamples) {
    grids.push(picture(classSamples, 'Samples, one row per class', labels('rows', classSamples.rowLabels)))
  }
  const strip = chain ? picture(chain, 'Chains from noise to samples', labels('columns', chain.columnLabels), 960) : ''
  if (grids.length === 0 && strip === '') return ''
  return `${grids.length > 0 ? `<div class="pictures">${grids.join('')}</div>` : ''}${strip}`
}

function labels(kind: 'rows' | 'columns', texts: readonly string[] = []): string {
  if (texts.length === 0) return ''
  return `<div class="${kind}" aria-hidden="true">${texts.map((text) => `<span>${escapeHtml(text)}</span>`).join('')}</div>`
}

function picture({ png, caption, alt }: ReportPicture, fallback: string, labels = '', room = 480): string {
  const bytes = typeof png === 'string' ? readFileSync(png) : Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  // IHDR is always the first chunk: width and height stand at bytes 16 and 20 (PNG specification, 11.2.2).
  const [width, height] = bytes.length >= 24 ? [bytes.readUInt32BE(16), bytes.readUInt32BE(20)] : [1, 1]
  const zoom = Math.max(1, Math.ceil(room / Math.max(width, 1)))
  const source = `data:image/png;base64,${bytes.toString('base64')}`
  const size = `width="${width * zoom}" height="${height * zoom}"`
  const image = `<img ${size} alt="${escapeHtml(alt ?? caption ?? fallback)}" src="${source}">`
  const title = caption ?? fallback
  return `<figure><div class="frame">${image}${labels}</div><figcaption>${escapeHtml(title)}</figcaption></figure>`
}

function figures(all: readonly Figure[]): string {
  if (all.length === 0) return ''
  const one = ({ title, svg }: Figure) => `<figure><figcaption>${escapeHtml(title)}</figcaption>${svg}</figure>`
  return `<div class="plots">${all.map(one).join('')}</div>`
}

function scorePlots(scores: ReportData['scores'] = []): string {
  return figures(scores.map(({ label, sets }) => ({ title: label, svg: scoreHistogram(sets, { label }) })))
}

function oodTable(rows: readonly ReportOod[] = []): string {
  if (rows.length === 0) return ''
  return table(
    ['Data set', 'Images', 'log p(x)', 'max p(y|x)', '−‖∂log p/∂x‖₂'],
    rows.map((row) => [row.name, count(row.n), fixed(row.logpx, 4), fixed(row.maxprob, 4), fixed(row.mass, 4)]),
    'AUROC of three scores; 1 separates perfectly, 0.5 is chance. The test data of the run count as positive.',
  )
}

function calibration(bins: ReportData['reliability']): string {
  if (!bins?.some(({ count }) => count > 0)) return ''
  const title = `Accuracy by confidence; expected calibration error ${percent(calibrationErrorOfBins(bins), 2)}`
  return figures([{ title, svg: reliabilityDiagram(bins) }])
}

function trainingTable(training: ReportTraining = {}): string {
  const rows: [string, string | undefined][] = [
    ['Model', training.model],
    ['Data', training.data],
    ['Recipe', training.recipe],
    ['Device', training.device],
    ['Parameters', count(training.parameters)],
    ['Steps', count(training.steps)],
    ['Time', duration(training.seconds)],
    ['Image-steps per second', count(training.imageStepsPerSecond)],
    ['Peak device memory', megabytes(training.peakBytes)],
  ]
  const known = rows.filter(([, value]) => value !== undefined)
  return known.length === 0 ? '' : table([], known)
}

function configTable(config: ReportData['config'], defaults: ReportData['defaults']): string {
  if (!config || Object.keys(config).length === 0) return ''
  const text = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)))
  const row = ([key, value]: [string, unknown]) => {
    const changed = defaults !== undefined && key in defaults && text(defaults[key]) !== text(value)
    const note = changed ? `<small>default ${escapeHtml(text(defaults[key]))}</small>` : ''
    return `<div${changed ? ' class="changed"' : ''}><dt>${escapeHtml(key)}</dt><dd>${escapeHtml(text(value))} ${note}</dd></div>`
  }
  return `<dl class="config">${Object.entries(config).map(row).join('')}</dl>`
}

function table(head: readonly string[], rows: readonly (readonly (string | undefined)[])[], caption = ''): string {
  const cells = (row: readonly (string | undefined)[]) =>
    row.map((cell, i) =>
      i === 0 ? `<th scope="row">${escapeHtml(cell ?? '')}</th>` : `<td>${escapeHtml(cell ?? '–')}</td>`,
    )
  const header = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('')
  return (
    `<div class="table"><table${head.length === 0 ? ' class="facts"' : ''}>` +
    (caption ? `<caption>${escapeHtml(caption)}</caption>` : '') +
    (header ? `<thead><tr>${header}</tr></thead>` : '') +
    `<tbody>${rows.map((row) => `<tr>${cells(row).join('')}</tr>`).join('')}</tbody></table></div>`
  )
}

function section(title: string, html: string): string {
  return html === '' ? '' : `<section><h2>${escapeHtml(title)}</h2>${html}</section>`
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escapeHtml(text: string): string {
  return String(text).replace(/[&<>"']/g, (character) => entities[character])
}

function suffix(text: string | undefined, ending: string): string {
  return text === undefined ? '' : `, ${text}${ending}`
}

function fixed(value: number | undefined, digits: number): string | undefined {
  return value === undefined ? undefined : value.toFixed(digits)
}

function percent(share: number | undefined, digits: number): string | undefined {
  return share === undefined ? undefined : `${(100 * share).toFixed(digits)} %`
}

function count(value: number | undefined): string | undefined {
  return value === undefined ? undefined : Math.round(value).toLocaleString('en-US')
}

function megabytes(bytes: number | undefined): string | undefined {
  return bytes === undefined ? undefined : `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`
}

function duration(seconds: number | undefined): string | undefined {
  if (seconds === undefined) return undefined
  const whole = Math.round(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)]
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`
}
