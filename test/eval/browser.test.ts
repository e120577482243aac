import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decode } from 'fast-png'
import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { renderEvaluation } from '../../src/eval/report/evaluation.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { syntheticReport } from './report-data.ts'

const browser = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
)

/** What a frame of a given width made of the report. */
interface Measured {
  /** CSS pixels by which the page is wider than the frame. */
  overflow: number
  /** Width and height of every figure. */
  figures: [number, number][]
  background: string
}

/** A page that shows the report in a frame as wide as a phone or a desk: a window of its own cannot be that narrow. */
const framed = (report: string, width: number) => `<!doctype html><iframe style="border:0;width:${width}px;height:900px"
  srcdoc="${report.replace(/&/g, '&amp;').replace(/"/g, '&quot;')}"></iframe>
<script>addEventListener('load', () => {
  const { document: page, getComputedStyle, innerWidth } = frames[0]
  const size = (element) => { const { width, height } = element.getBoundingClientRect(); return [width, height] }
  document.documentElement.dataset.measured = JSON.stringify({
    overflow: page.documentElement.scrollWidth - innerWidth,
    figures: [...page.querySelectorAll('svg, img')].map(size),
    background: getComputedStyle(page.body).backgroundColor,
  })
})</script>`

/** Runs the browser without a window or network on the report; returns what it printed. */
function chromium(folder: string, flags: readonly string[]): { stdout: string; stderr: string } {
  const { stdout, stderr, status } = spawnSync(
    browser!,
    [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--enable-logging=stderr'],
      ...['--proxy-server=127.0.0.1:9', '--no-first-run', `--user-data-dir=${join(folder, 'profile')}`],
      ...flags,
      `file://${join(folder, 'report.html')}`,
    ],
    { encoding: 'utf8', maxBuffer: 1 << 28, timeout: 100_000 },
  )
  expect(status, stderr).toBe(0)
  return { stdout, stderr }
}

function measured(dark: boolean, width: number): Measured & { console: string[] } {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'report.html'), framed(renderEvaluation(syntheticReport()), width))
  const scheme = `--blink-settings=preferredColorScheme=${dark ? 0 : 1}`
  const { stdout, stderr } = chromium(folder, ['--dump-dom', '--window-size=1400,1000', scheme])
  const { document } = parseHTML(stdout)
  return {
    ...JSON.parse(document.documentElement.dataset.measured as string),
    console: stderr.split('\n').filter((line) => line.includes('CONSOLE')),
  }
}

describe.skipIf(browser === undefined)('report in a browser (needs chromium)', { timeout: 120_000 }, () => {
  it.each([
    ['a phone', 390, false],
    ['a desk, dark', 1280, true],
  ])('on %s shows every figure, fits the width and logs no error', (_, width, dark) => {
    const { figures, overflow, background, console } = measured(dark, width)
    expect(console).toEqual([])
    expect(figures).toHaveLength(13)
    for (const [w, h] of figures) {
      expect(w).toBeGreaterThan(200)
      expect(h).toBeGreaterThan(100)
      expect(w).toBeLessThanOrEqual(width)
    }
    expect(overflow).toBeLessThanOrEqual(0)
    const [red] = background.match(/\d+/g)!.map(Number)
    expect(red < 64).toBe(dark)
  })

  it('prints on white paper, and draws its plots', () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'report.html'), renderEvaluation(syntheticReport()))
    chromium(folder, [`--print-to-pdf=${join(folder, 'report.pdf')}`, '--blink-settings=preferredColorScheme=0'])
    expect(readFileSync(join(folder, 'report.pdf')).subarray(0, 5).toString()).toBe('%PDF-')
    chromium(folder, [`--screenshot=${join(folder, 'report.png')}`, '--window-size=1280,6000'])
    const { data, width, height, channels } = decode(readFileSync(join(folder, 'report.png')))
    expect([width, height]).toEqual([1280, 6000])
    // The blue of the first curve (#0072b2) is there, in more than a few pixels.
    let blue = 0
    for (let p = 0; p < width * height; p++) {
      const [r, g, b] = [0, 1, 2].map((c) => data[p * channels + c])
      if (Math.abs(r - 0x00) < 40 && Math.abs(g - 0x72) < 40 && Math.abs(b - 0xb2) < 40) blue++
    }
    expect(blue).toBeGreaterThan(1000)
  })
})
