// A short look at an installed langevin, run by scripts/test-package.mjs: gradients, SGLD, an asynchronous read, a typed
// error. Prints a hash of the samples, which must not depend on the version of Node.
import { strictEqual, throws } from 'node:assert'
import { createHash } from 'node:crypto'
import { Generator, grad, JemModel, keep, memory, mul, ShapeError, scope, sgld, sum, tensor, uniform } from 'langevin'

const x = tensor([1, 2, 3])
x.requiresGrad = true
const [dx] = scope(() => grad(sum(mul(x, x)), [x]))
strictEqual((await dx.data()).join(), '2,4,6')
throws(() => mul(x, tensor([1, 2])), ShapeError)
x.dispose()
dx.dispose()

const model = new JemModel({ model: 'wrn-10-1', classes: 10, channels: 1, generator: new Generator(1, 'init') })
const samples = keep(uniform([2, 28, 28, 1], new Generator(2), { low: -1, high: 1 }))
const before = memory().tensors
sgld(model, samples, new Generator(3, 'sgld'), { steps: 5, stepSize: 1, noiseStd: 0.01 })
strictEqual(memory().tensors, before)
const values = await samples.data()
strictEqual(values.every(Number.isFinite), true)
process.stdout.write(`${createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')}\n`)
