import type { Device } from '../native/contract.ts'
import type { Precision } from '../ops/precision.ts'

/** Every hyperparameter of a training run. Defaults are those of the released code (wgrathwohl/JEM @3d01161,
 *  `train_wrn_ebm.py`), whose own name stands in brackets where it differs. */
export interface JemConfig {
  /** Name of the recipe that the other settings started from (`jem/recipes`): a label, which changes nothing itself. */
  recipe: string

  /** Model, `wrn-<depth>-<width>`; depth = 6n + 4. [--depth 28 --width 10] */
  model: string
  /** Normalisation layers of the WideResNet. [--norm] */
  norm: 'none' | 'batch' | 'instance' | 'layer' | 'act'
  /** Weight initialisation: `released` = U(±1/√fanIn) for weights and biases, PyTorch's default, which the released
   *  code runs with; `he` = N(0, 2/((1+slope²)·fanIn)) with zero biases. */
  init: 'released' | 'he'
  /** Probability of dropping an activation between the two convolutions of a block. [--dropout_rate] */
  dropout: number
  /** Separate scalar energy head f(x); off: f(x) = logsumexp of the class logits. [--uncond] */
  unconditional: boolean

  /** Weight of the p(x) term: mean f(x_q) − mean f(x_p). [--p_x_weight] */
  pxWeight: number
  /** Iterations before the p(x) term joins, while the classifier alone learns; 0: none, as released. */
  pxStart: number
  /** Iterations over which the weights of the p(x) term and its regulariser then rise linearly to `pxWeight` and
   *  `energyL2`; 0: at once, as released. */
  pxRamp: number
  /** Weight of the p(y|x) term: cross-entropy. [--p_y_given_x_weight] */
  pyxWeight: number
  /** Weight of the p(x,y) term: mean f(x_q)[y] − mean f(x)[y], x_q sampled given the batch's labels. [--p_x_y_weight] */
  pxyWeight: number
  /** Draw the negatives of the p(x) term given a uniformly drawn class. [--class_cond_p_x_sample] */
  classConditional: boolean
  /** Weight of the energy regulariser, which keeps f near 0 on data and samples. Not in the released code: 0 there. */
  energyL2: number
  /** What it squares: `images`, mean f(x_p)² + mean f(x_q)² (IGEBM); `batch`, (mean f(x_p))² + (mean f(x_q))², as the
   *  released code of M-JEM. */
  energyL2Of: 'images' | 'batch'

  /** Standard deviation of the Gaussian noise added to images in [-1, 1]. */
  sigma: number
  /** Langevin steps per iteration. [--n_steps] */
  sgldSteps: number
  /** x ← x + stepSize·∂f/∂x + noiseStd·n: multiplies the gradient as it is. [--sgld_lr] */
  stepSize: number
  /** Standard deviation of SGLD's noise. [--sgld_std] */
  noiseStd: number
  /** T > 0: proper Langevin scaling. The noise is then √(2·stepSize·T) instead of `noiseStd`, so that long chains of small
   *  steps have the density exp(f/T). A paper's x ← x + α/2·∂f/∂x + √α·n is stepSize α/2 and T = 1; the released step 1
   *  with noise 0.01 is T = 5e-5. 0: `noiseStd` holds. */
  langevinTemperature: number
  /** Updates with the gradient of one Langevin step: PYLD's N of JEM++, see `sgld`. 1: SGLD. [JEM++ --in_steps] */
  innerSteps: number
  /** Clip each element of ∂f/∂x to ±this before the step; 0: no clip. JEM++; not in the released code. */
  gradientClip: number
  /** Clamp samples to [-1, 1] after each step. JEM++; not in the released code. */
  clampSamples: boolean
  /** Mode of the norms while sampling: `eval`, as released; `train`, batch statistics, as JEM++. */
  samplingMode: 'eval' | 'train'
  /** Samples kept in the replay buffer. [--buffer_size] */
  bufferSize: number
  /** Probability that a chain starts afresh instead of from the buffer. [--reinit_freq] */
  reinitProbability: number
  /** Where the buffer and fresh chains start: `uniform`, U(-1, 1), as released; `class-gaussians`, a Gaussian fitted to
   *  the training images of each class (JEM++'s informative initialisation); `gaussian`, one fitted to all (M-JEM). */
  chainStart: 'uniform' | 'gaussian' | 'class-gaussians'

  /** Images per term and iteration. [--batch_size] */
  batch: number
  /** Images of the cross-entropy term per iteration; 0: as `batch`, which is what the released code does. */
  labelledBatch: number
  optimizer: 'adam' | 'sgd'
  /** Learning rate. [--lr] */
  lr: number
  /** Adam's β₁ (released: 0.9) or SGD's momentum (released: 0.9). */
  momentum: number
  weightDecay: number
  /** Iterations over which lr rises linearly from 0; -1: none. [--warmup_iters] */
  warmupSteps: number
  /** Epochs at whose start lr is multiplied by `decayRate`. */
  decayEpochs: number[]
  decayRate: number
  /** `step`: the released schedule; `cosine`: falls to 0 over the whole run after the warm-up. */
  schedule: 'step' | 'cosine'
  /** ρ of sharpness-aware minimisation (optim/sam.ts), which doubles the cost of the loss; 0: none, as released. */
  samRho: number
  /** Adaptive SAM: the neighbourhood of each weight scales with the weight. */
  samAdaptive: boolean
  /** Clip the global L2 norm of the parameters' gradient; 0: none, as released. */
  gradientNormClip: number
  /** Decay of the exponential moving average of the weights that is judged and sampled; 0: none, as released. */
  ema: number

  /** Length of the run in epochs; ignored where `steps` > 0. [--n_epochs] */
  epochs: number
  /** Whose pass over its images is an epoch: `px`, the p(x) term's, as released; `labelled`, the cross-entropy's. */
  epochOf: 'px' | 'labelled'
  /** Length of the run in iterations; 0: use `epochs`. */
  steps: number
  /** Images held out for validation. [--n_valid] */
  validationSize: number
  /** Keep this many labels of each class for the cross-entropy term; -1: all. [--labels_per_class] */
  labelsPerClass: number
  /** Reflect-pad by this many pixels and crop at random. The released code uses 4. */
  cropPadding: number
  /** Mirror images at random; `auto`: not for digits (mnist, svhn), as released. */
  flip: 'auto' | 'on' | 'off'
  /** Whether images of the p(x) term are cropped and mirrored too, as released; SADA-JEM: only the labelled ones. */
  augmentPx: boolean

  seed: number
  /** How products of the training step compute: `fp32`, `strict`, `tf32` or `bf16` (ops/precision.ts). */
  precision: Precision
  /** The same of the sampler. */
  samplerPrecision: Precision
  device: Device | 'auto'
  /** Threads of the CPU device; 0: one per core. */
  threads: number
  /** Iterations between checkpoints. The released code: once an epoch. 0: once an epoch. */
  checkpointEvery: number
  /** Iterations between evaluations on the validation part; 0: once an epoch. [--eval_every 1 epoch] */
  evalEvery: number
  /** Iterations between sample pictures; 0: none. [--print_every with --plot_uncond] */
  sampleEvery: number
  /** Iterations between lines in metrics.jsonl. [--print_every 100] */
  logEvery: number

  /** On divergence: times to roll back to the last good checkpoint before giving up. */
  maxRollbacks: number
  /** On divergence: multiply lr by this at each roll-back. */
  rollbackLrFactor: number
}

/** The released code's defaults. */
export const defaultConfig: Readonly<JemConfig> = Object.freeze({
  recipe: 'jem',
  model: 'wrn-28-10',
  norm: 'none',
  init: 'released',
  dropout: 0,
  unconditional: false,
  pxWeight: 1,
  pxStart: 0,
  pxRamp: 0,
  pyxWeight: 1,
  pxyWeight: 0,
  classConditional: false,
  energyL2: 0,
  energyL2Of: 'images',
  sigma: 0.03,
  sgldSteps: 20,
  stepSize: 1,
  noiseStd: 0.01,
  langevinTemperature: 0,
  innerSteps: 1,
  gradientClip: 0,
  clampSamples: false,
  samplingMode: 'eval',
  bufferSize: 10000,
  reinitProbability: 0.05,
  chainStart: 'uniform',
  batch: 64,
  labelledBatch: 0,
  optimizer: 'adam',
  lr: 1e-4,
  momentum: 0.9,
  weightDecay: 0,
  warmupSteps: -1,
  decayEpochs: [160, 180],
  decayRate: 0.3,
  schedule: 'step',
  samRho: 0,
  samAdaptive: false,
  gradientNormClip: 0,
  ema: 0,
  epochs: 200,
  epochOf: 'px',
  steps: 0,
  validationSize: 5000,
  labelsPerClass: -1,
  cropPadding: 4,
  flip: 'auto',
  augmentPx: true,
  seed: 1,
  precision: 'fp32',
  samplerPrecision: 'fp32',
  device: 'auto',
  threads: 0,
  checkpointEvery: 0,
  evalEvery: 0,
  sampleEvery: 0,
  logEvery: 1,
  maxRollbacks: 3,
  rollbackLrFactor: 0.5,
})
