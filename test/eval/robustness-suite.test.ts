import { afterAll, describe, expect, it } from 'vitest'
import { judge } from '../../src/eval/evaluation.ts'
import { robustnessSection } from '../../src/eval/report/robustness.ts'
import { type RobustnessResult, robustness } from '../../src/eval/suites/robustness.ts'
import { runOnBars } from './small-net.ts'

const { run, data } = runOnBars()
afterAll(() => run.model.dispose())

async function judged(options: Parameters<typeof robustness>[0], baseline?: typeof run) {
  const training = () => ({ ...data, split: 'train' as const })
  const labels: string[] = []
  const { evaluation, pictures } = await judge([robustness(options)], {
    ...{ run, baseline, test: data, training, sigma: 0.03, seed: 4 },
    progress: (label, total, work) => {
      labels.push(label)
      return work((done) => expect(done, label).toBeLessThanOrEqual(total))
    },
  })
  return { result: evaluation.suites.robustness as RobustnessResult, pictures, labels }
}

const small = { images: 12, steps: 4, epsilons: { linf: [64, 16], l2: [128] }, copies: 2 }

describe('the robustness suite', { timeout: 120_000 }, () => {
  it('gives a curve for each model, norm and attack, and says on what', async () => {
    const { result, pictures, labels } = await judged({ ...small, minimalDistance: true }, run)
    expect(result.on).toEqual({ data: 'bars', split: 'test', images: 12, sigma: 0, seed: 4 })
    expect(result.protocol).toEqual({ steps: 4, restarts: 1, draws: 1, copies: 2, refinementSigma: 0.03 })
    const attacks = ['pgd', 'apgd-ce', 'apgd-dlr', 'all']
    const each = (model: string) => [
      ...(['linf', 'l2'] as const).flatMap((norm) => attacks.map((attack) => `${model} ${norm} ${attack}`)),
      ...[`${model}, JEM-1 linf pgd`, `${model}, JEM-1 l2 pgd`],
      ...[`${model} linf minimal-distance`, `${model} l2 minimal-distance`],
    ]
    expect(result.curves.map(({ model, norm, attack }) => `${model} ${norm} ${attack}`)).toEqual([
      ...each('run'),
      ...each('baseline'),
    ])
    // The baseline is the same model: it is judged on the same images with the same random starts.
    const curvesOf = (name: string) =>
      result.curves.filter(({ model }) => model === name).map(({ norm, attack, points }) => ({ norm, attack, points }))
    expect(curvesOf('baseline')).toEqual(curvesOf('run'))
    for (const { norm, points, attack, model } of result.curves) {
      expect(points.map(({ epsilon }) => epsilon)).toEqual(norm === 'linf' ? [0, 16, 64] : [0, 128])
      const together = result.curves.find(
        (other) => other.model === model && other.norm === norm && other.attack === 'all',
      )
      if (attack !== 'minimal-distance' && together) {
        for (const [i, { accuracy }] of points.entries()) {
          expect(together.points[i].accuracy).toBeLessThanOrEqual(accuracy)
        }
      }
    }
    expect(result.masking.map(({ model, checks }) => [model, checks.length])).toEqual([
      ['run', 3],
      ['baseline', 3],
    ])
    expect(Object.keys(pictures)).toEqual(['distal-run.png', 'distal-baseline.png'])
    expect(JSON.parse(JSON.stringify(result))).toEqual(result)
    expect(robustness().numbers!(result).map(({ name, value }) => [name, value])).toEqual(
      [
        ['accuracy at L∞ ε 16 (all, 4 steps)', 'linf all run', 1],
        ['accuracy at L∞ ε 64 (all, 4 steps)', 'linf all run', 2],
        ['JEM-1 accuracy at L∞ ε 16 (pgd, 4 steps)', 'linf pgd run, JEM-1', 1],
        ['JEM-1 accuracy at L∞ ε 64 (pgd, 4 steps)', 'linf pgd run, JEM-1', 2],
        ['accuracy at L2 ε 128 (all, 4 steps)', 'l2 all run', 1],
        ['JEM-1 accuracy at L2 ε 128 (pgd, 4 steps)', 'l2 pgd run, JEM-1', 1],
      ].map(([name, wanted, place]) => [
        name,
        result.curves.find(({ model, norm, attack }) => `${norm} ${attack} ${model}` === wanted)!.points[
          place as number
        ].accuracy,
      ]),
    )
    expect(labels).toContain('apgd-dlr l2 on baseline')

    const html = robustnessSection(result, pictures)
    expect(html.match(/<svg/g)).toHaveLength(2)
    expect(html.match(/<img/g)).toHaveLength(2)
    expect(html).not.toMatch(/NaN|undefined/)
    expect(html).toContain('overstate the robustness of randomised defences')
    expect(html).toContain('bars, 12 test images, no noise, seed 4')
  })

  it('leaves out a norm without budgets, and JEM-n where none is asked for', async () => {
    const { result, pictures } = await judged({ ...small, epsilons: { linf: [8] }, attacks: ['pgd'], refinements: [] })
    expect(result.curves.map(({ model, norm, attack }) => `${model} ${norm} ${attack}`)).toEqual(['run linf pgd'])
    const html = robustnessSection(result, pictures)
    expect(html).not.toContain('JEM-')
    expect(html.match(/<svg/g)).toHaveLength(1)
  })

  it('names the checks for gradient masking that failed', () => {
    const checks = [
      { name: 'black-box' as const, finding: 'f', passed: false },
      { name: 'unbounded' as const, finding: 'g', passed: true },
    ]
    const accuracy = { clean: 1, fewSteps: 1, manySteps: 1, blackBox: 0, unbounded: 0 }
    const suite = robustness()
    const result: RobustnessResult = {
      on: { data: 'd', split: 'test', images: 1, sigma: 0, seed: 1 },
      protocol: { steps: 1, restarts: 1, draws: 1, copies: 5, refinementSigma: 0 },
      ...{ curves: [], minimalDistances: [], distal: [] },
      masking: [{ model: 'run', images: 1, epsilon: 8, accuracy, checks }],
    }
    expect(suite.notes!(result).join()).toContain('Gradient masking (run: black-box)')
    expect(suite.tables(result).flatMap(({ rows }) => rows)).toContainEqual(['run: black-box', 'f', 'FAILED'])
  })

  it('refuses a negative epsilon before anything runs', () => {
    expect(() => robustness({ epsilons: { l2: [-1] } })).toThrow('epsilon must be a number >= 0, got -1')
  })
})
