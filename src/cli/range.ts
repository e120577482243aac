import { ConfigError } from '../errors.ts'

/** Bounds of a number: `min` and `max` belong to the range, `above` and `below` do not. */
export interface Range {
  min?: number
  above?: number
  max?: number
  below?: number
}

/** "a whole number >= 0", "a number >= 0 and < 1", "a number". */
export function describeRange(what: string, { min, above, max, below }: Range): string {
  const bounds = [
    min === undefined ? '' : `>= ${min}`,
    above === undefined ? '' : `> ${above}`,
    max === undefined ? '' : `<= ${max}`,
    below === undefined ? '' : `< ${below}`,
  ].filter((text) => text !== '')
  return [what, bounds.join(' and ')].filter((text) => text !== '').join(' ')
}

export function inRange(value: number, { min, above, max, below }: Range): boolean {
  return (
    (min === undefined || value >= min) &&
    (above === undefined || value > above) &&
    (max === undefined || value <= max) &&
    (below === undefined || value < below)
  )
}

/** The number that decimal text spells, or the text itself: a wrong value is shown as it was typed. */
export function numberOrText(text: string): number | string {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : text
}

/** A commander parser for a whole-number flag. Throws ConfigError. */
export function wholeFlag(flag: string, range: Range = { min: 0 }): (text: string) => number {
  return numberParser(flag, describeRange('a whole number', range), (n) => Number.isSafeInteger(n) && inRange(n, range))
}

/** A commander parser for a number flag. Throws ConfigError. */
export function numberFlag(flag: string, range: Range = {}): (text: string) => number {
  return numberParser(flag, describeRange('a number', range), (n) => Number.isFinite(n) && inRange(n, range))
}

function numberParser(flag: string, expected: string, accepts: (n: number) => boolean): (text: string) => number {
  return (text) => {
    const value = numberOrText(text)
    if (typeof value === 'number' && accepts(value)) return value
    throw new ConfigError(`${flag} must be ${expected}, got ${show(text)}`)
  }
}

/** A commander parser for a flag with a few allowed words. Throws ConfigError. */
export function choiceFlag<Choice extends string>(flag: string, choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    if ((choices as readonly string[]).includes(text)) return text as Choice
    throw new ConfigError(`${flag} must be one of ${choices.join(', ')}, got ${show(text)}`)
  }
}

/** A value as an error message shows it: JSON, cut to 60 characters. */
export function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
