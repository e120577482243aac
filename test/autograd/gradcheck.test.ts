import { expect, test } from 'vitest'
import { GradcheckError, gradcheck } from '../../src/autograd/gradcheck.ts'
import { record } from '../../src/autograd/graph.ts'
import { mul } from '../../src/ops/arithmetic.ts'
import { normal } from '../../src/ops/random.ts'
import { flip, transpose } from '../../src/ops/shape.ts'
import { affine, exp } from '../../src/ops/unary.ts'
import { Generator } from '../../src/random/generator.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** y with a rule of our own. */
function withRule(y: Tensor, x: Tensor, rule: (dy: Tensor, x: Tensor) => Tensor | undefined): Tensor {
  return record('ours', y.detach(), [x], [x], (dy, [saved]) => [rule(dy, saved)])
}

function check(fn: (x: Tensor) => Tensor, options: Parameters<typeof gradcheck>[2] = {}): void {
  scope(() => {
    const x = normal([3, 3], new Generator(4), { dtype: 'f64' })
    x.requiresGrad = true
    gradcheck(fn, [x], options)
  })
}

test('a right rule passes', () => {
  check((x) => withRule(exp(x), x, (dy, saved) => mul(dy, exp(saved))))
})

test.each([
  ['a factor is wrong', (dy: Tensor, x: Tensor) => mul(dy, affine(exp(x), 1.01, 0))],
  ['the sign is wrong', (dy: Tensor, x: Tensor) => mul(dy, affine(exp(x), -1, 0))],
  ['there is none', () => undefined],
  ['it ignores the gradient that comes in', (_: Tensor, x: Tensor) => exp(x)],
  // these leave every sum of gradients as it is: all-ones cotangents would let them pass
  ['it is transposed', (dy: Tensor, x: Tensor) => transpose(mul(dy, exp(x)))],
  ['it goes to the element beside', (dy: Tensor, x: Tensor) => flip(mul(dy, exp(x)), 1)],
] as const)('a rule where %s fails', (_, rule) => {
  expect(() => check((x) => withRule(exp(x), x, rule))).toThrow(GradcheckError)
})

test('the message names the input, the index and both values', () => {
  expect(() =>
    check((x) => withRule(exp(x), x, (dy, saved) => mul(dy, affine(exp(saved), 2, 0))), { names: ['logits'] }),
  ).toThrow(
    /^gradcheck: ∂\/∂logits\[0, 0\] is -?\d+\.\d+(e-?\d+)? by the gradient rule, but -?\d+\.\d+(e-?\d+)? by central difference \(eps 0.000001, allowed 0.00001 \+ 0.001·\|numeric\|\)$/,
  )
})

test('what cannot be checked is said', () => {
  scope(() => {
    const fixed = normal([2], new Generator(1), { dtype: 'f64' })
    expect(() => gradcheck((x) => x, [fixed])).toThrow('no input has requiresGrad')
    const single = normal([2], new Generator(1))
    single.requiresGrad = true
    expect(() => gradcheck((x) => x, [single])).toThrow('gradcheck: input 0 must be f64, got f32')
    fixed.requiresGrad = true
    expect(() => gradcheck((x) => x.detach(), [fixed])).toThrow('does not depend on any input')
  })
})

test('a NaN gradient fails', () => {
  expect(() => check((x) => withRule(exp(x), x, (dy) => affine(dy, Number.NaN, 0)))).toThrow(GradcheckError)
})
