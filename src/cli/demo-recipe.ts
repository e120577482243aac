import { defaultConfig, type JemConfig } from '../jem/config.ts'

/** How long the recipe below was made for. */
export const recipeMinutes = 8

/**
 * What `langevin demo` trains: WRN-10-1 on 10,000 digits, in minutes on two cores. It differs from the released
 * defaults where that schedule (hours on a GPU) leaves no time:
 *
 * - He initialisation and a learning rate of 2e-3: the narrow net without norm learns slowly from the released start.
 * - The classifier learns alone first (`pxStart`). Then p(x) joins with weight 0.3: at 1 its gradient drowns the
 *   cross-entropy in so short a run.
 * - Negatives are drawn given a class, and the buffer is small, so that each of its chains is visited often.
 * - sigma 0.1: the released help calls it the more stable value.
 * - Cosine schedule and an average of the weights: what is judged and sampled has settled.
 */
export const demoRecipe: Readonly<JemConfig> = Object.freeze({
  ...defaultConfig,
  model: 'wrn-10-1',
  init: 'he',
  lr: 2e-3,
  warmupSteps: 20,
  schedule: 'cosine',
  ema: 0.99,
  pxStart: 120,
  pxWeight: 0.3,
  classConditional: true,
  bufferSize: 500,
  sigma: 0.1,
  sgldSteps: 15,
  labelledBatch: 128,
  cropPadding: 2,
  steps: 600,
  validationSize: 0,
  checkpointEvery: 100,
  logEvery: 1,
})
