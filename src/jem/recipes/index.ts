import { ConfigError, nearestName } from '../../errors.ts'
import { defaultConfig, type JemConfig } from '../config.ts'
import { classifier } from './classifier.ts'
import { jem } from './jem.ts'
import { jempp } from './jempp.ts'
import { mJem } from './m-jem.ts'
import type { Recipe } from './recipe.ts'
import { sadaJem } from './sada-jem.ts'

/** Every recipe by the name that users give. Flags, help, checks, benches and tests take them from here. */
export const recipes: Readonly<Record<string, Recipe>> = Object.freeze({
  jem,
  'jem++': jempp,
  'sada-jem': sadaJem,
  'm-jem': mJem,
  classifier,
})

export const recipeNames: readonly string[] = Object.keys(recipes)

/** A whole configuration: `settings` before the recipe's before the released defaults. Throws ConfigError where there is
 *  no such recipe. */
export function recipeConfig(name: string, settings: Partial<JemConfig> = {}): JemConfig {
  if (!Object.hasOwn(recipes, name)) {
    const near = nearestName(name, recipeNames)
    throw new ConfigError(`recipe must be one of ${recipeNames.join(', ')}, got ${JSON.stringify(name)}`, {
      hint: near && `did you mean ${near}?`,
    })
  }
  const config = { ...defaultConfig, ...recipes[name].settings, ...settings, recipe: name }
  return { ...config, decayEpochs: [...config.decayEpochs] }
}
