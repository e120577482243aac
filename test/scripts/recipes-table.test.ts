import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { recipeConfig } from '../../src/jem/recipes/index.ts'
import { builtCli } from '../cli/built.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const module = (path: string) => import(new URL(`../../${path}`, import.meta.url).href)

describe('how long a recipe should take', async () => {
  const { predictRun } = await module('bench/gpu/recipe-prediction.mjs')
  const { predictIteration } = await module('bench/gpu/prediction.mjs')

  it('is for JEM what the prediction of an iteration says', () => {
    const { milliseconds } = predictRun(recipeConfig('jem'))
    expect(milliseconds).toBeCloseTo(predictIteration('wrn-28-10', 64, 20).milliseconds, 6)
  })

  it('counts iterations as the released loaders do', () => {
    // 45,000 images in batches of 64 (JEM, JEM++); 50,000 labelled ones in batches of 128 (SADA-JEM, M-JEM).
    const perEpoch = (name: string) => predictRun(recipeConfig(name)).iterationsPerEpoch
    expect(['jem', 'jem++', 'sada-jem', 'm-jem'].map(perEpoch)).toEqual([703, 703, 390, 390])
    expect(predictRun(recipeConfig('jem++')).iterations).toBe(150 * 703)
  })

  it('grows with the steps, and doubles the loss for sharpness-aware minimisation', () => {
    const at = (name: string, settings: object) => predictRun(recipeConfig(name, settings)).milliseconds
    const sharp = at('sada-jem', { sgldSteps: 0 })
    const flat = at('sada-jem', { sgldSteps: 0, samRho: 0 })
    expect(sharp / flat).toBeGreaterThan(1.9)
    expect(sharp / flat).toBeLessThan(2)
    expect(at('sada-jem', { sgldSteps: 10 }) - sharp).toBeCloseTo(2 * (at('sada-jem', {}) - sharp), 6)
  })
})

describe('docs/reproduce.md', () => {
  it('shows the recipes and results that are there', { timeout: 60_000 }, () => {
    builtCli()
    const { status, stdout, stderr } = spawnSync('node', ['bench/recipes-table.mjs', '--check'], {
      cwd: root,
      encoding: 'utf8',
    })
    expect(status, stdout + stderr).toBe(0)
  })
})
