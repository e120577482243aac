import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { negativeLogLikelihood } from '../../src/eval/metrics.ts'
import { fitTemperature, scaledLogits } from '../../src/eval/temperature.ts'

const fixture = new URL('../fixtures/eval/detection.json', import.meta.url)
const expected = JSON.parse(readFileSync(fixture, 'utf8')).temperature

describe('temperature scaling', () => {
  it('finds what SciPy finds', () => {
    // The formula of detection.py.
    const [n, classes] = [500, 4]
    const labels = Array.from({ length: n }, (_, i) => i % classes)
    const logits = labels.flatMap((label, i) => {
      const raised = i % 10 < 7 ? label : (label + 1) % classes
      return Array.from({ length: classes }, (_, k) => 3 * Math.sin(1.7 * i + 2.3 * k) + (k === raised ? 6 : 0))
    })
    expect(negativeLogLikelihood(logits, labels, classes)).toBeCloseTo(expected.nllBefore, 12)
    const { temperature, atLimit } = fitTemperature(logits, labels, classes)
    expect(atLimit).toBe(false)
    // A search that compares values of the likelihood knows its place to about 1e-8.
    expect(temperature / expected.temperature).toBeCloseTo(1, 7)
    const after = negativeLogLikelihood(scaledLogits(logits, temperature), labels, classes)
    expect(after).toBeCloseTo(expected.nllAfter, 12)
  })

  it.each([0.55, 0.75, 0.99])('makes the confidence the accuracy, where there is one confidence: %d', (accuracy) => {
    // Two logits d apart, right in a share q: σ(d/T) = q, so T = d / log(q/(1−q)).
    const d = 5
    const n = 1000
    const logits = Array.from({ length: n }, () => [d, 0]).flat()
    const labels = Array.from({ length: n }, (_, i) => (i < accuracy * n ? 0 : 1))
    const { temperature } = fitTemperature(logits, labels, 2)
    expect(temperature).toBeCloseTo(d / Math.log(accuracy / (1 - accuracy)), 8)
  })

  it('undoes a scaling of the logits', () => {
    const logits = Array.from({ length: 300 }, (_, i) => 2 * Math.sin(i * i))
    const labels = Array.from({ length: 100 }, (_, i) => (i * 7) % 3)
    for (let i = 0; i < 60; i++) logits[3 * i + labels[i]] += 2
    const { temperature } = fitTemperature(logits, labels, 3)
    const scaled = fitTemperature(scaledLogits(logits, 0.01), labels, 3)
    expect(scaled.temperature / temperature).toBeCloseTo(100, 7)
  })

  it('stops at its limit where every image is right, or where chance is better than the logits', () => {
    expect(fitTemperature([3, 0, 0, 3], [0, 1], 2)).toEqual({ temperature: Math.exp(-7), atLimit: true })
    expect(fitTemperature([3, 0, 0, 3], [1, 0], 2)).toEqual({ temperature: Math.exp(7), atLimit: true })
  })

  it('refuses logits that are not finite or do not fit', () => {
    expect(() => fitTemperature([1, Number.NaN], [0], 2)).toThrow('1 of 2 logits are not finite')
    expect(() => fitTemperature([1, 2, 3], [0], 2)).toThrow('expected 1 rows of 2 logits, at least one, got 3')
    expect(() => fitTemperature([], [], 2)).toThrow('at least one')
  })
})
