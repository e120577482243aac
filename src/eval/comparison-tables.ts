import type { Comparison, RunGroup, Statistic } from './compare.ts'
import { duration, percent } from './format.ts'
import type { NamedNumber, ResultTable } from './suites/suite.ts'

/** A comparison in words: the runs and what they cost, then every number, a column a group. */
export function comparisonTables({ groups }: Comparison): ResultTable[] {
  const names = [...new Set(groups.flatMap(({ numbers }) => Object.keys(numbers)))]
  const runs: ResultTable = {
    caption: 'Runs; mean ± sample standard deviation over seeds',
    head: ['group', 'seeds', 'rolled back', 'gave up', 'unfinished', 'time per iteration', 'time per epoch'],
    rows: groups.map((group) => [
      group.name,
      group.seeds.join(' '),
      rolledBack(group),
      `${group.divergence.gaveUp} of ${group.runs.length}`,
      `${group.unfinished} of ${group.runs.length}`,
      spread(group.secondsPerIteration, time),
      spread(group.secondsPerEpoch, time),
    ]),
  }
  if (names.length === 0) return [runs]
  const numbers: ResultTable = {
    caption: 'Results; mean ± sample standard deviation over the runs of each group',
    head: ['', ...groups.map(({ name }) => name)],
    rows: names.map((name) => [name, ...groups.map((group) => number(group.numbers[name]))]),
  }
  return [runs, numbers]
}

function rolledBack({ divergence, runs }: RunGroup): string {
  const { rolledBack, rollbacks } = divergence
  const times = rollbacks > 0 ? `, ${rollbacks} ${rollbacks === 1 ? 'time' : 'times'}` : ''
  return `${rolledBack} of ${runs.length}${times}`
}

function number(statistic: (Statistic & Pick<NamedNumber, 'unit'>) | undefined): string {
  if (!statistic) return '–'
  const { mean, std, unit } = statistic
  if (unit !== 'percent') return spread(statistic, (value) => value.toFixed(4))
  return std === null ? percent(mean) : `${(100 * mean).toFixed(2)} ± ${percent(std)}`
}

function spread(statistic: Statistic | null, text: (value: number) => string): string {
  if (!statistic) return '–'
  const { mean, std } = statistic
  return std === null ? text(mean) : `${text(mean)} ± ${std === 0 ? '0' : text(std)}`
}

/** "4.20 ms", "512 ms", "3.40 s", "6 min 30 s": three digits at least. */
function time(seconds: number): string {
  if (seconds >= 60) return duration(seconds)
  const [value, unit] = seconds < 1 ? [1000 * seconds, 'ms'] : [seconds, 's']
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`
}
