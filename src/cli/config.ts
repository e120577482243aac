import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ConfigError, nearestName } from '../errors.ts'
import type { JemConfig } from '../jem/config.ts'
import { recipeConfig } from '../jem/recipes/index.ts'
import { type Setting, settingOfReleasedName, settings } from './options.ts'
import { describeRange, inRange, numberOrText, type Range, show } from './range.ts'

const keys = Object.keys(settings) as (keyof JemConfig)[]

/** The schema of a run's configuration, from the table of settings. Unknown keys are refused. */
export const configSchema = z.strictObject(
  Object.fromEntries(keys.map((key) => [key, schemaOf(key, settings[key])])),
) as unknown as z.ZodObject & z.ZodType<JemConfig>

const partialSchema = configSchema.partial()

export interface ResolvedConfig {
  config: JemConfig
  /** Only what flags and file gave: what a resumed run may not silently ignore. */
  given: Partial<JemConfig>
}

/** The configuration of a run: flags before file before the recipe that they name before the released defaults.
 *  `file.values` is parsed JSON; `flags` holds text (or true/false) by key, undefined where a flag was not given.
 *  Throws ConfigError that names the key, what was expected and what came. */
export function resolveConfig(
  flags: Readonly<Record<string, unknown>> = {},
  file?: { path: string; values: unknown },
): ResolvedConfig {
  const fromFile = file ? check(file.values, `in ${file.path}`) : {}
  const fromFlags = check(parseFlags(flags), undefined)
  if (fromFlags.steps !== undefined && fromFlags.epochs !== undefined) {
    throw new ConfigError(`--steps and --epochs exclude each other, got ${fromFlags.steps} and ${fromFlags.epochs}`)
  }
  // `steps` wins over `epochs` in a configuration; a flag wins over the file.
  if (fromFlags.epochs !== undefined && fromFile.steps) fromFile.steps = 0
  const given = { ...fromFile, ...fromFlags }
  const config = recipeConfig(given.recipe ?? 'jem', given)
  if (given.langevinTemperature && given.noiseStd !== undefined) {
    throw new ConfigError(
      'langevinTemperature and noiseStd exclude each other: the temperature says what the noise is',
      {
        hint: 'leave out --noise-std',
      },
    )
  }
  if (config.pxWeight === 0 && config.pyxWeight === 0 && config.pxyWeight === 0) {
    throw new ConfigError('pxWeight, pyxWeight and pxyWeight are all 0: there is nothing to train', {
      hint: 'give at least one of the three terms a weight above 0',
    })
  }
  return { config, given }
}

/** The parsed JSON of a --config file. Throws ConfigError where it cannot be read or is not JSON. */
export function readConfigFile(path: string): { path: string; values: unknown } {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigError(`--config: cannot read ${path} (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
  try {
    return { path, values: JSON.parse(text.replace(/^\uFEFF/, '')) }
  } catch (cause) {
    throw new ConfigError(`--config: ${path} is not valid JSON: ${(cause as Error).message}`, { cause })
  }
}

/** Settings checked one by one; absent ones stay absent. `source` goes into the error. Throws ConfigError. */
function check(values: unknown, source: string | undefined): Partial<JemConfig> {
  const where = source === undefined ? '' : ` ${source}`
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new ConfigError(`expected a JSON object of settings${where}, got ${show(values)}`)
  }
  const parsed = partialSchema.safeParse(values)
  if (parsed.success) return parsed.data as Partial<JemConfig>
  const messages = new Map<string, string>()
  let hint: string | undefined
  for (const issue of parsed.error.issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        messages.set(key, `unknown setting ${show(key)}`)
        hint ??= suggestion(key)
      }
    } else {
      const key = String(issue.path[0])
      if (!messages.has(key)) messages.set(key, issue.message)
      hint ??= valueSuggestion(key as keyof JemConfig, (values as Record<string, unknown>)[key])
    }
  }
  throw new ConfigError(`${[...messages.values()].join('; ')}${where}`, { hint })
}

function suggestion(key: string): string {
  const released = settingOfReleasedName(key)
  if (released) return `the released code's ${key} is ${released} here`
  const near = nearestName(key, keys)
  return near ? `did you mean ${near}?` : 'langevin train --help lists all settings'
}

function valueSuggestion(key: keyof JemConfig, value: unknown): string | undefined {
  const setting = settings[key]
  if (setting.kind === 'model') return modelSuggestion(value)
  const near = setting.kind === 'choice' ? nearestName(String(value), setting.choices) : undefined
  return near && `did you mean ${near}?`
}

/** Text of flags → values of the kind that the setting has; wrong text stays text, for the schema to refuse. */
function parseFlags(flags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(flags)) {
    if (value === undefined) continue
    const setting: Setting | undefined = settings[key as keyof JemConfig]
    values[key] = setting ? parseFlag(setting, value) : value
  }
  return values
}

function parseFlag(setting: Setting, value: unknown): unknown {
  if (setting.kind === 'wholeList') {
    const items = [value].flat().flatMap((text) => String(text).split(','))
    return items.length === 1 && items[0] === 'none' ? [] : items.map(numberOrText)
  }
  const isNumber = setting.kind === 'whole' || setting.kind === 'number'
  return isNumber && typeof value === 'string' ? numberOrText(value) : value
}

function schemaOf(key: string, setting: Setting): z.ZodType {
  const error = ({ input }: { input?: unknown }) => `${key} must be ${expectation(setting)}, got ${show(input)}`
  switch (setting.kind) {
    case 'whole':
      return bounded(z.int({ error }), setting, error)
    case 'number':
      return bounded(z.number({ error }), setting, error)
    case 'wholeList': {
      // The whole list goes into the message, not one item.
      const items = z.array(z.unknown(), { error })
      return items.refine((list) => list.every((n) => Number.isSafeInteger(n) && inRange(n as number, setting)), {
        error,
      })
    }
    case 'choice':
      return z.enum(setting.choices as [string, ...string[]], { error })
    case 'switch':
      return z.boolean({ error })
    case 'model':
      return z.string({ error }).refine(isModelName, { error })
  }
}

function bounded(schema: z.ZodNumber, range: Range, error: (issue: { input?: unknown }) => string): z.ZodNumber {
  const { min, above, max, below } = range
  let result = schema
  if (min !== undefined) result = result.min(min, { error })
  if (above !== undefined) result = result.gt(above, { error })
  if (max !== undefined) result = result.max(max, { error })
  if (below !== undefined) result = result.lt(below, { error })
  return result
}

function expectation(setting: Setting): string {
  switch (setting.kind) {
    case 'whole':
      return describeRange('a whole number', setting)
    case 'number':
      return describeRange('a number', setting)
    case 'wholeList':
      return describeRange('a list of whole numbers', setting)
    case 'choice':
      return `one of ${setting.choices.join(', ')}`
    case 'switch':
      return 'true or false'
    case 'model':
      return 'wrn-<depth>-<width> with depth = 6n + 4 (10, 16, 22, 28, ...)'
  }
}

/** wide_resnet asserts (depth − 4) % 6 == 0 (`wideresnet.py`); each of the three stages has n = (depth − 4)/6 blocks. */
export function isModelName(name: string): boolean {
  const match = /^wrn-([1-9]\d*)-([1-9]\d*)$/.exec(name)
  return match !== null && Number(match[1]) >= 10 && (Number(match[1]) - 4) % 6 === 0
}

/** Throws ConfigError that names `flag` unless `name` is a model's name. */
export function checkModelName(flag: string, name: string): void {
  if (isModelName(name)) return
  const expected = expectation(settings.model)
  throw new ConfigError(`${flag} must be ${expected}, got ${show(name)}`, { hint: modelSuggestion(name) })
}

function modelSuggestion(name: unknown): string | undefined {
  const match = /(\d+)\D+(\d+)/.exec(String(name))
  if (!match) return 'for example wrn-28-10, the released model, or wrn-10-1, the smallest'
  const depth = Math.max(10, Math.round((Number(match[1]) - 4) / 6) * 6 + 4)
  return `did you mean wrn-${depth}-${Math.max(1, Number(match[2]))}?`
}
