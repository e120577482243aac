// Rows of a result of bench/run.mjs as people read them.

/** Three digits, no fewer before the point. */
export function figure(value) {
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return Number(value.toPrecision(3)).toString()
}

export const withSpread = ({ median, min, max }, format = figure) => `${format(median)} (${format(min)}–${format(max)})`
export const times = ({ median, min, max }) => `**${median.toFixed(2)}×** (${min.toFixed(2)}–${max.toFixed(2)})`
export const percent = (part, whole) => (part && whole ? `${Math.round((100 * part) / whole)} %` : '–')
export const megabytes = (bytes) => `${figure(bytes / 1e6)} MB`

const upper = (net) => net.toUpperCase()
const image = ({ size, channels }) => `${size}×${size}×${channels}`

/** What a row measures, with its unit. */
export function longName(row) {
  const net = `${upper(row.net)}, ${image(row)}, batch ${row.batch}`
  if (row.what === 'iteration') return `a JEM iteration, ${net}, ${row.steps} steps: s`
  if (row.what === 'inference') return `logits and log p(x), ${net}: images/s`
  return `SGLD, ${net}: image-steps/s`
}

/** The same for a bar's label. */
export function shortName({ what, net, batch }) {
  if (what === 'iteration') return 'JEM\niteration'
  if (what === 'inference') return `logits\nbatch ${batch}`
  return `SGLD\n${net.replace('wrn-', '')}`
}

export const sideOf = (row, name) => row.sides.find((side) => side.name === name && side.perSecond)

/** A side's figure in the row's unit, or a dash. */
export function speed(row, side) {
  if (!side) return '–'
  if (row.what !== 'iteration') return withSpread(side.perSecond)
  const { median, min, max } = side.perSecond
  return withSpread({ median: row.batch / median, min: row.batch / max, max: row.batch / min })
}
