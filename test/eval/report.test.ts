import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { renderEvaluation } from '../../src/eval/report/evaluation.ts'
import { page, picture, pictures, tablesOf, tiles } from '../../src/eval/report/html.ts'
import { configurationSection, runSection, trainingSection } from '../../src/eval/report/run.ts'
import { gridPicture, syntheticReport } from './report-data.ts'

const report = renderEvaluation(syntheticReport())

describe('report page', () => {
  it('shows every section, figure and number', () => {
    const { document } = parseHTML(report)
    const headings = [...document.querySelectorAll('h2')].map((h2) => h2.textContent)
    expect(headings).toEqual([
      'Accuracy',
      'Calibration',
      'Out-of-distribution detection',
      'Training',
      'Run',
      'Configuration',
    ])
    // Reliability of run, run scaled and baseline; a histogram for each score; training curves.
    expect(document.querySelectorAll('svg')).toHaveLength(3 + 6 + 4)
    const text = document.querySelector('main')?.textContent ?? ''
    for (const shown of [
      '95.85 %',
      '97.20 %',
      '0.1811',
      '1.234',
      'uniform <noise>',
      'moving average of the weights',
      'Baseline: classifier',
    ]) {
      expect(text).toContain(shown)
    }
    // Scores of two models against three sets, two rows of accuracy, three of calibration.
    expect(document.querySelectorAll('table:not(.facts) tbody tr')).toHaveLength(2 * 6 * 3 + 2 + 3)
  })

  it('says of every table on how many images of which split, with which noise and seed', () => {
    const { document } = parseHTML(report)
    const captions = [...document.querySelectorAll('caption')].map((caption) => caption.textContent)
    expect(captions).toHaveLength(5)
    for (const caption of captions) {
      expect(caption).toMatch(/2,000 test images, noise of standard deviation 0.1, seed 1/)
    }
    const text = document.querySelector('main')?.textContent ?? ''
    expect(text).toContain('mnist, 1,000 validation images')
    expect(text).toMatch(/Positive class: in-distribution for AUROC, AUPR-in and FPR/)
    expect(text).toContain('95 % bootstrap intervals, percentiles of 1,000 resamples')
  })

  it('needs no network: no script, no link, no address but the SVG namespace', () => {
    expect(report).not.toMatch(/<script|<link|@import|url\((?!#)/i)
    const addresses = [...report.matchAll(/(?:https?:)?\/\/[\w.-]+\.\w+/g)].map(([address]) => address)
    expect(new Set(addresses.filter((address) => address.startsWith('http')))).toEqual(new Set(['http://www.w3.org']))
    for (const [, source] of picture({ png: gridPicture(3, 3), caption: 'x' }).matchAll(/(?:src|href)="([^"]*)"/g)) {
      expect(source).toMatch(/^data:image\/png;base64,/)
    }
  })

  it('escapes all text', () => {
    const evil = `<script>alert("x")</script>&'`
    const suite = {
      tables: () => [{ caption: evil, head: [evil], rows: [[evil, evil, { value: evil, spread: evil }]] }],
      notes: () => [evil],
    }
    const html = page({
      title: evil,
      byline: [evil],
      sections: [
        { title: evil, html: tiles([{ name: evil, value: evil, note: evil }]) + tablesOf(suite, {}) },
        { title: '', html: picture({ png: new Uint8Array(8), caption: evil, alt: evil, rowLabels: [evil] }) },
        runSection({ model: evil, data: evil, device: evil, recipe: evil }),
        configurationSection({ [evil]: evil, list: [evil] }, { [evil]: 'other' }),
      ],
    })
    expect(html).not.toContain('<script')
    const { document } = parseHTML(html)
    expect(document.querySelector('h1')?.textContent).toBe(evil)
    expect(document.querySelector('img')?.getAttribute('alt')).toBe(evil)
    expect(document.querySelector('caption')?.textContent).toBe(evil)
  })

  it('leaves out what is absent', () => {
    const empty = [
      trainingSection([]),
      runSection({}),
      configurationSection({}, {}),
      { title: 'x', html: pictures([]) },
    ]
    const html = page({ title: 'nothing yet', sections: empty })
    expect(html).toContain('<h1>nothing yet</h1>')
    expect(html).not.toMatch(/<h2>|<table|<svg|undefined|NaN/)
    expect(tiles([{ name: 'x', value: undefined }])).toBe('')
  })

  it('marks the settings that differ from the defaults', () => {
    const { document } = parseHTML(report)
    const changed = [...document.querySelectorAll('.config .changed dt')].map((dt) => dt.textContent)
    expect(changed).toEqual(['model', 'init', 'sigma', 'bufferSize', 'lr', 'warmupSteps'])
  })

  it('enlarges a small picture to the page, by whole pixels', () => {
    expect(picture({ png: gridPicture(12, 8), caption: 'x' })).toContain('width="696" height="464"')
  })
})
