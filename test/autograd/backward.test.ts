import { describe, expect, test } from 'vitest'
import { backward, grad } from '../../src/autograd/backward.ts'
import { noGrad } from '../../src/autograd/graph.ts'
import { GraphError, ShapeError } from '../../src/errors.ts'
import { add, div, maximum, mul, sub } from '../../src/ops/arithmetic.ts'
import { conv2dBoth } from '../../src/ops/conv2d.ts'
import { matmul } from '../../src/ops/matmul.ts'
import { max, sum } from '../../src/ops/reduce.ts'
import { abs, affine, clamp, exp, leakyRelu, relu, square } from '../../src/ops/unary.ts'
import { ones, tensor, zeros } from '../../src/tensor/create.ts'
import { memory } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

function leaf(values: number[] | number[][]): Tensor {
  const x = tensor(values, { dtype: 'f64' })
  x.requiresGrad = true
  return x
}

describe('backward', () => {
  test('adds to grad at each call, as an optimizer over several losses needs', () => {
    scope(() => {
      const x = leaf([1, 2, 3])
      backward(sum(square(x)))
      expect(x.grad).toBeAllclose([2, 4, 6])
      backward(sum(affine(x, 10, 0)))
      expect(x.grad).toBeAllclose([12, 14, 16])
    })
  })

  test('a tensor used several times gets the sum of all its gradients', () => {
    scope(() => {
      const x = leaf([3])
      const y = square(x)
      backward(sum(add(mul(y, y), add(y, mul(x, x))))) // x⁴ + 2x²
      expect(x.grad).toBeAllclose([4 * 27 + 4 * 3])
    })
  })

  test('both operands may be one tensor', () => {
    scope(() => {
      const x = leaf([
        [1, 2],
        [3, 4],
      ])
      backward(sum(matmul(x, x)))
      expect(x.grad).toBeAllclose([7, 11, 9, 13])
      const y = leaf([2, 5])
      backward(sum(sub(y, y)))
      expect(y.grad).toBeAllclose([0, 0])
      const z = leaf([2, 5])
      backward(sum(div(z, z)))
      expect(z.grad).toBeAllclose([0, 0], { atol: 1e-15 })
    })
  })

  test('a gradient handed to two tensors is not changed through one of them', () => {
    scope(() => {
      const a = leaf([1])
      const b = leaf([1])
      // add hands one gradient to both; a then gets more
      const y = add(a, b)
      backward(sum(add(y, affine(a, 10, 0))))
      expect(a.grad).toBeAllclose([11])
      expect(b.grad).toBeAllclose([1])
    })
  })

  test('of two outputs of one op either or both may be used', () => {
    scope(() => {
      const weight = tensor([2], { shape: [1, 1, 1, 1], dtype: 'f64' })
      const run = (use: (activated: Tensor, pre: Tensor) => Tensor): Float64Array => {
        const x = tensor([-1, 3], { shape: [1, 1, 2, 1], dtype: 'f64' })
        x.requiresGrad = true
        const [activated, pre] = conv2dBoth(x, weight, { leakySlope: 0.5 })
        return grad(sum(use(activated, pre)), [x])[0].dataSync() as Float64Array
      }
      expect(run((a) => a)).toBeAllclose([1, 2])
      expect(run((_, p) => p)).toBeAllclose([2, 2])
      expect(run((a, p) => add(a, affine(p, 10, 0)))).toBeAllclose([21, 22])
    })
  })

  test('of a loss with more than one element is an error that says what to do', () => {
    scope(() => {
      const x = leaf([1, 2])
      expect(() => backward(square(x))).toThrow(ShapeError)
      expect(() => backward(square(x))).toThrow('the loss must have one element, got [2]; take its sum or mean')
    })
  })

  test('a second time through one graph is an error that says why, and leaves no memory', () => {
    using x = leaf([1, 2])
    const y = square(x)
    const loss = sum(y)
    backward(loss)
    const before = memory()
    expect(() => backward(loss)).toThrow(GraphError)
    expect(() => backward(loss)).toThrow(/the graph was freed by an earlier backward\(\) or grad\(\)/)
    const shared = scope(() => sum(exp(y)))
    expect(() => backward(shared)).toThrow(/square: the graph was freed/)
    for (const t of [shared, loss, y]) t.dispose()
    expect(memory().tensors).toBe(before.tensors - 2)
  })

  test('a part of the graph that no wanted gradient passes through may have been freed', () => {
    scope(() => {
      const x = leaf([3])
      const w = leaf([5])
      const h = square(x)
      grad(sum(affine(h, 1, 0)), [x])
      const [dw] = grad(sum(mul(h, w)), [w])
      expect(dw).toBeAllclose([9])
    })
  })

  test('frees what the graph kept, and keeps what it is asked to', () => {
    using x = ones([1000])
    x.requiresGrad = true
    const before = memory()
    const loss = scope(() => sum(square(exp(x))))
    expect(memory().buffers - before.buffers).toBe(2) // the loss, and exp's output that square saved
    backward(loss)
    expect(memory().buffers - before.buffers).toBe(2) // the loss and the gradient
    loss.dispose()
    expect(memory().buffers - before.buffers).toBe(1)
  })

  test('a loss that is dropped frees its graph without backward', () => {
    using x = ones([1000])
    x.requiresGrad = true
    const before = memory()
    scope(() => {
      sum(square(exp(square(x))))
    })
    expect(memory()).toMatchObject({ tensors: before.tensors, buffers: before.buffers, liveBytes: before.liveBytes })
  })

  test('a chain of 10,000 ops neither overflows the stack going back nor when it is dropped', () => {
    using x = tensor([1], { dtype: 'f64' })
    x.requiresGrad = true
    const chain = (): Tensor =>
      scope(() => {
        let y: Tensor = x
        for (let i = 0; i < 10_000; i++) y = affine(y, 1.0001, 0)
        return sum(y)
      })
    chain().dispose()
    const loss = chain()
    backward(loss)
    loss.dispose()
    expect(x.grad).toBeAllclose([1.0001 ** 10_000], { rtol: 1e-10 })
  })

  test('a leaf that was disposed in between is passed over', () => {
    scope(() => {
      const x = leaf([2])
      const w = leaf([3])
      const y = sum(mul(x, w))
      x.dispose()
      backward(y)
      expect(w.grad).toBeAllclose([2])
    })
  })
})

describe('grad', () => {
  test('gives gradients without touching grad, zeros where there is no path', () => {
    scope(() => {
      const x = leaf([1, 2])
      const y = leaf([3, 4])
      const z = leaf([5])
      const [dx, dz] = grad(sum(mul(x, y)), [x, z])
      expect(dx).toBeAllclose([3, 4])
      expect(dz).toBeAllclose([0])
      expect([x.grad, y.grad]).toEqual([undefined, undefined])
    })
  })

  test('starts from the seed, of the shape and dtype of the loss', () => {
    scope(() => {
      const x = leaf([1, 2, 3])
      expect(grad(square(x), [x], tensor([1, 10, 100], { dtype: 'f64' }))[0]).toBeAllclose([2, 40, 600])
      expect(() => grad(square(x), [x], ones([2], { dtype: 'f64' }))).toThrow(
        "grad: seed must be [3] (the loss's shape), got [2]",
      )
      expect(() => grad(square(x), [x], ones([3]))).toThrow('grad: seed must be f64 like loss, got f32')
    })
  })

  test('is taken to leaves only', () => {
    scope(() => {
      const x = leaf([1])
      const y = square(x)
      expect(() => grad(sum(y), [y])).toThrow(/gradients are taken to leaves/)
    })
  })

  test('computes nothing for what is not wanted', () => {
    scope(() => {
      const x = ones([64, 64])
      const w = ones([64, 64])
      x.requiresGrad = w.requiresGrad = true
      const loss = sum(matmul(x, w))
      const calls: string[] = []
      const { native } = x
      const original = native.matmul
      native.matmul = (...args) => {
        calls.push(`transposes ${args.slice(-2)}`)
        original(...args)
      }
      try {
        grad(loss, [x])
      } finally {
        native.matmul = original
      }
      expect(calls).toEqual(['transposes 0,1']) // dy·wᵀ, and not xᵀ·dy
    })
  })
})

describe('recording', () => {
  test('noGrad records nothing and ends with its function, even by an error', () => {
    scope(() => {
      const x = leaf([2])
      expect(noGrad(() => square(x)).requiresGrad).toBe(false)
      expect(() =>
        noGrad(() => {
          throw new Error('inside')
        }),
      ).toThrow('inside')
      expect(square(x).requiresGrad).toBe(true)
    })
  })

  test('requiresGrad is for floating leaves', () => {
    scope(() => {
      const x = leaf([2])
      const y = square(x)
      expect(() => {
        y.requiresGrad = false
      }).toThrow(/no op has computed/)
      expect(() => {
        zeros([2], { dtype: 'i32' }).requiresGrad = true
      }).toThrow('requiresGrad: gradients need f32 or f64 or bf16, got i32')
    })
  })

  test('detach cuts the history and shares the memory', () => {
    scope(() => {
      const x = leaf([3])
      const y = square(x)
      const { buffers } = memory()
      const cut = y.detach()
      expect(memory().buffers).toBe(buffers)
      const [dx] = grad(sum(mul(y, cut)), [x])
      expect(dx).toBeAllclose([9 * 6])
    })
  })
})

describe('derivatives at corners are those of PyTorch', () => {
  const at = (run: (x: Tensor) => Tensor, values: number[]): ArrayLike<number> =>
    scope(() => {
      const x = leaf(values)
      return grad(sum(run(x)), [x])[0].dataSync()
    })

  test.each([
    ['relu', relu, [0, -0], [0, 0]],
    ['leakyRelu', (x: Tensor) => leakyRelu(x, 0.3), [0, -0], [0.3, 0.3]],
    ['abs', abs, [0], [0]],
    ['clamp, inclusive', (x: Tensor) => clamp(x, -1, 1), [-1, 1, 1.001, -1.001], [1, 1, 0, 0]],
    ['max, the first of several', (x: Tensor) => max(x), [1, 3, 3, 2], [0, 1, 0, 0]],
    ['maximum, half to each', (x: Tensor) => maximum(x, 2), [1, 2, 3], [0, 0.5, 1]],
  ] as const)('%s', (_, run, values, expected) => {
    expect(at(run, [...values])).toBeAllclose([...expected])
  })
})
