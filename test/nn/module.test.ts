import { describe, expect, test } from 'vitest'
import { backward } from '../../src/autograd/backward.ts'
import { Conv2d, Linear } from '../../src/nn/layers.ts'
import { Module } from '../../src/nn/module.ts'
import { BatchNorm, makeNorm } from '../../src/nn/norms.ts'
import { sum } from '../../src/ops/reduce.ts'
import { Generator } from '../../src/random/generator.ts'
import { ones, tensor, zeros } from '../../src/tensor/create.ts'
import { memory } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

class Net extends Module {
  readonly conv = this.part('conv', new Conv2d(1, 2, 3, { generator: new Generator(1), padding: 1 }))
  readonly norm = this.part('block.0.bn', new BatchNorm(2, {}))
  readonly head = this.part('head', new Linear(2, 3, { generator: new Generator(2) }))
  readonly scale = this.parameter('scale', ones([2]))
  forward(x: Tensor): Tensor {
    return this.norm.forward(this.conv.forward(x))
  }
}

describe('a module', () => {
  test('names its parameters and buffers by the path of its parts, as PyTorch does', () => {
    const net = new Net()
    expect(net.namedParameters().map(([name]) => name)).toEqual([
      'scale',
      'conv.weight',
      'conv.bias',
      'block.0.bn.weight',
      'block.0.bn.bias',
      'head.weight',
      'head.bias',
    ])
    expect(net.namedBuffers().map(([name]) => name)).toEqual([
      'block.0.bn.running_mean',
      'block.0.bn.running_var',
      'block.0.bn.num_batches_tracked',
    ])
    expect(net.parameterCount()).toBe(2 + 18 + 2 + 4 + 6 + 3)
    net.dispose()
  })

  test('made inside a scope outlives it, and dispose() frees all of it', () => {
    const before = memory()
    const net = scope(() => {
      new Net().dispose()
      return [new Net()]
    })[0]
    expect(net.parameters().every((p) => !p.isDisposed && p.requiresGrad)).toBe(true)
    net.dispose()
    expect(memory()).toMatchObject({ tensors: before.tensors, buffers: before.buffers })
  })

  test('sets training and eval mode of all its parts', () => {
    const net = new Net()
    expect([net.training, net.norm.training]).toEqual([true, true])
    net.eval()
    expect([net.training, net.norm.training]).toEqual([false, false])
    net.train()
    expect(net.norm.training).toBe(true)
    net.dispose()
  })

  test('frozen() ends with its function, even by an error, and puts back what was set', () => {
    const net = new Net()
    net.conv.weight.requiresGrad = false
    expect(() =>
      net.frozen(() => {
        expect(net.parameters().some((p) => p.requiresGrad)).toBe(false)
        throw new Error('inside')
      }),
    ).toThrow('inside')
    expect(net.parameters().map((p) => p.requiresGrad)).toEqual([true, false, true, true, true, true, true])
    net.dispose()
  })

  test('gathers gradients until zeroGrad()', () => {
    const net = new Net()
    const before = memory().tensors
    scope(() => backward(sum(net.forward(ones([1, 4, 4, 1])))))
    expect(net.conv.weight.grad?.shape).toEqual([3, 3, 1, 2])
    expect(net.head.weight.grad).toBeUndefined()
    net.zeroGrad()
    expect(net.parameters().some((p) => p.grad)).toBe(false)
    expect(memory().tensors).toBe(before)
    net.dispose()
  })
})

describe('norms', () => {
  const x = [1, 10, 2, 20, 3, 30, 6, 60] // [2, 2, 1, 2]: channel 0 is 1 2 3 6, channel 1 ten times as much
  const input = (): Tensor => tensor(x, { shape: [2, 2, 1, 2], dtype: 'f64' })
  const options = { dtype: 'f64' } as const

  test('batch norm in training mode moves its running statistics by 0.9, with the unbiased variance', () => {
    const norm = new BatchNorm(2, options)
    scope(() => {
      norm.forward(input())
    })
    const buffers = new Map(norm.namedBuffers())
    // mean 3, Σ (x − 3)² = 14
    expect(buffers.get('running_mean')).toBeAllclose([0.9 * 3, 0.9 * 30])
    expect(buffers.get('running_var')).toBeAllclose([0.1 + (0.9 * 14) / 3, 0.1 + (0.9 * 1400) / 3])
    expect(buffers.get('num_batches_tracked')).toBeAllclose([1])
    scope(() => {
      norm.forward(input())
    })
    expect(buffers.get('running_mean')).toBeAllclose([0.09 * 3 + 0.9 * 3, 0.09 * 30 + 0.9 * 30])
    norm.updateStatistics = false
    scope(() => {
      norm.forward(input())
    })
    expect(buffers.get('num_batches_tracked')).toBeAllclose([2])
    norm.dispose()
  })

  test('batch norm in eval mode uses the running statistics and leaves them', () => {
    const norm = new BatchNorm(2, options).eval()
    scope(() => {
      const expected = x.map((v) => v / Math.sqrt(1 + 1e-5))
      expect(norm.forward(input())).toBeAllclose({ shape: [2, 2, 1, 2], data: expected })
    })
    expect(new Map(norm.namedBuffers()).get('running_mean')).toBeAllclose([0, 0])
    norm.dispose()
  })

  test('act norm takes mean and deviation of the first training batch, once', () => {
    const norm = makeNorm('act', 2, options)!
    scope(() => {
      const deviation = Math.sqrt(14 / 3)
      const expected = x.map((v, i) => (i % 2 ? (v - 30) / (10 * deviation + 1e-6) : (v - 3) / (deviation + 1e-6)))
      expect(norm.forward(input())).toBeAllclose({ shape: [2, 2, 1, 2], data: expected })
      norm.forward(zeros([1, 1, 1, 2], options))
      expect(norm.forward(input())).toBeAllclose({ shape: [2, 2, 1, 2], data: expected })
    })
    expect(new Map(norm.namedBuffers()).get('initialized')).toBeAllclose([1])
    norm.dispose()
  })

  test.each(['batch', 'instance', 'layer', 'act'] as const)(
    '%s norm makes each batch’s scale its own, in both modes',
    (name) => {
      const norm = makeNorm(name, 2, options)!
      const { tensors } = memory()
      for (const mode of [true, false]) {
        using batch = input()
        norm.train(mode).forward(batch).dispose()
      }
      expect(memory().tensors).toBe(tensors)
      norm.train()
      scope(() => {
        const y = norm.forward(input()).dataSync()
        expect(y.length).toBe(8)
        expect(Math.max(...y)).toBeLessThan(3)
        if (name === 'batch' || name === 'act') return
        norm.eval()
        expect(norm.forward(input())).toBeAllclose(y)
      })
      norm.dispose()
    },
  )
})
