import type { Recipe } from './recipe.ts'

/** `train_sadajem.py` with the command of its README; what that leaves out is the script's default. Its limit on |loss| is
 *  1e5, here 1e8 as of JEM. */
export const sadaJem: Recipe = {
  title: 'sharpness-aware minimisation, no augmentation for p(x), 5 steps (Yang et al., CVPR 2023)',
  source: 'sndnyang/SADAJEM @9d8f3c7, readme.md, train_sadajem.py, sam.py and utils.py',
  settings: {
    norm: 'batch',
    samplingMode: 'train',
    sigma: 0,
    augmentPx: false,
    sgldSteps: 5,
    noiseStd: 0,
    gradientClip: 1,
    clampSamples: true,
    chainStart: 'class-gaussians',
    samRho: 2,
    samAdaptive: true, // where rho >= 0.5
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
