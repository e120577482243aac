import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { recipeConfig } from '../../src/jem/recipes/index.ts'
import { builtCli } from '../cli/built.ts'

builtCli() // what bench/ imports
const module = (path: string) => import(new URL(`../../bench/${path}`, import.meta.url).href)
const { accuracyUnderPgd, holds, judgeClaims } = await module('evidence/claims.mjs')
const { recipes, settingsOf } = await module('evidence/settings.mjs')

const curve = (model: string, attack: string, norm: string, ...accuracies: number[]) => ({
  ...{ model, attack, norm },
  points: accuracies.map((accuracy, i) => ({ epsilon: 8 * i, accuracy })),
})

/** A run with these numbers, and PGD accuracies at ε 0, 8 and 16. */
function run(recipe: string, seed: number, ece: number, mass: number, logpx: number, pgd: number[], refined: number[]) {
  const numbers = [
    { name: 'ECE, 15 bins', value: ece },
    { name: 'AUROC of log p(x) against clothes', value: logpx },
    { name: 'AUROC of max p(y|x) against clothes', value: 0.7 },
    { name: 'AUROC of −‖∂log p/∂x‖₂ against clothes', value: mass },
  ]
  const curves = [
    curve('run', 'pgd', 'linf', ...pgd),
    curve('run', 'all', 'linf', 0, 0, 0),
    curve('run, JEM-1', 'pgd', 'linf', ...refined),
  ]
  return { recipe, seed, numbers, curves }
}

describe('the claims', () => {
  const runs = [
    run('classifier', 1, 0.05, 0.5, 0.5, [1, 0.4, 0.2], [1, 0, 0]),
    run('classifier', 2, 0.05, 0.5, 0.5, [1, 0.4, 0.2], [1, 0, 0]),
    run('jem', 1, 0.03, 0.9, 0.8, [1, 0.5, 0.3], [1, 0.6, 0.3]),
    run('jem', 2, 0.06, 0.8, 0.7, [1, 0.6, 0.4], [1, 0.6, 0.4]),
    run('jem', 3, 0.01, 1, 0, [1, 1, 1], [1, 1, 1]), // has no classifier of its seed
    run('sada-jem', 1, 0, 1, 0, [1, 1, 1], [1, 1, 1]),
  ]

  it('are judged by pairs of one seed, and fail where one seed does not agree', () => {
    const judged = judgeClaims(runs)
    const by = (claim: string) => judged.find((one: { claim: string }) => one.claim.includes(claim))
    expect(by('calibrated')).toMatchObject({ seeds: [1, 2], held: false })
    expect(by('calibrated').before).toBeCloseTo(0.05, 12)
    expect(by('calibrated').after).toBeCloseTo(0.045, 12)
    expect(by('mass score')).toMatchObject({ seeds: [1, 2], held: true })
    expect(by('more robust')).toMatchObject({ held: true })
    expect(by('more robust').before).toBeCloseTo(0.3, 12)
    expect(by('more robust').after).toBeCloseTo(0.45, 12)
    expect(by('JEM-1')).toMatchObject({ held: false })
    // Nothing is said of what was not measured.
    expect(judged.map(({ claim }: { claim: string }) => claim).join()).not.toMatch(/samples|scaling/)
  })

  it('compare the same attack on both sides, where there is a budget', () => {
    expect(accuracyUnderPgd(runs[2], 'run')).toBeCloseTo(0.4, 12)
    expect(accuracyUnderPgd(runs[2], 'run, JEM-1')).toBeCloseTo(0.45, 12)
  })

  it('hold only beyond two standard errors', () => {
    expect(holds([0.1])).toBe(true)
    expect(holds([-0.1])).toBe(false)
    expect(holds([0.1, 0.1, 0])).toBe(false)
    // Mean 2, standard deviation 1: standard error 1/√3, twice it 1.15. Mean 0.7, deviation 0.985, twice the error 1.14.
    expect(holds([1, 2, 3])).toBe(true)
    expect(holds([0.1, 0.2, 1.8])).toBe(false)
  })
})

describe('the evidence', () => {
  it('is of settings that the recipes take', () => {
    for (const name of Object.keys(recipes)) {
      for (const data of ['mnist', 'fashion-mnist']) {
        const settings = settingsOf(name, data)
        expect(recipeConfig(name, settings)).toMatchObject({ ...settings, recipe: name })
      }
    }
  })

  it('stands in the pages as it was measured', { timeout: 60_000 }, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['bench/evidence-pages.mjs', '--check'], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
    })
    expect(status, stdout + stderr).toBe(0)
  })
})
