import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { langevin } from './collect.ts'
import { snapshot, tinyRun, writeBars } from './small-run.ts'

describe('compare', { timeout: 120_000 }, () => {
  it('puts judged runs side by side, a run that gave up among them, and changes none', async () => {
    const folder = temporaryFolder()
    writeBars(folder)
    writeBars(folder, 24, { split: 'test' })
    const runs = ['a', 'b', 'c'].map((name) => join(folder, name))
    const train = (run: string, flags: string) => langevin(`train --data ${folder} --out ${run} ${tinyRun} ${flags}`)
    for (const [i, run] of runs.slice(0, 2).entries()) {
      expect((await train(run, `--seed ${i + 1}`)).code).toBe(0)
      const judged = await langevin(`eval --run ${run} --suite accuracy,calibration`)
      expect(judged.code, judged.stderr).toBe(0)
    }
    expect((await train(runs[2], '--lr 1e30 --max-rollbacks 1')).code).toBe(1)
    expect(existsSync(join(runs[2], 'diverged.json'))).toBe(true)

    const before = snapshot(folder)
    const { code, stdout, stderr } = await langevin(['compare', ...runs, '--json', '-'])
    expect(code, stderr).toBe(0)
    expect(stderr).toContain(`notice: ${runs[2]} was not judged`)
    expect(snapshot(folder)).toEqual(before)
    const { groups } = JSON.parse(stdout)
    expect(groups.map((group: { runs: string[] }) => group.runs)).toEqual([runs.slice(0, 2), [runs[2]]])
    expect(groups[1].divergence).toEqual({ rolledBack: 1, rollbacks: 1, gaveUp: 1 })
    expect(groups[0].divergence).toEqual({ rolledBack: 0, rollbacks: 0, gaveUp: 0 })
    const accuracies = runs
      .slice(0, 2)
      .map((run) => JSON.parse(readFileSync(join(run, 'eval.json'), 'utf8')).suites.accuracy.models[0].accuracy)
    expect(groups[0].numbers.accuracy.mean).toBeCloseTo((accuracies[0] + accuracies[1]) / 2, 14)
    // 52 images in batches of 4: 13 iterations in an epoch.
    const { secondsPerIteration, secondsPerEpoch } = groups[0]
    expect(secondsPerIteration.mean).toBeGreaterThan(0)
    expect(secondsPerEpoch.mean).toBeCloseTo(13 * secondsPerIteration.mean, 9)

    const html = join(folder, 'compare.html')
    const told = await langevin(['compare', ...runs, '--html', html])
    expect(told.stdout).toMatch(/gave up[\s\S]*1 of 1[\s\S]*accuracy/)
    expect(readFileSync(html, 'utf8')).toContain('<h1>3 runs in 2 groups</h1>')
  })

  it('refuses folders that hold no run, and says which', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'empty'))
    writeFileSync(join(folder, 'file'), 'x')
    for (const [name, message] of [
      ['nowhere', 'no such run folder'],
      ['empty', 'no checkpoint in'],
      ['file', 'no checkpoint in'],
    ]) {
      const html = join(folder, 'x.html')
      const { code, stdout, stderr } = await langevin(['compare', join(folder, name), '--html', html])
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(new RegExp(`^langevin: .*${message}`))
      expect(existsSync(html)).toBe(false)
    }
  })
})
