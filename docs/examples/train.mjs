// Train a very small JEM in memory, step by step, on the bundled digits. Run: node docs/examples/train.mjs
import { defaultConfig, JemTrainer, loadDataset } from 'langevin'

const data = loadDataset('mnist', { split: 'train', limit: 500 })
const trainer = new JemTrainer(
  {
    ...defaultConfig,
    model: 'wrn-10-1',
    batch: 16,
    sgldSteps: 3,
    bufferSize: 100,
    validationSize: 0,
    lr: 1e-3,
    sigma: 0.1,
  },
  data,
  'cpu',
)
for (let i = 0; i < 5; i++) {
  const { step, loss, fData, fSample, accuracy } = await trainer.iterate()
  console.log(
    `step ${step}: loss ${loss.toFixed(3)}, f(data) ${fData.toFixed(3)}, f(samples) ${fSample.toFixed(3)}, accuracy ${accuracy.toFixed(2)}`,
  )
}
trainer.dispose()
