import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { DataError } from '../../src/errors.ts'
import { histogramSets } from '../../src/eval/histograms.ts'
import { reliabilityBins } from '../../src/eval/metrics.ts'
import { reliabilityDiagram, scoreHistogram, trainingCurves } from '../../src/eval/plots.ts'
import { smooth, thin } from '../../src/eval/smooth.ts'

describe('training curves', () => {
  it('draws a figure for each metric that has values, and none for the others', () => {
    const points = [
      { step: 1, loss: 2, crossEntropy: null, accuracy: 0.5 },
      { step: 2, loss: Number.NaN, accuracy: 0.6 },
      { step: 3, loss: 1 },
    ]
    expect(trainingCurves(points).map(({ title }) => title)).toEqual(['Loss', 'Accuracy (%)'])
    expect(trainingCurves([])).toEqual([])
  })

  it('keeps the file small and every number finite on a long run', () => {
    const points = Array.from({ length: 100_000 }, (_, step) => ({ step, loss: Math.sin(step) + 1e6 / (step + 1) }))
    const [{ svg }] = trainingCurves(points)
    expect(svg.length).toBeLessThan(40_000)
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })

  it('draws a constant series and a single point', () => {
    for (const points of [[{ step: 5, loss: 3 }], Array.from({ length: 9 }, (_, step) => ({ step, loss: 0 }))]) {
      expect(trainingCurves(points)[0].svg).not.toMatch(/NaN|Infinity/)
    }
  })
})

describe('score histogram', () => {
  it('names every set in its legend, escaped, and follows light and dark', () => {
    const svg = scoreHistogram(
      histogramSets('score', [
        { name: 'a<b', values: [1, 2, 3] },
        { name: 'c & d', values: Float32Array.of(4, 5, 6) },
      ]),
    )
    const { document } = parseHTML(svg)
    const texts = [...document.querySelectorAll('text')].map((text) => text.textContent)
    expect(texts).toContain('a<b')
    expect(texts).toContain('c & d')
    expect(svg).toContain('prefers-color-scheme:dark')
    expect(svg).toContain('currentColor')
  })

  it('keeps a legend of many sets inside the picture', () => {
    const names = ['cifar10 test', 'svhn', 'cifar100', 'fashion-mnist', 'interpolated', 'celeba']
    const sets = names.map((name, i) => ({ name, values: [i, i + 1] }))
    const svg = scoreHistogram(histogramSets('score', sets))
    const { document } = parseHTML(svg)
    for (const text of document.querySelectorAll('text')) {
      if (names.includes(text.textContent ?? '')) expect(Number(text.getAttribute('x'))).toBeLessThan(420 - 48 - 60)
    }
  })

  it('refuses no sets, an empty set and NaN', () => {
    expect(() => histogramSets('score', [])).toThrow(DataError)
    expect(() => histogramSets('score', [{ name: 'a', values: [] }])).toThrow('no values')
    expect(() => histogramSets('score', [{ name: 'a', values: [1, Number.NaN] }])).toThrow('1 of 2 values are NaN')
  })
})

describe('reliability diagram', () => {
  it('prints the calibration error and the number of predictions', () => {
    // One bin, confidence 0.9, accuracy 0.5: ECE 40 %.
    const svg = reliabilityDiagram(reliabilityBins([0.9, 0.9], [1, 0], 10))
    expect(svg).toContain('ECE 40.00 %')
    expect(svg).toContain('2 predictions, 10 bins')
    expect(svg).not.toContain('NaN')
  })
})

describe('smoothing', () => {
  it('is the centred mean, narrower at the ends, and exact on constants', () => {
    expect([...smooth([0, 3, 6, 9, 12], 3)]).toEqual([1.5, 3, 6, 9, 10.5])
    expect([...smooth([4, 4, 4], 99)]).toEqual([4, 4, 4])
    expect([...smooth([], 5)]).toEqual([])
  })

  it('thins a curve but keeps its extremes', () => {
    const y = Float64Array.from({ length: 10_000 }, (_, i) => (i === 5003 ? 99 : i === 7001 ? -99 : Math.sin(i)))
    const kept = thin(
      y.map((_, i) => i),
      y,
      200,
    )
    expect(kept.length).toBeLessThanOrEqual(200)
    expect(kept).toContainEqual({ x: 5003, y: 99 })
    expect(kept).toContainEqual({ x: 7001, y: -99 })
    expect(kept.every(({ x }, i) => i === 0 || x > kept[i - 1].x)).toBe(true)
  })
})
