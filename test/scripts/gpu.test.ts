import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { findPyTorch } from '../../src/cli/peer.ts'
import { builtCli } from '../cli/built.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { reportOf } = await import(new URL('../../bench/gpu/report.mjs', import.meta.url).href)

function dryRun(only: string, environment: NodeJS.ProcessEnv = {}, gpu = 'no-gpu') {
  builtCli() // dist/, which the benches load
  const out = temporaryFolder()
  const { status, stdout, stderr } = spawnSync('scripts/gpu.sh', ['--only', only, '--out', out], {
    cwd: root,
    encoding: 'utf8',
    // Without a driver's tool there is no GPU, also where there is one.
    env: { ...process.env, PATH: `${join(root, 'test/fixtures', gpu)}:${process.env.PATH}`, ...environment },
  })
  const document = JSON.parse(readFileSync(join(out, 'gpu.json'), 'utf8'))
  const results = Object.fromEntries(document.steps.map((step: { name: string; status: string }) => [step.name, step]))
  return { status, stdout, stderr, document, results, log: readFileSync(join(out, 'gpu.log'), 'utf8') }
}

describe('what a GPU machine will run, without one', { timeout: 300_000 }, () => {
  it('every check and bench runs and its figures arrive', () => {
    const wanted = ['hot kernels', 'determinism', 'bench convolutions', 'bench sgld', 'bench iteration', 'bench memory']
    const { status, stdout, document, results, log } = dryRun(wanted.join(','))
    expect(status, stdout + log.slice(-2000)).toBe(0)
    for (const name of wanted) expect(results[name], name).toMatchObject({ status: 'passed' })
    expect(results.memcheck).toMatchObject({ status: 'skipped' })
    expect(document).toMatchObject({ dry: true, date: expect.any(String), versions: { node: process.versions.node } })

    const { convolutions, sgld, iteration, memory } = document
    // 10 distinct convolutions of wrn-10-2 in three passes, but three of them, shortcuts, are forward part of others.
    expect(convolutions.rows).toHaveLength(30 - 3)
    expect(sgld.rows).toHaveLength(2)
    expect(iteration.rows).toHaveLength(2)
    for (const row of [...convolutions.rows, ...sgld.rows, ...iteration.rows]) {
      expect(row.langevin.seconds ?? row.langevin.imageStepsPerSecond.median, JSON.stringify(row)).toBeGreaterThan(0)
    }
    for (const row of memory.rows) expect(row.gbs, JSON.stringify(row)).toBeGreaterThan(0)
    // A CPU's PyTorch cannot run beside the emulated GPU.
    if (findPyTorch() && !process.env.LANGEVIN_CUDA_ADDON) {
      expect(convolutions.matrixPeakTflops).toBeGreaterThan(0)
      expect(memory.copyGBs).toBeGreaterThan(0)
      for (const row of convolutions.rows) {
        expect(row.ratio).toBeCloseTo(row.pytorch.seconds / row.langevin.seconds, 9)
      }
      for (const row of sgld.rows) expect(row.pytorch.imageStepsPerSecond.median).toBeGreaterThan(0)
      expect(iteration.rows[0].pytorch.seconds).toBeGreaterThan(0)
    }
    for (const title of ['Dry run', 'Convolutions', 'SGLD', 'Iterations', 'Kernels bound by memory']) {
      expect(stdout).toMatch(new RegExp(`^#+ ${title}`, 'm'))
    }
  })

  it('a step that fails is told, the next one runs, and the exit status says so', () => {
    const { status, stdout, document, results } = dryRun('hot kernels,bench memory,doctor', {
      LANGEVIN_CUDA_ADDON: '/nowhere/cuda.node',
    })
    expect(status).toBe(1)
    expect(results['hot kernels']).toMatchObject({ status: 'failed' })
    expect(results['bench memory']).toMatchObject({ status: 'failed' })
    expect(document.failures['hot kernels']).toContain('/nowhere/cuda.node')
    expect(stdout).toMatch(/^hot kernels: failed/m)
  })

  it('with a GPU its name, clocks and power are told, and a tool that is missing costs its step alone', () => {
    const { stdout, document, results } = dryRun('doctor,memcheck', {}, 'made-up-gpu')
    expect(document).toMatchObject({
      dry: false,
      gpu: { name: 'NVIDIA Made-up 80GB', driver: '580.1', computeCapability: '9.0', powerLimit: '700.00 W' },
    })
    expect(results.doctor).toMatchObject({
      clockMHz: { median: 1755, min: 1755, max: 1755 },
      powerW: { median: 350.25 },
      temperatureC: { median: 45 },
    })
    if (spawnSync('which', ['compute-sanitizer']).status !== 0) {
      expect(results.memcheck).toMatchObject({ status: 'skipped', detail: 'compute-sanitizer is not installed here' })
    }
    expect(stdout).toMatch(/^# langevin on a GPU\n\nNVIDIA Made-up 80GB \(81559 MiB, limit 700.00 W/m)
  })

  it('a wrong step is refused with those that there are', () => {
    const { status, stderr } = spawnSync('scripts/gpu.sh', ['--only', 'everything'], { cwd: root, encoding: 'utf8' })
    expect(status).toBe(2)
    expect(stderr).toMatch(/no step "everything"; there are checks, benches, build, /)
  })
})

describe('the report', () => {
  const side = (tflops: number, seconds: number) => ({ tflops, seconds })
  const document = {
    dry: false,
    date: '2026-01-02T03:04:05Z',
    commit: 'abc1234',
    modified: false,
    versions: { langevin: '1.0.0', node: '20.0.0' },
    gpu: { name: 'NVIDIA H100', driver: '580.1', memory: '80 GiB', powerLimit: '700 W', maximalClock: '1980 MHz' },
    steps: [
      { name: 'op table', status: 'failed', seconds: 12.3, detail: 'exit 1: a | b' },
      { name: 'bench sgld', status: 'passed', seconds: 60, clockMHz: { median: 1700, min: 1600, max: 1980 } },
    ],
    convolutions: {
      net: 'wrn-28-10',
      precision: 'bf16',
      level: 'sm90',
      matrixPeakTflops: 800,
      rows: [
        {
          layer: 'a',
          count: 7,
          batch: 64,
          pass: 'forward',
          langevin: side(600, 1),
          pytorch: side(400, 1.5),
          ratio: 1.5,
        },
        { layer: 'a', count: 7, batch: 64, pass: 'dgrad', langevin: { error: 'x' }, pytorch: side(400, 1.5) },
      ],
    },
    sgld: {
      chainSteps: 20,
      rows: [
        { net: 'wrn-28-10', batch: 64, precision: 'bf16', error: 'out of memory' },
        {
          ...{ net: 'wrn-16-2', batch: 64, precision: 'bf16', ratio: { median: 1.25 } },
          langevin: {
            ...{ imageStepsPerSecond: { median: 25_000 }, msPerStep: 2.56, tflops: 600, mode: 'graph' },
            ...{ peakBytes: 3e8, scratchBytes: 1e8, weightBytes: 1.5e8 },
          },
          pytorch: { imageStepsPerSecond: { median: 20_000 }, msPerStep: 3.2, mode: 'compile, graph' },
        },
      ],
    },
  }

  it('says what was measured, against what, where, and what failed', () => {
    const page = reportOf(document)
    expect(page).toContain('NVIDIA H100 (80 GiB, limit 700 W, up to 1980 MHz), driver 580.1')
    expect(page).toContain('commit abc1234, 2026-01-02 03:04 UTC')
    expect(page).toContain('| op table | failed | 12 | – | – | exit 1: a / b |')
    expect(page).toContain('| bench sgld | passed | 60 | 1,700 (1,600–1,980) |')
    expect(page).toContain('| a (×7) | 600.0 (75 %) | 400.0 (50 %) | 1.50× | failed | 400.0 (50 %) | – | – | – | – |')
    expect(page).toContain('| wrn-28-10, bf16, batch 64 | failed |')
    expect(page).toContain(
      '| wrn-16-2, bf16, batch 64 | 25,000 (graph) | 2.56 | 600.0 | 20,000 (compile, graph) | 3.20 | 1.25× | 250 |',
    )
    expect(page).not.toContain('## Iterations')
  })
})
