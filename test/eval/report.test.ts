import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { renderReport } from '../../src/eval/report.ts'
import { syntheticReport } from './report-data.ts'

const page = renderReport(syntheticReport())

describe('report page', () => {
  it('shows every section, figure and headline number', () => {
    const { document } = parseHTML(page)
    const headings = [...document.querySelectorAll('h2')].map((h2) => h2.textContent)
    expect(headings).toEqual([
      'Training',
      'Samples',
      'Out-of-distribution detection',
      'Calibration',
      'Notes',
      'Run',
      'Configuration',
    ])
    expect(document.querySelectorAll('svg')).toHaveLength(4 + 2 + 1)
    expect(document.querySelectorAll('img')).toHaveLength(3)
    const text = document.querySelector('main')?.textContent ?? ''
    for (const figure of ['0.9871', '77,754', '6 min 52 s', '9,123', '143 MB']) expect(text).toContain(figure)
  })

  it('needs no network: no script, no link, no address but the SVG namespace', () => {
    expect(page).not.toMatch(/<script|<link|@import|url\((?!#)/i)
    const addresses = [...page.matchAll(/(?:https?:)?\/\/[\w.-]+\.\w+/g)].map(([address]) => address)
    expect(new Set(addresses.filter((address) => address.startsWith('http')))).toEqual(new Set(['http://www.w3.org']))
    for (const [, source] of page.matchAll(/(?:src|href)="([^"]*)"/g))
      expect(source).toMatch(/^data:image\/png;base64,/)
  })

  it('escapes all text', () => {
    const evil = `<script>alert("x")</script>&'`
    const html = renderReport({
      title: evil,
      subtitle: evil,
      createdAt: evil,
      ood: [{ name: evil, logpx: 0.5 }],
      training: { model: evil, data: evil, device: evil, recipe: evil },
      samples: [{ png: new Uint8Array(8), caption: evil, alt: evil }],
      classSamples: { png: new Uint8Array(8), rowLabels: [evil] },
      scores: [{ label: evil, sets: [{ name: evil, values: [1, 2, 3] }] }],
      config: { [evil]: evil, list: [evil] },
      defaults: { [evil]: 'other' },
      notes: [evil],
    })
    expect(html).not.toContain('<script')
    const { document } = parseHTML(html)
    expect(document.querySelector('h1')?.textContent).toBe(evil)
    expect(document.querySelector('img')?.getAttribute('alt')).toBe(evil)
  })

  it('leaves out what is absent', () => {
    const html = renderReport({ title: 'nothing yet' })
    expect(html).toContain('<h1>nothing yet</h1>')
    expect(html).not.toMatch(/<h2>|<table|<svg|undefined|NaN/)
    expect(renderReport({ title: 'x', curves: [], ood: [], samples: [], scores: [], config: {} })).not.toContain('<h2>')
  })

  it('marks the settings that differ from the defaults', () => {
    const { document } = parseHTML(page)
    const changed = [...document.querySelectorAll('.config .changed dt')].map((dt) => dt.textContent)
    expect(changed).toEqual(['model', 'init', 'sigma', 'bufferSize', 'lr', 'warmupSteps'])
  })

  it('takes a picture from a file as well', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'langevin-report-')), 'grid.png')
    writeFileSync(path, syntheticReport().samples![0].png)
    const one = renderReport({ title: 'x', samples: [{ png: path }] })
    expect(one).toBe(renderReport({ title: 'x', samples: [{ png: syntheticReport().samples![0].png }] }))
    expect(one).toContain('width="696" height="464"')
  })
})
