// Samples from an untrained model by Langevin dynamics, and the energy on the way.
// Run: node docs/examples/sgld.mjs
import { Generator, JemModel, noGrad, scope, sgld, uniform } from 'langevin'

const model = new JemModel({ model: 'wrn-10-1', classes: 10, channels: 1, generator: new Generator(1, 'init') })
const x = uniform([4, 28, 28, 1], new Generator(2), { low: -1, high: 1 })
const noise = new Generator(3, 'sgld')

for (let round = 0; round < 3; round++) {
  const f = scope(() => noGrad(() => model.forward(x).f)) // log p(x) up to a constant: [4]
  console.log(`after ${round * 10} steps: f(x) =`, Array.from(await f.data(), (v) => v.toFixed(4)).join(' '))
  f.dispose()
  sgld(model, x, noise, { steps: 10, stepSize: 1, noiseStd: 0.01 }) // x changes in place
}
model.dispose()
x.dispose()
