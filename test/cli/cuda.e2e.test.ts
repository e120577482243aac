// The commands with --device cuda, on the emulated GPU.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { emulated } from '../ops/drive.ts'
import { builtCli } from './built.ts'
import { tinyRun, writeBars } from './small-run.ts'

async function langevin(line: string, environment: Record<string, string> = {}) {
  const env = { ...process.env, NODE_OPTIONS: '', ...environment }
  const done = promisify(execFile)(process.execPath, [builtCli(), ...line.split(' ')], { env, timeout: 200_000 })
  return done.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  )
}

describe.runIf(emulated('cuda'))('commands on the GPU', { timeout: 240_000 }, () => {
  test('doctor tells the GPU, and finds every kernel right at every level', async () => {
    const { code, stdout } = await langevin('doctor --json')
    const report = JSON.parse(stdout)
    expect(report.cuda).toMatchObject({
      properties: { name: 'langevin emulator' },
      kernels: 'sm90',
      available: ['simt', 'sm80', 'sm90'],
    })
    for (const level of ['simt', 'sm80', 'sm90']) {
      const checks = report.kernels[`cuda ${level}`] as { family: string; pass: boolean }[]
      expect(checks.length).toBeGreaterThan(8)
      expect(checks.filter(({ pass }) => !pass)).toEqual([])
    }
    expect({ code, ok: report.ok }).toEqual({ code: 0, ok: true })
  })

  test('doctor says in one line why there is no GPU, and is well', async () => {
    const { code, stdout } = await langevin('doctor', { LANGEVIN_EMULATOR_DRIVER: '0' })
    expect(stdout).toMatch(/^CUDA addon +the cuda device cannot be opened: no NVIDIA driver is loaded; install/m)
    expect(stdout).toContain('all well')
    expect(code).toBe(0)
  })

  test('a device that cannot be opened is one line and a hint', async () => {
    const { code, stderr } = await langevin('verify x.safetensors --device cuda', { LANGEVIN_EMULATOR_DRIVER: '0' })
    expect(stderr).toBe(
      'langevin: the cuda device cannot be opened: no NVIDIA driver is loaded\n  hint: install the driver, or use --device cpu\n',
    )
    expect(code).toBe(2)
  })

  test('auto takes the CPU where the GPU cannot be opened, and the GPU where it can', async () => {
    const bench = 'bench conv --size 4 --in 2 --out 2 --batch 1 --seconds 0.01 --json --device auto'
    const device = async (environment?: Record<string, string>) =>
      JSON.parse((await langevin(bench, environment)).stdout).device
    expect(await device({ LANGEVIN_EMULATOR_DRIVER: '0' })).toBe('cpu')
    expect(await device()).toBe('cuda')
  })

  test('eval judges a run on the GPU as on the CPU', async () => {
    const folder = temporaryFolder()
    writeBars(folder)
    writeBars(folder, 24, { split: 'test' })
    const run = join(folder, 'run')
    expect((await langevin(`train --data ${folder} --out ${run} ${tinyRun} --device cpu`)).code).toBe(0)
    const judged = async (device: string) => {
      const flags = '--suite accuracy,ood --ood uniform --resamples 0 --json -'
      const { code, stdout, stderr } = await langevin(`eval --run ${run} ${flags} --device ${device}`)
      expect(code, stderr).toBe(0)
      return JSON.parse(stdout).suites
    }
    const [cpu, cuda] = [await judged('cpu'), await judged('cuda')]
    expect(cuda.accuracy.models[0].nll).toBeCloseTo(cpu.accuracy.models[0].nll, 5)
    const [ours, theirs] = [cpu, cuda].map(({ ood }) => ood.sets[0].models[0].scores)
    expect(Object.keys(theirs)).toEqual(Object.keys(ours))
    // Of 24 × 24 pairs, rounding may turn a few.
    for (const [score, { auroc }] of Object.entries<{ auroc: number }>(ours)) {
      expect(Math.abs(theirs[score].auroc - auroc), score).toBeLessThan(0.01)
    }
  })
})
