/** Kinds of native ops that no op of src/ops uses: other backends and later ops rely on them all the same. */

import type { Device } from '../../src/native/contract.ts'
import { reduceKinds, unaryKinds } from '../../src/native/contract.ts'
import { tensor, zeros } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'

const dtypeOn = (device: Device) => (device === 'cpu' ? 'f64' : 'f32')
const data = [-2, -0.5, 0, 0.25, 3]

/** Runs the op, and returns what it gave and what it must. */
export const kinds: readonly { name: string; run(device: Device): { got: number[]; expected: number[] } }[] = [
  unaryKind('neg', [], (x) => -x),
  unaryKind('leakyRelu', [0.2], (x) => (x > 0 ? x : 0.2 * x)),
  backwardKind('neg', [], () => -1),
  backwardKind('leakyRelu', [0.2], (x) => (x > 0 ? 1 : 0.2)),
  backwardKind('affine', [3, 1], () => 3),
  {
    name: 'reduce min',
    run: (device: Device) =>
      scope(() => {
        const x = tensor(data, { dtype: dtypeOn(device), device })
        const y = zeros([], { dtype: dtypeOn(device), device })
        x.native.reduce(reduceKinds.indexOf('min'), x.handle, y.handle, 1, data.length, 1)
        return { got: [...y.dataSync()], expected: [Math.min(...data)] }
      }),
  },
]

function unaryKind(kind: (typeof unaryKinds)[number], [a = 0, b = 0]: number[], f: (x: number) => number) {
  return {
    name: `unary ${kind}`,
    run: (device: Device) =>
      scope(() => {
        const x = tensor(data, { dtype: dtypeOn(device), device })
        const y = zeros([data.length], { dtype: dtypeOn(device), device })
        x.native.unary(unaryKinds.indexOf(kind), x.handle, y.handle, data.length, a, b)
        return { got: [...y.dataSync()], expected: data.map(f) }
      }),
  }
}

function backwardKind(kind: (typeof unaryKinds)[number], [a = 0, b = 0]: number[], slope: (x: number) => number) {
  return {
    name: `unaryBackward ${kind}`,
    run: (device: Device) =>
      scope(() => {
        const x = tensor(data, { dtype: dtypeOn(device), device })
        const dy = tensor([1, 2, 3, 4, 5], { dtype: dtypeOn(device), device })
        const dx = zeros([data.length], { dtype: dtypeOn(device), device })
        x.native.unaryBackward(unaryKinds.indexOf(kind), x.handle, dy.handle, dx.handle, data.length, a, b)
        return { got: [...dx.dataSync()], expected: data.map((v, i) => (i + 1) * slope(v)) }
      }),
  }
}
