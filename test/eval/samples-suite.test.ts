import { decode } from 'fast-png'
import { afterAll, describe, expect, it } from 'vitest'
import { judge } from '../../src/eval/evaluation.ts'
import { samplesSection } from '../../src/eval/report/samples.ts'
import { type SamplesResult, samples } from '../../src/eval/suites/samples.ts'
import type { LoadedRun } from '../../src/jem/loadRun.ts'
import { assign } from '../../src/ops/cast.ts'
import { tensor } from '../../src/tensor/create.ts'
import { runOnBars } from './small-net.ts'

const { run, data } = runOnBars()
afterAll(() => run.model.dispose())

const small = { samples: 9, steps: 3, chains: 4, chainSteps: 20 }

async function judged(
  judgedRun: LoadedRun = run,
  training = () => ({ ...data, split: 'train' as const }),
  baseline?: LoadedRun,
) {
  const { evaluation, pictures } = await judge([samples(small)], {
    ...{ run: judgedRun, baseline, test: data, training, sigma: 0.03, seed: 4 },
    progress: (label, total, work) => work((done) => expect(done, label).toBeLessThanOrEqual(total)),
  })
  return { result: evaluation.suites.samples as SamplesResult, pictures }
}

describe('the samples suite', { timeout: 120_000 }, () => {
  it('shows fresh and buffer samples, extremes, long chains and neighbours, and says what they are', async () => {
    const before = Array.from(run.model.parameters()[0].dataSync())
    const { result, pictures } = await judged()
    expect(result.grids.map(({ picture, source, rows, samples }) => [picture, source, rows.length, samples])).toEqual([
      ['samples-fresh.png', 'fresh', 0, 9],
      ['samples-fresh-classes.png', 'fresh', 4, 40],
      ['samples-buffer.png', 'buffer', 0, 9],
      ['samples-buffer-classes.png', 'buffer', 4, 40],
    ])
    expect(result.sampler).toMatchObject({ start: 'uniform', steps: 3, seed: 4, stepSize: 1, noiseStd: 0.01 })
    expect(result.bufferSize).toBe(16)
    expect(result.longChains.trace.at(-1)!.step).toBe(20)
    expect(result.longChains.frames).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
    // 4 rows of 10 samples of 8×8, each pixel 8 wide, with gaps of 2.
    expect(decode(pictures['samples-fresh-classes.png'])).toMatchObject({ width: 10 * 66 + 2, height: 4 * 66 + 2 })
    expect(decode(pictures['chains.png'])).toMatchObject({ width: 11 * 66 + 2, height: 4 * 66 + 2 })
    expect(result.extremes).toMatchObject({ source: 'buffer', samples: 16 })
    const [high, low, sure, unsure] = result.extremes!.rows.map(({ values }) => values)
    for (const [best, worst] of [
      [high, low],
      [sure, unsure],
    ]) {
      expect(best).toEqual([...best].sort((a, b) => b - a))
      expect(worst).toEqual([...worst].sort((a, b) => a - b))
      expect(best[0]).toBeGreaterThanOrEqual(worst[0])
    }
    expect(JSON.parse(JSON.stringify(result))).toEqual(result)
    expect(Array.from(run.model.parameters()[0].dataSync())).toEqual(before)

    const html = samplesSection(result, pictures)
    expect(html.match(/<img/g)).toHaveLength(Object.keys(pictures).length)
    expect(html.match(/<svg/g)).toHaveLength(1)
    expect(html).not.toMatch(/NaN|undefined/)
    expect(html).toContain('chains from uniform noise, 3 SGLD steps')
  })

  it('finds the training images that the buffer repeats', async () => {
    const { result } = await judged()
    if ('missing' in result.neighbours) throw new Error(result.neighbours.missing)
    const { sets, distances } = result.neighbours
    expect(sets.map(({ name, images }) => [name, images])).toEqual([
      ['test images', 40],
      ['fresh samples', 9],
      ['buffer samples', 9],
    ])
    // Test and training images are the same here, and some samples of the buffer are copies of them.
    expect(sets[0].median).toBeCloseTo(0, 6)
    expect(sets[2].nearest).toBeCloseTo(0, 6)
    expect(sets[1].nearest).toBeGreaterThan(1)
    expect(distances).toEqual([...distances].sort((a, b) => a - b))
    expect(distances[0]).toBeCloseTo(0, 6)
  })

  it('tells how many samples of a class another network takes for that class', async () => {
    const baseline = runOnBars().run
    const bias = baseline.model.namedParameters().find(([name]) => name === 'class_output.bias')![1]
    const always = tensor(Float32Array.of(0, 0, 1e6, 0))
    assign(bias, always) // takes everything for the third of four classes
    const { result } = await judged(run, undefined, baseline)
    expect(result.recognised).toEqual({ samples: 40, share: 0.25 })
    const [number] = samples().numbers!(result)
    expect(number).toMatchObject({ value: 0.25, unit: 'percent', on: { split: 'sampled', images: 40 } })
    expect(samples().notes!(result).join(' ')).toContain('The baseline takes 25.0 % of the 40 fresh samples')
    const wild = { ...run, config: { ...run.config, stepSize: 1e39 } }
    expect((await judged(wild, undefined, baseline)).result.recognised).toEqual({ samples: 40, share: 0 })
    always.dispose()
    baseline.model.dispose()
  })

  it('is the same for the same seed', async () => {
    const [first, second] = [await judged(), await judged()]
    expect(second).toEqual(first)
  })

  it('does without a replay buffer and without the training images, and says so', async () => {
    const bare = { ...run, buffer: new Float32Array(0), data: { ...run.data, crc32: 'another' as never } }
    const { result, pictures } = await judged(bare)
    expect(result.bufferSize).toBe(0)
    expect(result.grids.map(({ source }) => source)).toEqual(['fresh', 'fresh'])
    expect(result.extremes).toMatchObject({ source: 'fresh', samples: 9 })
    expect(result.neighbours).toEqual({ missing: expect.stringContaining('is not what the run was trained on') })
    const notes = samples().notes!(result).join(' ')
    expect(notes).toContain('The run kept no replay buffer.')
    expect(notes).toContain('Nearest training images are missing: bars is not what the run was trained on')
    expect(samplesSection(result, pictures)).not.toMatch(/NaN|undefined/)
  })

  it('tells samples that blew up, and does not choke on them', async () => {
    const wild = { ...run, buffer: new Float32Array(0), config: { ...run.config, stepSize: 1e39 } }
    const { result, pictures } = await judged(wild)
    expect(result.longChains.verdict).toMatchObject({ blewUp: true, drifts: true, drift: null })
    expect(result.grids[0].notFinite).toBe(9)
    expect(result.extremes).toBeNull()
    expect(result.neighbours).toEqual({ missing: 'no sample is finite' })
    expect(samples().notes!(result).join(' ')).toContain('samples-fresh.png: 9 of 9 images hold NaN or infinity')
    expect(samplesSection(result, pictures)).toContain('YES')
  })
})
