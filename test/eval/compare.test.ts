import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { compareRuns, type RunRecord, statistic } from '../../src/eval/compare.ts'
import { comparisonTables } from '../../src/eval/comparison-tables.ts'
import type { Evaluation } from '../../src/eval/evaluation.ts'
import type { MeasuredOn, NamedNumber } from '../../src/eval/suites/suite.ts'
import { openEventFile, readEventTimes } from '../../src/io/tensorboard.ts'
import { defaultConfig, type JemConfig } from '../../src/jem/config.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'

function evaluation(accuracy: number, on: Partial<MeasuredOn> = {}): Evaluation {
  const measured: MeasuredOn = { data: 'mnist', split: 'test', images: 2000, sigma: 0.1, seed: 1, ...on }
  const numbers: NamedNumber[] = [{ name: 'accuracy', value: accuracy, unit: 'percent', on: measured }]
  return {
    version: 1,
    run: { recipe: 'jem', model: 'wrn-10-1', data: 'mnist', step: 100, weights: 'trained', seed: 1 },
    baselines: {},
    judgedAt: '',
    suites: { accuracy: {} },
    numbers: { accuracy: numbers },
    pictures: {},
  }
}

function record(folder: string, config: Partial<JemConfig>, more: Partial<RunRecord> = {}): RunRecord {
  const data = { source: 'mnist', name: 'mnist', height: 28, width: 28, channels: 1, classes: 10, classNames: [] }
  return {
    folder,
    config: { ...defaultConfig, ...config },
    data: { ...data, count: 100, crc32: 'abc' },
    step: 100,
    totalSteps: 100,
    rollbacks: 0,
    gaveUp: false,
    secondsPerIteration: 0.5,
    secondsPerEpoch: 50,
    evaluation: null,
    ...more,
  }
}

describe('comparing runs', () => {
  it('mean and standard deviation are those of a sample', () => {
    // 2, 4, 4, 4, 5, 5, 7, 9: mean 5, Σ(x − 5)² = 32.
    expect(statistic([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ mean: 5, std: Math.sqrt(32 / 7), n: 8 })
    expect(statistic([3])).toEqual({ mean: 3, std: null, n: 1 })
    expect(statistic([])).toBeNull()
  })

  it('groups what differs in its seed alone, and names groups by what else differs', () => {
    const { groups } = compareRuns([
      record('a', { seed: 1 }),
      record('b', { seed: 1, sgldSteps: 10 }),
      record('c', { seed: 2, threads: 1, logEvery: 7 }),
      record('d', { recipe: 'classifier', pxWeight: 0 }),
    ])
    expect(groups.map(({ name, runs }) => [name, runs])).toEqual([
      ['jem, mnist, sgldSteps 20', ['a', 'c']],
      ['jem, mnist, sgldSteps 10', ['b']],
      ['classifier, mnist', ['d']],
    ])
    expect(groups[0].seeds).toEqual([1, 2])
  })

  it('runs on other images of the same name are another group', () => {
    const other = record('b', { seed: 2 })
    expect(compareRuns([record('a', {}), { ...other, data: { ...other.data, crc32: 'x' } }]).groups).toHaveLength(2)
  })

  it('averages what was measured, and tells divergence, time and what is unfinished', () => {
    const comparison = compareRuns([
      record('a', { seed: 1 }, { evaluation: evaluation(0.9), secondsPerEpoch: 40 }),
      record('b', { seed: 2 }, { evaluation: evaluation(0.96, { seed: 2 }), rollbacks: 2, secondsPerEpoch: 60 }),
      record('c', { seed: 3 }, { evaluation: evaluation(0.93), rollbacks: 3, gaveUp: true, step: 40 }),
    ])
    const [group] = comparison.groups
    expect(group.divergence).toEqual({ rolledBack: 2, rollbacks: 5, gaveUp: 1 })
    expect(group.unfinished).toBe(1)
    expect(group.secondsPerEpoch).toEqual({ mean: 50, std: 10, n: 3 })
    expect(group.numbers.accuracy.mean).toBeCloseTo(0.93, 14)
    expect(group.numbers.accuracy.std).toBeCloseTo(0.03, 14)
    const [runs, results] = comparisonTables(comparison)
    expect(runs.rows).toEqual([
      ['jem, mnist', '1 2 3', '2 of 3, 5 times', '1 of 3', '1 of 3', '500 ms ± 0', '50.0 s ± 10.0 s'],
    ])
    expect(results.rows).toEqual([['accuracy', '93.00 ± 3.00 %']])
  })

  it.each([
    [0.00421, '4.21 ms'],
    [0.9996, '1000 ms'],
    [2.788, '2.79 s'],
    [59.94, '59.9 s'],
    [390, '6 min 30 s'],
    [9000, '2 h 30 min'],
  ])('writes %d s an iteration as %s', (secondsPerIteration, text) => {
    const [runs] = comparisonTables(compareRuns([record('a', {}, { secondsPerIteration })]))
    expect(runs.rows[0][5]).toBe(text)
  })

  it('warns of runs that were not judged, judged earlier, or judged on other images', () => {
    const { warnings } = compareRuns([
      record('a', { seed: 1 }),
      record('b', { seed: 2 }, { evaluation: evaluation(0.9), step: 200 }),
      record('c', { seed: 3 }, { evaluation: evaluation(0.9, { sigma: 0 }) }),
    ])
    expect(warnings[0]).toBe('a was not judged: langevin eval --run a')
    expect(warnings[1]).toBe('b was judged at step 100 and has gone on to 200')
    expect(warnings[2]).toMatch(
      /^1 numbers were not measured alike in all runs, first accuracy: .*0\.1.* \| .*no noise/,
    )
  })

  it('refuses a run that is given twice: it would pass for two seeds', () => {
    expect(() => compareRuns([record('a', {}), record('a', {})])).toThrow('a is given twice')
  })
})

describe('times of an event file', () => {
  it('are those that were written, for steps of any size, up to a torn end', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.x')
    const file = openEventFile(path)
    const written = [0, 1, 127, 128, 300, 2 ** 40].map((step, i) => ({ step, wallTime: 1.7e9 + i / 4 }))
    for (const { step, wallTime } of written) file.write(step, { loss: 1 }, wallTime)
    file.close()
    expect(readEventTimes(path)).toEqual(written)
    writeFileSync(path, Buffer.from([1, 2, 3]), { flag: 'a' })
    expect(readEventTimes(path)).toEqual(written)
  })
})
