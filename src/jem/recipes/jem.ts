import type { Recipe } from './recipe.ts'

/** The defaults of the released code. Its README trains with `--warmup_iters 1000` besides. */
export const jem: Recipe = {
  title: '20 steps of SGLD from a replay buffer, no norm, Adam, as released (Grathwohl et al., ICLR 2020)',
  source: 'wgrathwohl/JEM @3d01161, train_wrn_ebm.py',
  settings: {},
}
