import { backward } from '../../src/autograd/backward.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import { imageTensor } from '../../src/eval/attacks/accuracyCurve.ts'
import { describeData } from '../../src/jem/checkpoint.ts'
import type { LoadedRun } from '../../src/jem/loadRun.ts'
import { JemModel } from '../../src/jem/model.ts'
import { mean } from '../../src/ops/reduce.ts'
import { crossEntropy } from '../../src/ops/softmax.ts'
import { Adam } from '../../src/optim/adam.ts'
import { Generator } from '../../src/random/generator.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { bars, tiny } from '../jem/tiny.ts'

/** 40 images of 8×8 in 4 classes, and a WideResNet that classifies them all. Dispose the model. */
export function trainedOnBars(): { model: JemModel; data: Dataset } {
  const data = bars(40)
  const model = new JemModel({ model: 'wrn-10-1', classes: 4, channels: 1, generator: new Generator(1, 'init') })
  const optimizer = new Adam(model.namedParameters())
  for (let step = 0; step < 25; step++) {
    scope(() => {
      const x = imageTensor(data, Int32Array.from(data.labels.keys()), 'cpu')
      backward(mean(crossEntropy(model.forward(x).logits, tensor(Int32Array.from(data.labels)))))
      optimizer.step(3e-3)
      model.zeroGrad()
    })
  }
  optimizer.dispose()
  return { model: model.eval(), data }
}

/** The same as a run: with a replay buffer of 16 samples, of which the first 8 are images of the data. */
export function runOnBars(): { run: LoadedRun; data: Dataset } {
  const { model, data } = trainedOnBars()
  const buffer = new Float32Array(16 * 64)
  for (let at = 0; at < buffer.length; at++) buffer[at] = at < 8 * 64 ? data.images[at] / 127.5 - 1 : Math.sin(at)
  const config = tiny()
  return {
    run: { config, data: describeData('bars', data), step: 25, model, weights: 'trained', buffer, warnings: [] },
    data: { ...data, split: 'test' },
  }
}
