import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backward } from '../../src/autograd/backward.ts'
import { noGrad } from '../../src/autograd/graph.ts'
import { JemModel } from '../../src/jem/model.ts'
import { objective } from '../../src/jem/objective.ts'
import { assign } from '../../src/ops/cast.ts'
import { uniform } from '../../src/ops/random.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
import { keep, scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const classes = 3
const labels = [2, 0, 0, 1]
const weights = { pxWeight: 1, pyxWeight: 1, pxyWeight: 0, energyL2: 0 }

let images: Tensor[]
beforeEach(() => {
  const generator = new Generator(1)
  images = [0, 1, 2, 3].map(() => keep(uniform([4, 8, 8, 1], generator, { low: -1, high: 1 })))
})
afterEach(() => {
  for (const x of images) x.dispose()
})

function model(options: { unconditional?: boolean } = {}): JemModel {
  return new JemModel({ model: 'wrn-10-1', classes, channels: 1, generator: new Generator(2), ...options })
}

// The terms by JEM.md's formulas, in float64, from the logits alone.
const rowsOf = (values: ArrayLike<number>) =>
  labels.map((_, i) => Array.from({ length: classes }, (_, k) => values[i * classes + k]))
const logsumexp = (row: number[]) => Math.log(row.reduce((total, v) => total + Math.exp(v), 0))
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length

function logits(net: JemModel, x: Tensor): number[][] {
  return scope(() => noGrad(() => rowsOf(net.forward(x).logits.dataSync())))
}

/** Loss and metrics of all four batches. */
function computed(
  net: JemModel,
  given: Parameters<typeof objective>[2],
  parts: { px?: boolean; pyx?: boolean; pxy?: boolean },
) {
  return scope(() => {
    const [data, samples, labelled, given_y] = images
    const result = objective(
      net,
      {
        ...(parts.px ? { px: { data, samples } } : {}),
        ...(parts.pyx ? { pyx: { images: labelled, labels: tensor(Int32Array.from(labels)) } } : {}),
        ...(parts.pxy ? { pxySamples: given_y } : {}),
      },
      given,
    )
    const gradients = (): string[] => {
      backward(result.loss)
      return net.namedParameters().flatMap(([name, p]) => (p.grad ? [name] : []))
    }
    const numbers = Object.fromEntries(Object.entries(result).map(([name, s]) => [name, (s as Tensor).itemSync()]))
    const touched = gradients()
    net.zeroGrad()
    return { ...numbers, touched } as Record<string, number> & { touched: string[] }
  })
}

describe('the loss', () => {
  it('is the weighted sum of its terms', () => {
    using net = model()
    const [data, samples, labelled, conditional] = images.map((x) => logits(net, x))
    const fData = mean(data.map(logsumexp))
    const fSample = mean(samples.map(logsumexp))
    const crossEntropy = mean(labelled.map((row, i) => logsumexp(row) - row[labels[i]]))
    const joint = mean(conditional.map((row, i) => row[labels[i]])) - mean(labelled.map((row, i) => row[labels[i]]))
    const squares = mean(data.map((row) => logsumexp(row) ** 2)) + mean(samples.map((row) => logsumexp(row) ** 2))
    const accuracy = mean(labelled.map((row, i) => (row.indexOf(Math.max(...row)) === labels[i] ? 1 : 0)))
    const given = { pxWeight: 0.7, pyxWeight: 1.3, pxyWeight: 0.4, energyL2: 0.05 }
    const got = computed(net, given, { px: true, pyx: true, pxy: true })
    expect(got.fData).toBeCloseTo(fData, 5)
    expect(got.fSample).toBeCloseTo(fSample, 5)
    expect(got.crossEntropy).toBeCloseTo(crossEntropy, 5)
    expect(got.accuracy).toBe(accuracy)
    const loss = 0.7 * (fSample - fData) + 1.3 * crossEntropy + 0.4 * joint + 0.05 * squares
    expect(got.loss).toBeCloseTo(loss, 5)
  })

  it("squares the mean energies of the batches where that is M-JEM's regulariser", () => {
    using net = model()
    const [fData, fSample] = images.slice(0, 2).map((x) => mean(logits(net, x).map(logsumexp)))
    const got = computed(net, { ...weights, energyL2: 0.5, energyL2Of: 'batch' }, { px: true })
    expect(got.loss).toBeCloseTo(fSample - fData + 0.5 * (fData ** 2 + fSample ** 2), 5)
  })

  it('of p(x, y) alone has the gradient of log p(x|y): what a class is worth drops out', () => {
    using net = model()
    const only = { ...weights, pxWeight: 0, pyxWeight: 0, pxyWeight: 1 }
    const before = computed(net, only, { pyx: true, pxy: true }).loss
    const bias = net.stateDict().get('class_output.bias')!
    // log p(x|y) does not know log p(y): a constant for each class drops out of the difference.
    scope(() => assign(bias, tensor([3, -2, 7])))
    expect(computed(net, only, { pyx: true, pxy: true }).loss).toBeCloseTo(before, 5)
  })

  it('leaves out a term whose batch is absent', () => {
    using net = model()
    const pxOnly = computed(net, weights, { px: true })
    expect(pxOnly.loss).toBeCloseTo(pxOnly.fSample - pxOnly.fData, 5)
    expect(pxOnly.crossEntropy).toBeUndefined()
    const pyxOnly = computed(net, weights, { pyx: true })
    expect(pyxOnly.loss).toBeCloseTo(pyxOnly.crossEntropy, 6)
    expect(pyxOnly.fData).toBeUndefined()
    // p(x, y) alone: cross-entropy is measured and not trained.
    const joint = computed(net, { ...weights, pyxWeight: 0, pxyWeight: 1 }, { pyx: true, pxy: true })
    expect(Math.abs(joint.loss)).toBeLessThan(joint.crossEntropy)
    expect(() => computed(net, weights, {})).toThrow(RangeError)
  })

  it('of the unconditional model takes f(x) from a head of its own', () => {
    using net = model({ unconditional: true })
    expect(computed(net, weights, { px: true }).touched.filter((name) => !name.startsWith('f.'))).toEqual([
      'energy_output.weight',
      'energy_output.bias',
    ])
    expect(computed(net, weights, { pyx: true }).touched.filter((name) => !name.startsWith('f.'))).toEqual([
      'class_output.weight',
      'class_output.bias',
    ])
  })
})
