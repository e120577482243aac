import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createProgress } from '../../src/cli/progress.ts'
import { formatTable } from '../../src/cli/table.ts'

beforeEach(() => void vi.stubEnv('TERM', 'xterm'))
afterEach(() => void vi.unstubAllEnvs())

function terminal(columns: number | undefined, isTTY = true) {
  let time = 0
  const written: string[] = []
  const stream = { isTTY, columns, write: (text: string) => written.push(text) }
  return { stream, written, now: () => time, wait: (milliseconds: number) => (time += milliseconds) }
}

/** What the screen's last line shows after carriage returns and erasures. */
function screen(written: readonly string[]): string {
  return written.join('').split('\n').at(-1)!.split('\x1b[2K').at(-1)!.replace(/^\r/, '')
}

const full = { loss: 0.01234, fData: 3.2149, fSample: -120.6, accuracy: 0.9731 }

describe('status line', () => {
  it('shows step, speeds over the last seconds, metrics and time left', () => {
    const t = terminal(200)
    const progress = createProgress({ stream: t.stream, total: 1000, label: 'training', now: t.now })
    progress.update({ step: 0, imageSteps: 0 })
    t.wait(10_000)
    progress.update({ step: 100, imageSteps: 128_000, ...full })
    expect(screen(t.written)).toBe(
      'training  ██░░░░░░░░░░░░░░░░░░░░░░  step 100/1000  10.0 steps/s  12.8k image-steps/s  loss 0.0123  ' +
        'f(data) 3.21  f(samples) -121  accuracy 97.3 %  1:30 left',
    )
  })

  it('shows bytes, and their speed also after a download that went on or was begun anew', () => {
    const t = terminal(80)
    const progress = createProgress({ stream: t.stream, total: 170_000_000, label: 'get x', unit: 'bytes', now: t.now })
    progress.update({ step: 50_000_000 })
    t.wait(10_000)
    progress.update({ step: 84_000_000 })
    expect(screen(t.written)).toBe('get x  ████████████░░░░░░░░░░░░  84.0M/170MB  3.40MB/s  0:25 left')
    progress.update({ step: 0 })
    t.wait(1000)
    progress.update({ step: 1_700_000 })
    expect(screen(t.written)).toContain('1.70M/170MB  1.70MB/s  1:39 left')
  })

  it('keeps speeds, loss, f of data and samples, accuracy and time left on 80 columns', () => {
    const t = terminal(80)
    const progress = createProgress({ stream: t.stream, total: 2400, label: 'training', now: t.now })
    progress.update({ step: 1100, imageSteps: 0 })
    t.wait(10_000)
    progress.update({ step: 1200, imageSteps: 128_000, ...full })
    const expected = '1200/2400 10.0 st/s 12.8k img-st/s loss 0.0123 f 3.21/-121 acc 97 % 2:00 left'
    expect(screen(t.written)).toBe(expected)
  })

  it('never reaches the width of the terminal, however narrow', () => {
    for (let columns = 1; columns < 180; columns += 3) {
      const t = terminal(columns)
      const progress = createProgress({ stream: t.stream, total: 1_000_000, label: 'training', now: t.now })
      progress.update({ step: 1, imageSteps: 0, ...full })
      t.wait(1000)
      progress.update({ step: 999_999, imageSteps: 1e9, ...full, secondsLeft: 360_000 })
      for (const text of t.written) {
        expect(text.replace('\r\x1b[2K', '').length).toBeLessThan(columns === 1 ? 1 : columns)
        expect(text).not.toContain('\n')
      }
    }
  })

  it('repaints at most ten times a second, and the speed follows a change within seconds', () => {
    const t = terminal(160)
    const progress = createProgress({ stream: t.stream, total: 10_000, now: t.now })
    for (let step = 1; step <= 1000; step++) {
      t.wait(10)
      progress.update({ step })
    }
    expect(t.written.length).toBeLessThanOrEqual(101)
    for (let step = 1001; step <= 1012; step++) {
      t.wait(1000)
      progress.update({ step })
    }
    expect(screen(t.written)).toContain('1.00 steps/s')
  })

  it('tells the speed of steps that take longer than it looks back', () => {
    const t = terminal(160)
    const progress = createProgress({ stream: t.stream, total: 600, now: t.now })
    progress.update({ step: 0 })
    t.wait(5000)
    for (let i = 0; i < 5; i++, t.wait(4000)) progress.update({ step: 100 })
    progress.update({ step: 100 }) // at 25 s
    expect(screen(t.written)).toContain('4.00 steps/s')
  })

  it('is cleared for a printed line and at the end, once', () => {
    const t = terminal(100)
    const progress = createProgress({ stream: t.stream, total: 10, now: t.now })
    progress.update({ step: 1 })
    progress.print('checkpoint written')
    expect(t.written.join('')).toContain('\r\x1b[2Kcheckpoint written\n')
    expect(screen(t.written)).toContain('1/10')
    progress.finish()
    progress.finish()
    expect(screen(t.written)).toBe('')
    progress.print('done')
    expect(t.written.at(-1)).toBe('done\n')
  })

  it('takes no time and no total for granted', () => {
    const t = terminal(100)
    const progress = createProgress({ stream: t.stream, total: 0, now: t.now })
    progress.update({ step: 0 })
    expect(screen(t.written)).not.toMatch(/NaN|Infinity|undefined/)
  })
})

describe('off a terminal', () => {
  it('writes a plain line at first, every half minute and at the end', () => {
    const t = terminal(undefined, false)
    const progress = createProgress({ stream: t.stream, total: 100, now: t.now })
    for (let step = 0; step <= 100; step++) {
      progress.update({ step, accuracy: 0.5 })
      t.wait(1000)
    }
    progress.finish()
    expect(t.written.map((text) => text.slice(0, 13))).toEqual([
      'step 0/100  a',
      'step 30/100  ',
      'step 60/100  ',
      'step 90/100  ',
      'step 100/100 ',
    ])
    for (const character of ['\r', '\x1b', '█']) expect(t.written.join('')).not.toContain(character)
    expect(t.written.every((text) => text.endsWith('\n'))).toBe(true)
  })
})

describe('table', () => {
  it('aligns text left and numbers right', () => {
    const rows = [
      ['fashion-mnist', 0.98, '2,000'],
      ['noise', '–', '10'],
    ]
    expect(formatTable(rows, ['data', 'AUROC', 'n'])).toBe(
      'data           AUROC      n\n─────────────  ─────  ─────\nfashion-mnist   0.98  2,000\nnoise              –     10\n',
    )
    expect(formatTable([])).toBe('')
  })
})
