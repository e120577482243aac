import type { JemConfig } from '../jem/config.ts'
import { recipeNames } from '../jem/recipes/index.ts'
import type { Range } from './range.ts'

/** How a setting is named, explained, given and checked. The flag is the key in kebab case. */
export type Setting = {
  group: string
  help: string
  unit?: string
  /** Names in the released code (`train_wrn_ebm.py`), to point its users to ours. */
  released?: readonly string[]
} & (
  | ({ kind: 'whole' | 'number' | 'wholeList' } & Range)
  | { kind: 'choice'; choices: readonly string[] }
  | { kind: 'switch' | 'model' }
)

const recipe = 'Recipe'
const model = 'Model'
const loss = 'Loss'
const sampler = 'Sampler (SGLD)'
const optimiser = 'Optimiser'
const data = 'Data and length'
const run = 'Run'

/** Every hyperparameter once: `langevin train --help`, its flags, and the schema of a --config file come from here. */
export const settings: { readonly [Key in keyof JemConfig]: Setting } = {
  recipe: {
    group: recipe,
    kind: 'choice',
    choices: recipeNames,
    help: 'where the settings start from; the flags below change them one by one',
  },
  model: {
    group: model,
    kind: 'model',
    help: 'WideResNet wrn-<depth>-<width>; depth = 6n + 4: 10, 16, 22, 28, ...',
    released: ['depth', 'width'],
  },
  norm: {
    group: model,
    kind: 'choice',
    choices: ['none', 'batch', 'instance', 'layer', 'act'],
    help: 'normalisation layers',
  },
  init: {
    group: model,
    kind: 'choice',
    choices: ['released', 'he'],
    help: 'initial weights: "released" = U(±1/√fan-in), as the paper\'s code runs with; "he" = normal, zero biases',
  },
  dropout: {
    group: model,
    kind: 'number',
    min: 0,
    below: 1,
    unit: 'probability',
    help: 'drop activations between the two convolutions of a block',
    released: ['dropout_rate'],
  },
  unconditional: {
    group: model,
    kind: 'switch',
    help: 'separate scalar head for f(x), instead of logsumexp of the logits',
    released: ['uncond'],
  },
  pxWeight: { group: loss, kind: 'number', min: 0, help: 'weight of the p(x) term', released: ['p_x_weight'] },
  pxStart: {
    group: loss,
    kind: 'whole',
    min: 0,
    unit: 'iterations',
    help: 'before the p(x) term joins, while the classifier alone learns',
  },
  pxRamp: {
    group: loss,
    kind: 'whole',
    min: 0,
    unit: 'iterations',
    help: 'over which the weight of the p(x) term then rises from 0; 0: at once',
  },
  pyxWeight: {
    group: loss,
    kind: 'number',
    min: 0,
    help: 'weight of the p(y|x) term, cross-entropy',
    released: ['p_y_given_x_weight'],
  },
  pxyWeight: { group: loss, kind: 'number', min: 0, help: 'weight of the p(x,y) term', released: ['p_x_y_weight'] },
  classConditional: {
    group: loss,
    kind: 'switch',
    help: "draw the p(x) term's samples given a uniformly drawn class",
    released: ['class_cond_p_x_sample'],
  },
  energyL2: {
    group: loss,
    kind: 'number',
    min: 0,
    help: 'weight of the energy regulariser: f² of data and of samples',
    released: ['l2_coeff'],
  },
  energyL2Of: {
    group: loss,
    kind: 'choice',
    choices: ['images', 'batch'],
    help: 'what it squares: f of each image, or the mean of f over the batch (as M-JEM)',
  },
  sigma: {
    group: sampler,
    kind: 'number',
    min: 0,
    unit: 'on images in [-1, 1]',
    help: 'standard deviation of the noise added to the data',
  },
  sgldSteps: {
    group: sampler,
    kind: 'whole',
    min: 0,
    unit: 'steps per iteration',
    help: 'Langevin steps',
    released: ['n_steps'],
  },
  stepSize: {
    group: sampler,
    kind: 'number',
    min: 0,
    help: 'multiplies the gradient as it is: x += stepSize·∂f/∂x + noiseStd·n',
    released: ['sgld_lr'],
  },
  noiseStd: {
    group: sampler,
    kind: 'number',
    min: 0,
    help: 'standard deviation of the noise of a step',
    released: ['sgld_std'],
  },
  langevinTemperature: {
    group: sampler,
    kind: 'number',
    min: 0,
    help: 'proper Langevin scaling: noise √(2·stepSize·T), so that chains have density exp(f/T); 0: --noise-std',
  },
  innerSteps: {
    group: sampler,
    kind: 'whole',
    min: 1,
    help: "updates per gradient (N of JEM++'s PYLD); 1: SGLD",
    released: ['in_steps'],
  },
  gradientClip: { group: sampler, kind: 'number', min: 0, help: 'clip each element of ∂f/∂x to ± this; 0: no clip' },
  clampSamples: { group: sampler, kind: 'switch', help: 'clamp samples to [-1, 1] after each step' },
  samplingMode: {
    group: sampler,
    kind: 'choice',
    choices: ['eval', 'train'],
    help: 'mode of the norms while sampling: eval (as released) or train (batch statistics, as JEM++)',
  },
  bufferSize: {
    group: sampler,
    kind: 'whole',
    min: 0,
    unit: 'images',
    help: 'replay buffer; a multiple of the number of classes',
    released: ['buffer_size'],
  },
  reinitProbability: {
    group: sampler,
    kind: 'number',
    min: 0,
    max: 1,
    unit: 'probability',
    help: 'start a chain afresh instead of from the buffer',
    released: ['reinit_freq'],
  },
  chainStart: {
    group: sampler,
    kind: 'choice',
    choices: ['uniform', 'gaussian', 'class-gaussians'],
    help: 'where buffer and fresh chains start: U(-1, 1), or Gaussians fitted to all training images or to each class',
    released: ['init'],
  },
  batch: {
    group: optimiser,
    kind: 'whole',
    min: 1,
    unit: 'images',
    help: 'batch of each term',
    released: ['batch_size'],
  },
  labelledBatch: {
    group: optimiser,
    kind: 'whole',
    min: 0,
    unit: 'images',
    help: 'batch of the cross-entropy term; 0: as --batch',
  },
  optimizer: { group: optimiser, kind: 'choice', choices: ['adam', 'sgd'], help: 'update rule' },
  lr: { group: optimiser, kind: 'number', min: 0, help: 'learning rate' },
  momentum: { group: optimiser, kind: 'number', min: 0, below: 1, help: "Adam's β₁, or SGD's momentum" },
  weightDecay: { group: optimiser, kind: 'number', min: 0, help: 'L2 weight decay', released: ['weight_decay'] },
  warmupSteps: {
    group: optimiser,
    kind: 'whole',
    min: -1,
    unit: 'iterations',
    help: 'the learning rate rises linearly from 0; -1: no warm-up',
    released: ['warmup_iters'],
  },
  decayEpochs: {
    group: optimiser,
    kind: 'wholeList',
    min: 0,
    unit: 'epochs',
    help: 'multiply the learning rate by --decay-rate at the start of these; "none": never',
    released: ['decay_epochs'],
  },
  decayRate: { group: optimiser, kind: 'number', above: 0, help: 'factor of a decay', released: ['decay_rate'] },
  schedule: {
    group: optimiser,
    kind: 'choice',
    choices: ['step', 'cosine'],
    help: 'step: --decay-epochs; cosine: to 0 over the run',
  },
  samRho: {
    group: optimiser,
    kind: 'number',
    min: 0,
    help: 'ρ of sharpness-aware minimisation; 0: none',
    released: ['rho'],
  },
  samAdaptive: { group: optimiser, kind: 'switch', help: 'adaptive SAM: neighbourhoods scale with the weights' },
  gradientNormClip: {
    group: optimiser,
    kind: 'number',
    min: 0,
    help: "clip the L2 norm of the parameters' gradient; 0: no clip",
  },
  ema: {
    group: optimiser,
    kind: 'number',
    min: 0,
    below: 1,
    unit: 'per iteration',
    help: 'decay of the averaged weights that are judged and sampled; 0: no average',
  },
  epochs: { group: data, kind: 'whole', min: 1, unit: 'epochs', help: 'length of the run', released: ['n_epochs'] },
  epochOf: {
    group: data,
    kind: 'choice',
    choices: ['px', 'labelled'],
    help: "whose pass over its images is an epoch: the p(x) term's or the cross-entropy's",
  },
  steps: { group: data, kind: 'whole', min: 0, unit: 'iterations', help: 'length of the run; 0: by --epochs' },
  validationSize: {
    group: data,
    kind: 'whole',
    min: 0,
    unit: 'images',
    help: 'held out of the training part',
    released: ['n_valid'],
  },
  labelsPerClass: {
    group: data,
    kind: 'whole',
    min: -1,
    unit: 'images',
    help: 'labels kept of each class; -1: all',
    released: ['labels_per_class'],
  },
  cropPadding: {
    group: data,
    kind: 'whole',
    min: 0,
    unit: 'pixels',
    help: 'reflect-pad by this much, then crop at random; 0: no crop',
  },
  flip: { group: data, kind: 'choice', choices: ['auto', 'on', 'off'], help: 'mirror at random; auto: not for digits' },
  augmentPx: { group: data, kind: 'switch', help: 'crop and mirror the images of the p(x) term too' },
  seed: { group: run, kind: 'whole', min: 0, help: 'of every random number of the run' },
  precision: {
    group: run,
    kind: 'choice',
    choices: ['fp32', 'strict', 'tf32', 'bf16'],
    help: 'of the products of the training step; strict: fp32 without Winograd; tf32 needs a GPU, and is fp32 elsewhere',
  },
  samplerPrecision: {
    group: run,
    kind: 'choice',
    choices: ['fp32', 'strict', 'tf32', 'bf16'],
    help: 'of the products of the sampler',
  },
  device: {
    group: run,
    kind: 'choice',
    choices: ['auto', 'cpu', 'cuda'],
    help: 'where to compute; auto: cuda if there',
  },
  threads: { group: run, kind: 'whole', min: 0, unit: 'threads', help: 'of the CPU device; 0: one a core' },
  checkpointEvery: {
    group: run,
    kind: 'whole',
    min: 0,
    unit: 'iterations',
    help: 'between checkpoints; 0: once an epoch',
    released: ['ckpt_every'],
  },
  evalEvery: {
    group: run,
    kind: 'whole',
    min: 0,
    unit: 'iterations',
    help: 'between evaluations on the validation part; 0: once an epoch',
    released: ['eval_every'],
  },
  sampleEvery: {
    group: run,
    kind: 'whole',
    min: 0,
    unit: 'iterations',
    help: 'between sample pictures; 0: none',
    released: ['plot_uncond', 'plot_cond'],
  },
  logEvery: {
    group: run,
    kind: 'whole',
    min: 1,
    unit: 'iterations',
    help: 'between lines of metrics.jsonl',
    released: ['print_every'],
  },
  maxRollbacks: {
    group: run,
    kind: 'whole',
    min: 0,
    unit: 'times',
    help: 'on divergence, go back to the last good checkpoint before giving up',
  },
  rollbackLrFactor: {
    group: run,
    kind: 'number',
    above: 0,
    max: 1,
    help: 'multiplies the learning rate at each roll-back',
  },
}

/** `sgldSteps` → `--sgld-steps`. */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** The setting that the released code calls `name` (`n_steps`, `--n_steps`), if any. */
export function settingOfReleasedName(name: string): keyof JemConfig | undefined {
  const plain = name.replace(/^--?/, '').replaceAll('-', '_')
  for (const [key, { released }] of Object.entries(settings)) {
    if (released?.includes(plain)) return key as keyof JemConfig
  }
  return undefined
}
