import { defaultConfig, type JemConfig } from '../jem/config.ts'

/** How long the recipe below was made for. */
export const recipeMinutes = 8

/**
 * What `langevin demo` trains: WRN-10-1 on 10,000 digits, in minutes on two cores. It differs from the released
 * defaults where that schedule (hours on a GPU) leaves no time:
 *
 * - He initialisation and a learning rate of 2e-3: the narrow net without norm learns slowly from the released start.
 * - The classifier learns alone first, then p(x) joins gradually, to a weight of 0.3: a classifier has never seen
 *   images of noise, and the first samples find energies so extreme that the full term at once undoes what was learnt.
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
  pxStart: 200,
  pxRamp: 150,
  pxWeight: 0.3,
  classConditional: true,
  bufferSize: 500,
  sigma: 0.1,
  sgldSteps: 15,
  labelledBatch: 192,
  cropPadding: 2,
  steps: 850,
  validationSize: 0,
  checkpointEvery: 100,
  logEvery: 1,
})
