import { expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { WideResNet } from '../../src/nn/wideResNet.ts'
import { matmul } from '../../src/ops/matmul.ts'
import { uniform } from '../../src/ops/random.ts'
import { sum } from '../../src/ops/reduce.ts'
import { logsumexp } from '../../src/ops/softmax.ts'
import { leakyRelu } from '../../src/ops/unary.ts'
import { Generator } from '../../src/random/generator.ts'
import { memory, resetPeakMemory } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const generator = (): Generator => new Generator(1)

/** Bytes that stay live between forward and backward, beyond the input's and the parameters'. */
function savedBytes(forward: () => Tensor): number {
  const before = memory().liveBytes
  const loss = scope(forward)
  const { liveBytes } = memory()
  loss.dispose()
  return liveBytes - before
}

/** Activations (after LeakyReLU) of one image in a WideResNet without norm: two per block, and the stem's. */
function activations(depth: number, width: number, size: number): number {
  const blocks = (depth - 4) / 6
  let count = size * size * 16
  for (const stage of [0, 1, 2]) {
    const channels = 16 * 2 ** stage * width
    const inside = stage === 0 ? size : size / 2 ** (stage - 1) // conv1 of a stage's first block has stride 1
    const outside = size / 2 ** stage
    count += channels * (inside ** 2 + outside ** 2 + (blocks - 1) * 2 * outside ** 2)
  }
  return count
}

test('a frozen op that only the input needs a gradient of keeps its weight and no activation', () => {
  scope(() => {
    const x = uniform([64, 128], generator())
    const weight = uniform([128, 256], generator())
    x.requiresGrad = true
    expect(savedBytes(() => sum(matmul(x, weight)))).toBe(64) // the loss: one block of the pool
    // … of LeakyReLU one bit each
    expect(savedBytes(() => sum(leakyRelu(matmul(x, weight))))).toBe(64 + (64 * 256) / 8)
    weight.requiresGrad = true
    expect(savedBytes(() => sum(leakyRelu(matmul(x, weight))))).toBe(64 + (64 * 256) / 8) // x itself is the input
  })
})

test('SGLD’s gradient of a WideResNet keeps one bit per activation, not the activations', () => {
  const [depth, width, size, batch] = [16, 2, 32, 8]
  const model = new WideResNet({ depth, width, channels: 3, generator: generator() })
  using x = uniform([batch, size, size, 3], generator())
  x.requiresGrad = true
  const bits = (batch * activations(depth, width, size)) / 8
  const frozen = model.frozen(() => savedBytes(() => sum(logsumexp(model.forward(x)))))
  // The rest is the head's: features, and f. Blocks of the pool may be 12.5 % larger than what was asked.
  const head = batch * (model.featureCount + 1) * 4
  expect(frozen).toBeGreaterThanOrEqual(bits)
  expect(frozen).toBeLessThan(bits * 1.125 + 2 * head + 64 * 40)
  // With gradients to the parameters it keeps the activations themselves: 33 times as much.
  expect(savedBytes(() => sum(logsumexp(model.forward(x))))).toBeGreaterThan(32 * bits)
  model.dispose()
})

test('one SGLD gradient of WRN-16-2 with batch 64 peaks below 150 MB', () => {
  const model = new WideResNet({ depth: 16, width: 2, channels: 3, generator: generator() })
  using x = uniform([64, 32, 32, 3], generator())
  x.requiresGrad = true
  resetPeakMemory()
  for (const g of model.frozen(() => scope(() => grad(sum(logsumexp(model.forward(x))), [x])))) g.dispose()
  const { peakBytes, scratchBytes } = memory()
  expect(peakBytes + scratchBytes).toBeLessThan(150e6)
  model.dispose()
})

test('two hundred steps hold no more memory than the first three', () => {
  const model = new WideResNet({ depth: 10, width: 1, channels: 1, generator: generator() })
  using x = uniform([1, 8, 8, 1], generator())
  x.requiresGrad = true
  const step = (): void => {
    for (const g of model.frozen(() => scope(() => grad(sum(logsumexp(model.forward(x))), [x])))) g.dispose()
  }
  for (let i = 0; i < 3; i++) step() // the second finds the blocks of the first in another order
  const { buffers, tensors, liveBytes, cachedBytes } = memory()
  for (let i = 0; i < 200; i++) step()
  expect(memory()).toMatchObject({ buffers, tensors, liveBytes, cachedBytes })
  model.dispose()
})
