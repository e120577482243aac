// A JEM training run as the benches measure it: whole iterations as in training, on random images of any size.
import { randomImages } from '../dist/cli/bench-work.js'
import { defaultConfig, JemTrainer } from '../dist/index.js'

/** `steps` SGLD steps on `batch` chains of the replay buffer, then the train step on three batches and Adam; no norm.
 *  tiny: hardly any images. */
export function openTrainer({ net, batch, steps, size, channels, device = 'cpu', precision = 'fp32', tiny = false }) {
  const config = {
    ...defaultConfig,
    ...{ model: net, batch, sgldSteps: steps, device, precision, samplerPrecision: precision },
    ...{ bufferSize: tiny ? 20 : 10_000, validationSize: tiny ? 10 : 100, cropPadding: tiny ? 1 : 4 },
  }
  return new JemTrainer(config, randomImages({ size, channels, count: tiny ? 40 : 2048 }), device)
}
