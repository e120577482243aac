import type { Recipe } from './recipe.ts'

/** What every table shows beside JEM: the same network, data, noise and optimizer with the cross-entropy alone. Nothing
 *  is sampled, and no buffer is kept. logsumexp of its logits is then the energy score of Liu et al. (2020). */
export const classifier: Recipe = {
  title: 'JEM without its p(x) term: the plain classifier, the baseline',
  source: 'wgrathwohl/JEM @3d01161, train_wrn_ebm.py --p_x_weight 0',
  settings: { pxWeight: 0, sgldSteps: 0, bufferSize: 0 },
}
