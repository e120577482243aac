import type { Recipe } from './recipe.ts'

/** `train_maebm.py` with the arguments of scripts/majem_cifar10.sh (the README's command has noise 0 instead of 0.001);
 *  what those leave out is the script's default. Its limit on |loss| is 1e5, here 1e8 as of JEM. */
export const mJem: Recipe = {
  title: 'a scalar energy head, regularised, beside the classifier (Yang & Ji, PAKDD 2023)',
  source: 'sndnyang/mebm @e3d2d34, scripts/majem_cifar10.sh, train_maebm.py and utils.py',
  settings: {
    unconditional: true,
    energyL2: 0.5,
    energyL2Of: 'batch', // l2_coeff·(fp² + fq²) of the means fp and fq
    norm: 'batch',
    samplingMode: 'train',
    sigma: 0,
    augmentPx: false,
    sgldSteps: 5,
    noiseStd: 0.001,
    gradientClip: 1,
    clampSamples: true,
    chainStart: 'gaussian', // one_center.py
    optimizer: 'sgd', // momentum 0.9
    lr: 0.1,
    weightDecay: 5e-4,
    warmupSteps: 1000,
    labelledBatch: 128,
    epochOf: 'labelled',
    decayEpochs: [60, 120, 180],
    decayRate: 0.2,
    validationSize: 0,
  },
}
