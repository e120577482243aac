import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decode } from 'fast-png'
import { describe, expect, it } from 'vitest'
import { findPyTorch } from '../../src/cli/peer.ts'
import { loadDataset } from '../../src/data/catalog.ts'
import { readSafetensors, writeSafetensors } from '../../src/io/safetensors.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { langevin } from './collect.ts'
import { snapshot, tinyRun, writeBars } from './small-run.ts'

const golden = fileURLToPath(new URL('../fixtures/golden/wrn-10-1-none.safetensors', import.meta.url))

async function done(argv: string | readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await langevin(argv)
  expect(code, stderr).toBe(0)
  return { stdout, stderr }
}

describe('from training to judgement', { timeout: 120_000 }, () => {
  it('train, sample, eval', async () => {
    const folder = temporaryFolder()
    writeBars(folder, 60)
    writeBars(folder, 24, { split: 'test' })
    const run = join(folder, 'run')
    const { stderr } = await done(`train --data ${folder} --out ${run} ${tinyRun} --ema 0.9 --sample-every 3`)
    expect(stderr).toContain(`done: 6 steps in ${run}`)
    const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).step)).toEqual([1, 2, 3, 4, 5, 6])
    for (const key of ['step', 'loss', 'fData', 'fSample', 'crossEntropy', 'accuracy']) {
      expect(typeof JSON.parse(lines[0])[key], key).toBe('number')
    }
    expect(existsSync(join(run, 'samples', 'step-000006.png'))).toBe(true)
    const before = snapshot(run)

    const png = join(folder, 'x.png')
    const samples = async (flags: string) => {
      const { stdout } = await done(`sample --run ${run} --out ${png} ${flags}`)
      expect(stdout).toContain(`${png}: `)
      return decode(readFileSync(png))
    }
    // 9 images of 12×12, each pixel 5 wide, in 3 columns with gaps of 2.
    expect(await samples('--n 9')).toMatchObject({ width: 3 * 62 + 2, height: 3 * 62 + 2, channels: 1 })
    expect((await samples('--n 9 --seed 2')).data).not.toEqual((await samples('--n 9 --seed 3')).data)
    expect((await samples('--n 9 --seed 2')).data).toEqual((await samples('--n 9 --seed 2')).data)
    await samples('--n 4 --fresh --steps 3')
    expect((await samples('--n 4 --fresh --steps 3 --class 1')).data).not.toEqual(
      (await samples('--n 4 --fresh --steps 3 --class 2')).data,
    )
    const { stderr: notice } = await done(`sample --run ${run} --out ${png} --n 17 --steps 0`)
    expect(notice).toBe('notice: the replay buffer holds only 16 samples\n')

    // `folder` is the test set itself: the same images on both sides, each with noise of its own.
    const out = join(folder, 'judged')
    const { stdout } = await done(`eval --run ${run} --ood ${folder},uniform --out ${out} --resamples 50`)
    expect(stdout).toContain('24 test images, noise of standard deviation 0.03, seed 1')
    const result = JSON.parse(readFileSync(join(out, 'eval.json'), 'utf8'))
    expect(result).toMatchObject({ version: 1, run: { step: 6, weights: 'average' } })
    const { accuracy, calibration, ood } = result.suites
    expect(accuracy.on).toEqual({ data: expect.any(String), split: 'test', images: 24, sigma: 0.03, seed: 1 })
    expect(calibration.models[0].scaled.fittedOn).toMatchObject({ split: 'validation', images: 8 })
    expect(ood.sets.map(({ on }: { on: { images: number } }) => on.images)).toEqual([24, 24])
    for (const [score, { auroc, intervals }] of Object.entries<{ auroc: number; intervals: { auroc: number[] } }>(
      ood.sets[0].models[0].scores,
    )) {
      expect(auroc, score).toBeGreaterThan(0.3)
      expect(auroc, score).toBeLessThan(0.7)
      expect(intervals.auroc[0], score).toBeLessThanOrEqual(auroc)
      expect(intervals.auroc[1], score).toBeGreaterThanOrEqual(auroc)
    }
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('FPR at 95 % TPR')
    expect(snapshot(run)).toEqual(before)

    const probed = join(folder, 'probed')
    const { stdout: told } = await done(
      `eval --run ${run} --suite robustness,samples --out ${probed} --attack-images 8 --attack-steps 2 --epsilons 8,64 ` +
        '--epsilons-l2 none --samples 4 --sample-steps 2 --chains 2 --chain-steps 4',
    )
    expect(told).toContain('Accuracy under attacks in L∞, ε in 1/255 of [0, 1]')
    expect(told).toContain('Such numbers overstate the robustness of randomised defences')
    expect(told).toContain('Nearest training images')
    const { suites, pictures } = JSON.parse(readFileSync(join(probed, 'eval.json'), 'utf8'))
    expect(suites.robustness.on).toMatchObject({ split: 'test', images: 8, sigma: 0 })
    expect(suites.samples).toMatchObject({ bufferSize: 16, longChains: { chains: 2 } })
    for (const png of [...pictures.robustness, ...pictures.samples]) decode(readFileSync(join(probed, 'eval', png)))
    expect(readFileSync(join(probed, 'report.html'), 'utf8').match(/data:image\/png/g)).toHaveLength(8)

    // A suite that is judged again replaces its result; the others stay.
    await done(`eval --run ${run} --suite accuracy --sigma 0 --out ${out}`)
    const again = JSON.parse(readFileSync(join(out, 'eval.json'), 'utf8')).suites
    expect(again).toEqual({
      calibration,
      ood,
      accuracy: { ...accuracy, on: { ...accuracy.on, sigma: 0 }, models: [expect.anything()] },
    })
    const printed = JSON.parse((await done(`eval --run ${run} --suite accuracy --json - --baseline ${run}`)).stdout)
    const [ours, baseline] = printed.suites.accuracy.models
    expect(baseline).toEqual({ ...ours, name: 'baseline' })
  })

  it('sample --fresh starts where the chains of training start', async () => {
    const folder = temporaryFolder()
    const [run, png] = [join(folder, 'run'), join(folder, 'x.png')]
    const data = loadDataset(writeBars(folder, 60))
    const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, v) => sum + v, 0) / values.length
    await done(`train --data ${folder} --out ${run} ${tinyRun} --chain-start class-gaussians`)
    const { stdout } = await done(`sample --run ${run} --out ${png} --fresh --steps 0 --n 100`)
    expect(stdout).toContain('from Gaussians fitted to the training images of each class, 0 steps')
    // Gaussians of the images are as bright as these; uniform noise would be 127.5 grey.
    expect(Math.abs(mean(data.images) - 127.5)).toBeGreaterThan(30)
    expect(Math.abs(mean(decode(readFileSync(png)).data) - mean(data.images))).toBeLessThan(15)
  })

  it('Ctrl-C saves and leaves with 130, and --resume ends with the same bits', async () => {
    const folder = temporaryFolder()
    const data = writeBars(folder)
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    await done(`train --data ${data} --out ${whole} ${tinyRun}`)
    const controller = new AbortController()
    const stopped = langevin(`train --data ${data} --out ${parts} ${tinyRun}`, { signal: controller.signal })
    while (!existsSync(join(parts, 'checkpoint.safetensors'))) await new Promise((resume) => setTimeout(resume, 1))
    controller.abort()
    const { code, stderr } = await stopped
    expect(code).toBe(130)
    expect(stderr).toMatch(/stopped at step \d, saved; continue with: langevin train --resume --out/)
    await done(['train', '--resume', '--out', parts])
    expect(readFileSync(join(parts, 'metrics.jsonl'), 'utf8')).toBe(readFileSync(join(whole, 'metrics.jsonl'), 'utf8'))
    const [a, b] = [whole, parts].map((run) => readSafetensors(join(run, 'checkpoint.safetensors')).tensors)
    expect(b).toEqual(a)
  })

  it('Ctrl-C in a long judgement keeps the suites that are done', async () => {
    const folder = temporaryFolder()
    const [run, judged] = [join(folder, 'run'), join(folder, 'judged')]
    writeBars(folder, 24)
    writeBars(folder, 24, { split: 'test' })
    await done(`train --data ${folder} --out ${run} ${tinyRun}`)
    const controller = new AbortController()
    const command = `eval --run ${run} --suite accuracy,samples --chain-steps 1000000 --out ${judged}`
    const stopped = langevin(command, { signal: controller.signal })
    while (!existsSync(join(judged, 'report.html'))) await new Promise((resume) => setTimeout(resume, 1))
    controller.abort()
    expect((await stopped).code).toBe(130)
    expect(Object.keys(JSON.parse(readFileSync(join(judged, 'eval.json'), 'utf8')).suites)).toEqual(['accuracy'])
  })
})

describe('verify', { timeout: 120_000 }, () => {
  it('passes golden vectors, in a table and as JSON', async () => {
    const { stdout } = await done(['verify', golden, '--dtype', 'f64'])
    expect(stdout).toMatch(/eval\/grad_x_f +\S+ +\S+ +1e-9 relative +pass/)
    expect(stdout).toMatch(/all \d+ within tolerance/)
    const [report] = JSON.parse((await done(['verify', golden, '--json'])).stdout)
    expect(report).toMatchObject({ file: golden, dtype: 'f32', pass: true })
    expect(report.results[0]).toMatchObject({ key: 'eval/logits', tolerance: 2e-5, pass: true })
  })

  it('fails, with exit code 1, where one value is off', async () => {
    const path = join(temporaryFolder(), 'off.safetensors')
    copyFileSync(golden, path)
    const { tensors, metadata } = readSafetensors(path)
    const f = tensors.get('eval/f')!.data as Float64Array
    f[1] += 1e-6 * f[1]
    writeSafetensors(path, tensors, metadata)
    const { code, stdout } = await langevin(['verify', path, '--dtype', 'f64'])
    expect(code).toBe(1)
    expect(stdout.split('\n').filter((line) => / {2}FAIL$/.test(line))).toEqual([expect.stringMatching(/^eval\/f /)])
  })
})

describe('the machine', { timeout: 120_000 }, () => {
  it('every bench prints what programs read', async () => {
    const flags = '--seconds 0.1 --batch 2 --threads 1 --json'
    const sgld = JSON.parse((await done(`bench sgld ${flags}`)).stdout)
    expect(sgld).toMatchObject({ net: 'wrn-10-1', size: 28, channels: 1, batch: 2, threads: 1, device: 'cpu' })
    for (const key of ['imageStepsPerSecond', 'msPerStep', 'peakBytes']) expect(sgld[key], key).toBeGreaterThan(0)
    expect(sgld.imageStepsPerSecond).toBeCloseTo((1000 * 2) / sgld.msPerStep, 6)
    const iteration = JSON.parse((await done(`bench iteration ${flags} --size 8 --steps 2`)).stdout)
    expect(iteration).toMatchObject({ net: 'wrn-10-1', size: 8, batch: 2, steps: 2, precision: 'fp32' })
    expect(iteration.iterationsPerSecond).toBeCloseTo(1000 / iteration.msPerIteration, 6)
    const inference = JSON.parse((await done(`bench inference ${flags}`)).stdout)
    expect(inference.imagesPerSecond).toBeCloseTo((1000 * 2) / inference.msPerBatch, 6)
    const conv = JSON.parse((await done(`bench conv ${flags} --in 5 --out 7 --stride 2`)).stdout)
    for (const pass of ['forward', 'inputGradient', 'weightGradient']) {
      // 2 · batch · 14² · 5 · 7 · 9 operations.
      expect(conv[pass].gflops).toBeCloseTo((2 * 2 * 14 * 14 * 5 * 7 * 9) / conv[pass].ms / 1e6, 6)
    }
    expect((await done('bench sgld --seconds 0.1 --batch 1')).stdout).toMatch(/image-steps\/s +[\d.]+/)
  })

  it('bench sgld --peer pytorch puts PyTorch beside ours, or says how to get it', async () => {
    const command = 'bench sgld --peer pytorch --seconds 0.1 --batch 1 --threads 1'
    if (!findPyTorch()) {
      const { code, stderr } = await langevin(command)
      expect(code).not.toBe(0)
      expect(stderr).toMatch(/--peer pytorch needs a Python that has PyTorch[\s\S]*python3-torch/)
      return
    }
    const { peer, msPerStep } = JSON.parse((await done(`${command} --json`)).stdout)
    expect(peer).toMatchObject({ name: 'pytorch', version: expect.stringMatching(/^\d/), mode: expect.any(String) })
    expect(peer.imageStepsPerSecond).toBeCloseTo(1000 / peer.msPerStep, 6)
    expect(peer.ratio).toBeCloseTo(peer.msPerStep / msPerStep, 6)
    expect((await done(command)).stdout).toMatch(/langevin +PyTorch[\s\S]*image-steps\/s +[\d.]+ +[\d.]+/)
    const others = '--peer pytorch --seconds 0.1 --batch 2 --threads 1 --size 8 --json'
    for (const [what, ms] of [
      ['iteration --steps 2', 'msPerIteration'],
      ['inference', 'msPerBatch'],
    ]) {
      const result = JSON.parse((await done(`bench ${what} ${others}`)).stdout)
      expect(result.peer.ratio, what).toBeCloseTo(result.peer[ms] / result[ms], 6)
    }
  })

  it('doctor finds every kernel right on every instruction set', async () => {
    const report = JSON.parse((await done('doctor --json')).stdout)
    expect(report).toMatchObject({ ok: true, addons: { cpu: { built: true } } })
    expect(Object.keys(report.kernels)).toEqual(expect.arrayContaining(report.instructionSets))
    const { stdout } = await done('doctor')
    expect(stdout).toMatch(/^CUDA addon +the cuda device/m)
    expect(stdout).toMatch(/^GPUs +/m)
    expect(stdout).toContain('all well')
  })
})
