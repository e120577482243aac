// The settings of the evidence runs: what bench/evidence.mjs trains with, and bench/recipes.mjs --evidence times.

/** What all runs share, instead of a network and a schedule that take days on a GPU. */
export const shared = {
  model: 'wrn-10-1',
  steps: 600,
  schedule: 'cosine',
  warmupSteps: 20,
  labelledBatch: 128,
  cropPadding: 2,
  validationSize: 1000, // for the temperature
  checkpointEvery: 100,
  evalEvery: 200,
  ema: 0.99,
}

/** A network this narrow without norms learns slowly from the released start and learning rate. */
const withoutNorm = { init: 'he', lr: 2e-3, sigma: 0.1 }

/** What each recipe needs besides, at this scale. The baseline is the first: the others are judged beside it. */
export const recipes = {
  classifier: withoutNorm,
  // As the demo (src/cli/demo-recipe.ts): the classifier first, then p(x) gradually; 0.1 is the noise that the released
  // help calls more stable; a small buffer, whose chains are visited often.
  jem: {
    ...withoutNorm,
    ...{ pxStart: 150, pxRamp: 150, pxWeight: 0.3, classConditional: true, bufferSize: 500, sgldSteps: 15 },
  },
  'jem++': { warmupSteps: 50, bufferSize: 500 },
  'sada-jem': { warmupSteps: 50, bufferSize: 500 },
}

/** On clothes, f drifts away from JEM: f(data) was 20 after 480 iterations, 158 after 520, and the classifier was lost with
 *  it; with 20 steps of SGLD it had drifted to 12 by then. The regulariser of Du & Mordatch (2019) keeps it near 0. */
export const ofData = { 'fashion-mnist': { jem: { energyL2: 0.01 } } }

export const settingsOf = (recipe, data) => ({ ...shared, ...recipes[recipe], ...ofData[data]?.[recipe] })

/** Steps of the long chains: an outer step of JEM++ is five inner ones besides, and costs as much. */
export const chainSteps = (recipe) => (recipe === 'jem++' ? 2000 : 10_000)
