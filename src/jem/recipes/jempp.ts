import type { Recipe } from './recipe.ts'

/** `train_jempp.py` with the command of its README; what that leaves out is the script's default. Its `plc` is the
 *  default, alltrain1: data, samples and labelled images are batches of their own for the norms, as here. Not taken
 *  over: it tests without the noise that it trains with. */
export const jempp: Recipe = {
  title: 'proximal SGLD, PYLD, informative start, batch norm, SGD (Yang & Ji, ICCV 2021)',
  source: 'sndnyang/JEMPP @fba6ba5, README.md and train_jempp.py',
  settings: {
    norm: 'batch',
    samplingMode: 'train',
    // PYLD-10-5: 10 gradients, 5 updates with each [--n_steps 10 --in_steps 5 --pyld_lr 0.2 --sgld_lr 0 --sgld_std 0].
    sgldSteps: 10,
    innerSteps: 5,
    stepSize: 0.2,
    noiseStd: 0,
    // Proximal [--eps 1, clamp].
    gradientClip: 1,
    clampSamples: true,
    chainStart: 'class-gaussians', // init_from_centers
    optimizer: 'sgd', // momentum 0.9
    lr: 0.1,
    weightDecay: 4e-4,
    warmupSteps: 1000,
    epochs: 150,
    decayEpochs: [50, 100, 125],
    decayRate: 0.2,
  },
}
