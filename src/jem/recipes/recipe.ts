import type { JemConfig } from '../config.ts'

/** A published way to train a joint energy-based model, as its difference from the released code of JEM. */
export interface Recipe {
  /** The method in one line, with its paper. */
  title: string
  /** The code, at which commit, that the constants below were read in. */
  source: string
  /** Every setting that differs from `defaultConfig`, and nothing else. */
  settings: Readonly<Partial<JemConfig>>
}
