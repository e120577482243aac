import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { JemModel } from '../../src/jem/model.ts'
import { inputGradient } from '../../src/jem/sampler.ts'
import { nativeDevice } from '../../src/native/device.ts'
import { add } from '../../src/ops/arithmetic.ts'
import { conv2d, conv2dBoth } from '../../src/ops/conv2d.ts'
import { energyHead } from '../../src/ops/energyHead.ts'
import { normal, uniform } from '../../src/ops/random.ts'
import { sum } from '../../src/ops/reduce.ts'
import { affine, leakyRelu } from '../../src/ops/unary.ts'
import { Generator } from '../../src/random/generator.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** How often `fn` calls each native op of the CPU. */
function countCalls(fn: () => void): Record<string, number> {
  const { ops } = nativeDevice('cpu')
  const original = { ...ops }
  const table = ops as unknown as Record<string, (...args: unknown[]) => void>
  const counts: Record<string, number> = {}
  for (const [name, op] of Object.entries(original)) {
    table[name] = (...args: unknown[]) => {
      counts[name] = (counts[name] ?? 0) + 1
      ;(op as (...a: unknown[]) => void)(...args)
    }
  }
  try {
    fn()
  } finally {
    Object.assign(ops, original)
  }
  return counts
}

test('SGLD’s gradient of a WideResNet without norms is one kernel per convolution, and one for the head', () => {
  const model = new JemModel({ model: 'wrn-10-2', classes: 10, channels: 3, generator: new Generator(1) })
  using x = uniform([2, 8, 8, 3], new Generator(2))
  const { conv2d, conv2dBackwardInput, energyHead, energyHeadBackward, fill, ...others } = countCalls(() =>
    model.frozen(() => inputGradient(model, x).dispose()),
  )
  // Forward, the three shortcuts are part of their blocks' second convolutions.
  expect({ conv2d, conv2dBackwardInput }).toEqual({ conv2d: 7, conv2dBackwardInput: 10 })
  expect({ energyHead, energyHeadBackward, fill }).toEqual({ energyHead: 1, energyHeadBackward: 1, fill: 1 })
  expect(others).toEqual({})
  model.dispose()
})

const slope = 0.2
const between = (y: Tensor): Tensor => affine(y, 1, 0) // no gradient is fused across it
type Step = (y: Tensor) => Tensor

/** Graphs whose activation's gradient comes from one or several consumers; `step` lies between the two. */
const graphs: Record<string, (x: Tensor, weights: Tensor[], step: Step) => Tensor> = {
  'one convolution': (x, [w, v], step) => sum(conv2d(step(conv2d(x, w, { padding: 1, leakySlope: slope })), v)),
  'one convolution after a separate LeakyReLU': (x, [w, v], step) =>
    sum(conv2d(step(leakyRelu(conv2d(x, w, { padding: 1 }), slope)), v, { stride: 2 })),
  'two convolutions': (x, [w, v], step) => {
    const y = step(conv2d(x, w, { padding: 1, leakySlope: slope }))
    return add(sum(conv2d(y, v)), sum(conv2d(y, w, { padding: 1, stride: 2 })))
  },
  'a convolution and a sum': (x, [w, v], step) => {
    const y = step(conv2d(x, w, { padding: 1, leakySlope: slope }))
    return add(sum(conv2d(y, v)), sum(y))
  },
  'a residual block': (x, [w], step) => {
    const [activated, pre] = conv2dBoth(x, w, { padding: 1, leakySlope: slope })
    return sum(conv2d(step(activated), w, { padding: 1, residual: step(pre), leakySlope: slope }))
  },
  'a block with a shortcut': (x, [w, v], step) => {
    const [activated, pre] = conv2dBoth(x, w, { padding: 1, leakySlope: slope })
    const shortcut = { x: step(pre), weight: v }
    return sum(conv2d(step(activated), w, { padding: 1, shortcut, leakySlope: slope }))
  },
  'a block with a residual that is a convolution': (x, [w, v], step) => {
    const [activated, pre] = conv2dBoth(x, w, { padding: 1, leakySlope: slope })
    return sum(conv2d(step(activated), w, { padding: 1, residual: conv2d(step(pre), v), leakySlope: slope }))
  },
  'the value before the activation alone': (x, [w, v], step) =>
    sum(conv2d(step(conv2dBoth(x, w, { padding: 1, leakySlope: slope })[1]), v)),
  'the fused head': (x, [w, , head], step) =>
    sum(energyHead(step(conv2d(x, w, { padding: 1, leakySlope: slope })), head)),
}

describe('a gradient that is computed together with the derivative where it arrives is the separate one', () => {
  test.each(Object.entries(graphs))('%s', (_, graph) => {
    for (const dtype of ['f32', 'f64'] as const) {
      scope(() => {
        const generator = new Generator(3)
        const make = (...shape: number[]): Tensor => normal(shape, generator, { dtype })
        const x = make(2, 6, 6, 4)
        x.requiresGrad = true
        const weights = [make(3, 3, 4, 4), make(1, 1, 4, 4), make(4, 3)]
        const fused = grad(
          graph(x, weights, (y) => y),
          [x],
        )[0]
        const separate = grad(graph(x, weights, between), [x])[0]
        expect(fused).toBeAllclose(separate, {
          rtol: dtype === 'f32' ? 1e-5 : 1e-13,
          atol: dtype === 'f32' ? 1e-5 : 1e-13,
        })
      })
    }
  })
})
