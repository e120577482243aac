import type { Output } from './context.ts'

/** What is known at a step. All but `step` may be absent. */
export interface ProgressUpdate {
  /** Steps done. */
  step: number
  /** Steps in all, where it differs from what `createProgress` was told. */
  total?: number
  /** Images × SGLD steps since the start of this process. */
  imageSteps?: number
  loss?: number
  /** Mean f(x) of the batch's data and samples. */
  fData?: number
  fSample?: number
  /** Share in [0, 1]. */
  accuracy?: number
  /** Where the caller knows better than the mean speed tells. */
  secondsLeft?: number
}

export interface Progress {
  update(update: ProgressUpdate): void
  /** A line of text above the status line. */
  print(line: string): void
  /** Shows the last update (off a terminal) and clears the status line. Safe to call twice. */
  finish(): void
}

export interface ProgressOptions {
  /** stderr: results go to stdout. */
  stream: Output
  /** Steps in all. */
  total: number
  /** Put before the bar: what is going on. */
  label?: string
  /** What a step is. Default 'steps'. */
  unit?: 'steps' | 'bytes'
  /** Seconds between lines where the stream is no terminal. */
  everySeconds?: number
  /** Milliseconds. */
  now?: () => number
}

// Speed is the mean over this many milliseconds.
const speedWindow = 10_000
const repaintEvery = 100

/** One status line on a terminal, fitted to its width; a plain line now and then elsewhere. */
export function createProgress(options: ProgressOptions): Progress {
  const { stream, label, unit = 'steps', everySeconds = 30, now = () => performance.now() } = options
  const live = stream.isTTY === true && process.env.TERM !== 'dumb'
  const marks: { at: number; step: number; imageSteps?: number }[] = []
  let last: ProgressUpdate | undefined
  let drawnAt = Number.NEGATIVE_INFINITY
  let drawn: ProgressUpdate | undefined
  let finished = false

  const clear = () => {
    if (live && drawn) stream.write('\r\x1b[2K')
  }
  const draw = (update: ProgressUpdate) => {
    const parts = { label, unit, total: update.total ?? options.total, ...speed(marks) }
    // One column stays free: a full line makes some terminals wrap.
    stream.write(
      live ? `\r\x1b[2K${fitted(update, parts, (stream.columns ?? 80) - 1)}` : `${line(update, parts, plain)}\n`,
    )
    drawn = update
    drawnAt = now()
  }

  return {
    update(update) {
      const at = now()
      if (last && update.step < last.step) marks.length = 0 // begun anew: what was before says nothing of the speed
      last = update
      marks.push({ at, step: update.step, imageSteps: update.imageSteps })
      // One mark of an earlier step stays: a step that takes long is no standstill.
      while (marks.length > 2 && marks[1].at < at - speedWindow && marks[1].step < update.step) marks.shift()
      const wait = live ? repaintEvery : everySeconds * 1000
      if (!finished && at - drawnAt >= wait) draw(update)
    },
    print(text) {
      clear()
      stream.write(`${text}\n`)
      if (live && !finished && drawn && last) draw(last)
    },
    finish() {
      if (finished) return
      finished = true
      if (live) clear()
      else if (last && last !== drawn) draw(last)
    },
  }
}

interface Parts {
  label?: string
  unit: 'steps' | 'bytes'
  total: number
  stepsPerSecond?: number
  imageStepsPerSecond?: number
}

function speed(marks: readonly { at: number; step: number; imageSteps?: number }[]) {
  const [first, last] = [marks[0], marks[marks.length - 1]]
  const seconds = (last.at - first.at) / 1000
  if (!(seconds > 0)) return {}
  const images =
    last.imageSteps === undefined || first.imageSteps === undefined ? undefined : last.imageSteps - first.imageSteps
  return {
    stepsPerSecond: (last.step - first.step) / seconds,
    imageStepsPerSecond: images === undefined ? undefined : images / seconds,
  }
}

interface Layout {
  bar: number
  /** 0: in full; 1: short names; 2: no label; 3: no image-steps; 4: no steps a second. */
  terse: number
}

const plain: Layout = { bar: 0, terse: 0 }
// From the widest to the narrowest.
const layouts: readonly Layout[] = [
  { bar: 24, terse: 0 },
  { bar: 10, terse: 0 },
  { bar: 10, terse: 1 },
  { bar: 6, terse: 1 },
  { bar: 6, terse: 2 },
  { bar: 0, terse: 2 },
  { bar: 0, terse: 3 },
  { bar: 0, terse: 4 },
]

function fitted(update: ProgressUpdate, parts: Parts, width: number): string {
  for (const layout of layouts) {
    const text = line(update, parts, layout)
    if (text.length <= width) return text
  }
  return line(update, parts, { bar: 0, terse: 4 }).slice(0, Math.max(0, width))
}

function line(update: ProgressUpdate, parts: Parts, { bar, terse }: Layout): string {
  const { step, loss, fData, fSample, accuracy } = update
  const { label, unit, total, stepsPerSecond, imageStepsPerSecond } = parts
  const bytes = unit === 'bytes'
  const left = update.secondsLeft ?? (stepsPerSecond ? (total - step) / stepsPerSecond : undefined)
  const shown = (value: number | undefined, text: (value: number) => string) =>
    value === undefined ? undefined : text(value)
  return [
    terse < 2 ? label : undefined,
    bar > 0 ? filled(step / total, bar) : undefined,
    bytes ? `${brief(step)}/${brief(total)}B` : `${terse === 0 ? 'step ' : ''}${step}/${total}`,
    terse < 4 ? shown(stepsPerSecond, (v) => `${brief(v)}${bytes ? 'B' : terse < 1 ? ' steps' : ' st'}/s`) : undefined,
    terse < 3 ? shown(imageStepsPerSecond, (v) => `${brief(v)} ${terse < 1 ? 'image-steps' : 'img-st'}/s`) : undefined,
    shown(loss, (v) => `loss ${brief(v)}`),
    terse === 0 ? shown(fData, (v) => `f(data) ${brief(v)}`) : undefined,
    terse === 0 ? shown(fSample, (v) => `f(samples) ${brief(v)}`) : undefined,
    terse >= 1 && fData !== undefined && fSample !== undefined ? `f ${brief(fData)}/${brief(fSample)}` : undefined,
    shown(accuracy, (v) => `${terse < 1 ? 'accuracy' : 'acc'} ${(100 * v).toFixed(terse < 1 ? 1 : 0)} %`),
    shown(left, (v) => `${clock(v)} left`),
  ]
    .filter((text) => text !== undefined)
    .join(terse < 2 ? '  ' : ' ')
}

function filled(share: number, width: number): string {
  const done = Math.round(Math.min(1, Math.max(0, share || 0)) * width)
  return '█'.repeat(done) + '░'.repeat(width - done)
}

/** Three significant digits: 0.0123, 1.23, 123, 12.3k, 1.23M. */
function brief(value: number): string {
  const size = Math.abs(value)
  if (size >= 999_500) return size >= 1e9 ? value.toExponential(1) : `${(value / 1e6).toPrecision(3)}M`
  if (size >= 9995) return `${(value / 1000).toPrecision(3)}k`
  if (size >= 100) return value.toFixed(0)
  return size >= 1e-3 ? value.toPrecision(3) : size === 0 ? '0' : value.toExponential(1)
}

/** 1:02:03, 2:03, 0:03. */
function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  const whole = Math.max(0, Math.round(seconds))
  const two = (n: number) => String(n).padStart(2, '0')
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}
