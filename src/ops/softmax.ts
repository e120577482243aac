/** Heads on rows of logits: x is [batch, classes], f32, f64 or bf16. All throw ShapeError, DTypeError. */
import { record } from '../autograd/graph.ts'
import { empty, type Tensor } from '../tensor/tensor.ts'
import { expectDType, expectShape } from './check.ts'

function softmaxOf(op: string, x: Tensor, logarithm: number): Tensor {
  expectDType(op, 'x', x)
  const [rows, columns] = expectShape(op, 'x', x, ['batch', 'classes'])
  const y = empty(x.shape, x.dtype, x.device)
  x.native.softmax(x.handle, y.handle, rows, columns, logarithm)
  return record(op, y, [x], [y], (dy, [saved]) => {
    const dx = empty(x.shape, x.dtype, x.device)
    saved.native.softmaxBackward(saved.handle, dy.handle, dx.handle, rows, columns, logarithm)
    return [dx]
  })
}

/** p(y|x) of JEM eq. 1: exp x[i, y] / Σ_k exp x[i, k]. */
export function softmax(x: Tensor): Tensor {
  return softmaxOf('softmax', x, 0)
}

/** x[i, y] − logsumexp x[i, :]. */
export function logSoftmax(x: Tensor): Tensor {
  return softmaxOf('logSoftmax', x, 1)
}

/** log Σ_k exp x[i, k], the energy's negative when x are logits (JEM eq. 7): [batch, classes] → [batch]. */
export function logsumexp(x: Tensor): Tensor {
  expectDType('logsumexp', 'x', x)
  const [rows, columns] = expectShape('logsumexp', 'x', x, ['batch', 'classes'])
  const y = empty([rows], x.dtype, x.device)
  x.native.logsumexp(x.handle, y.handle, rows, columns)
  return record('logsumexp', y, [x], [x, y], (dy, [x_, y_]) => {
    const dx = empty(x.shape, x.dtype, x.device)
    x_.native.logsumexpBackward(x_.handle, y_.handle, dy.handle, dx.handle, rows, columns)
    return [dx] // ∂y/∂x = softmax(x)
  })
}

/** −log p(label | x) for each row: [batch, classes], i32 labels [batch] → [batch]. A label outside [0, classes) is a
 *  fault at the next read. */
export function crossEntropy(x: Tensor, labels: Tensor): Tensor {
  expectDType('crossEntropy', 'x', x)
  expectDType('crossEntropy', 'labels', labels, ['i32'])
  const [rows, columns] = expectShape('crossEntropy', 'x', x, ['batch', 'classes'])
  expectShape('crossEntropy', 'labels', labels, [rows], 'one for each row of x')
  const loss = empty([rows], x.dtype, x.device)
  x.native.crossEntropy(x.handle, labels.handle, loss.handle, rows, columns)
  return record('crossEntropy', loss, [x], [x, labels], (dy, [x_, labels_]) => {
    const dx = empty(x.shape, x.dtype, x.device)
    x_.native.crossEntropyBackward(x_.handle, labels_.handle, dy.handle, dx.handle, rows, columns)
    return [dx] // ∂loss/∂x = softmax(x) − onehot(label)
  })
}
