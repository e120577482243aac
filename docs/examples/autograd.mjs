// Tensors, gradients and a gradient check. Run: node docs/examples/autograd.mjs
import {
  backward,
  conv2d,
  Generator,
  gradcheck,
  leakyRelu,
  mean,
  memory,
  normal,
  scope,
  square,
  tensor,
} from 'langevin'

const generator = new Generator(1)
const x = normal([2, 8, 8, 3], generator) // images: [batch, height, width, channels]
const weight = normal([3, 3, 3, 4], generator, { std: 0.2 }) // [kh, kw, cin, cout]
weight.requiresGrad = true

// scope() frees what is made inside, but for what it returns; backward() frees the graph.
const loss = scope(() => {
  const y = conv2d(x, weight, { padding: 1, leakySlope: 0.2 })
  const l = mean(square(y))
  backward(l)
  return l
})
console.log('loss', await loss.item())
console.log('gradient', weight.grad.shape, (await weight.grad.data()).slice(0, 3))

// The same kernels in float64, against central differences. Throws where a gradient rule is wrong.
const input = tensor(new Float64Array([0.5, -1, 2, -0.1]), { shape: [2, 2] })
input.requiresGrad = true
gradcheck((t) => leakyRelu(t, 0.2), [input])
console.log('gradcheck passed')

for (const t of [x, weight, loss, input]) t.dispose()
console.log('tensors left', memory().tensors)
