import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { findPyTorch } from '../../src/cli/peer.ts'
import { builtCli } from '../cli/built.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const module = (path: string) => import(new URL(`../../${path}`, import.meta.url).href)

function node(...args: string[]) {
  builtCli() // dist/, which the bench loads
  return spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
}

/** A result with a figure in every place, as bench/run.mjs writes it. */
const spread = (median: number) => ({ median, min: median / 2, max: 2 * median })
const side = (name: string, median: number, more = {}) => ({ name, threads: 2, perSecond: spread(median), ...more })
const image = { size: 32, channels: 3 }
const document = {
  ...{ date: '2026-01-02T03:04:05Z', commit: 'abc1234', cpu: 'a processor', cores: 2, threads: 2, loadAtStart: 0.1 },
  ...{ rounds: 7, secondsPerSlice: 3, versions: { langevin: '1.2.3', node: '20.1.0', gxx: '12.2.0' } },
  limits: { gflops: 200, copyGBs: 20 },
  rows: [
    {
      ...{ group: 'sgld', what: 'sgld', net: 'wrn-16-2', batch: 64, ...image },
      sides: [
        side('langevin', 400, { isa: 'avx512', gflops: 150 }),
        side('pytorch', 200, { version: '9.8', gflops: 75, ratio: spread(2) }),
        side('tfjs', 5, { version: '4.2', ratio: spread(80) }),
      ],
    },
    {
      ...{ group: 'iteration', what: 'iteration', net: 'wrn-16-2', batch: 64, steps: 20, ...image },
      sides: [side('langevin', 16), { name: 'pytorch', threads: 2, skipped: true }],
    },
    {
      ...{ group: 'one thread', what: 'sgld', net: 'wrn-16-2', batch: 64, ...image },
      sides: [
        side('langevin', 210, { threads: 1 }),
        side('pytorch', 140, { threads: 1, ratio: spread(1.5) }),
        side('langevin', 400, { ratio: spread(0.5) }),
      ],
    },
  ],
  memory: {
    ...{ net: 'wrn-28-10', batch: 8, ratio: 5 },
    langevin: { parameterBytes: 146e6, beyondBytes: 100e6 },
    pytorch: { parameterBytes: 146e6, beyondBytes: 500e6 },
  },
  kernels: {
    convolutions: ['forward', 'dgrad', 'wgrad'].flatMap((pass) => [
      {
        ...{ net: 'wrn-16-2', batch: 64, layer: '3×3 32→32, 32×32', cin: 32, cout: 32, pass },
        ...{ operations: 1.2e9, bytes: 2e7, seconds: 0.008 },
      },
      {
        ...{ net: 'wrn-16-2', batch: 64, layer: '3×3 3→16, 32×32', cin: 3, cout: 16, pass },
        ...{ operations: 5e7, bytes: 5e6, seconds: 0.001 },
      },
    ]),
    elementwise: [{ kernel: 'accumulate', bytes: 4e8, seconds: 0.025, copyGBs: 20 }],
  },
  scaling: {
    curves: [
      { grows: 'batch', points: [1, 4].map((value) => ({ value, langevin: spread(100), pytorch: spread(50) })) },
    ],
  },
}

describe('README and docs/bench.md', () => {
  it('quote what is in the newest result', { timeout: 60_000 }, () => {
    const { status, stderr } = node('bench/pages.mjs', '--check')
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  it('show no picture that is not there', () => {
    for (const [page, folder] of [
      ['README.md', root],
      ['docs/bench.md', join(root, 'docs')],
    ]) {
      for (const [, path] of readFileSync(join(root, page), 'utf8').matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)) {
        expect(existsSync(join(folder, path)), `${page}: ${path}`).toBe(true)
      }
    }
  })

  it('tell figures with their unit, spread, ratio and share of the limit', async () => {
    const tables = await module('bench/pages/tables.mjs')
    const [sgld, iteration] = tables.mainTable(document).split('\n').slice(2)
    expect(sgld).toBe(
      '| SGLD, WRN-16-2, 32×32×3, batch 64: image-steps/s | 400 (200–800) | 200 (100–400) ' +
        '| **2.00×** (1.00–4.00) | 5 (2.5–10) | 75 % | 38 % |',
    )
    // 64 images at 16 images/s are 4 s.
    expect(iteration).toContain('20 steps: s | 4 (2–8) | – | – |')
    // Half as fast with one thread as with two.
    expect(tables.threadsTable(document)).toContain('| 210 (105–420) | 140 (70–280) | **1.50×**')
    expect(tables.threadsTable(document)).toMatch(/\| 400 \(200–800\) \| \*\*2\.00×\*\* \(1\.00–4\.00\) \|$/)
    expect(tables.memoryLine(document)).toContain('langevin 100 MB, PyTorch 500 MB, 5.0 times as much')
    // 1.2 GFLOP in 8 ms; too few channels are left out.
    expect(tables.convolutionsTable(document).split('\n').slice(2)).toEqual([
      '| WRN-16-2, batch 64: 3×3 32→32, 32×32 | 150 (75 %) | 150 (75 %) | 150 (75 %) |',
    ])
    expect(tables.elementwiseTable(document)).toContain('| accumulate | 16 | 20 | 80 % |')
    expect(tables.scalingTable(document)).toContain('| batch 4 | 100 (50–200) | 50 (25–100) | 2.00× |')
    const told = tables.provenance(document, 'x.json')
    for (const fact of ['2026-01-02', 'abc1234', 'a processor', '20.1.0', 'PyTorch 9.8', 'tfjs 4.2', '200 GFLOP/s']) {
      expect(told).toContain(fact)
    }
    expect(told).not.toContain('not quiet')
  })

  it('tell how long judging takes', async () => {
    const tables = await module('bench/pages/tables.mjs')
    const result = {
      ...{ cpu: 'a processor', date: '2026-01-02T03:04:05Z', commit: 'abc1234', loadAtStart: 0.1, rounds: 5 },
      rows: [
        {
          ...{ net: 'wrn-16-2', ...image, images: 10_000, threads: 2, ratio: spread(2) },
          langevin: { secondsPerPass: spread(4) },
          pytorch: { version: '9.8', secondsPerPass: spread(8) },
        },
        {
          ...{ net: 'wrn-10-1', ...image, images: 10_000, threads: 2 },
          langevin: { secondsPerPass: spread(1) },
          pytorch: { skipped: 'no PyTorch' },
        },
      ],
      numbers: { 'AUROC of 1e6 scores': spread(0.5) },
    }
    expect(tables.judgingTable(result).split('\n').slice(2)).toEqual([
      '| 10,000 images of 32×32×3, WRN-16-2 | 4 s (2–8) | 8 s (4–16) | **2.00×** (1.00–4.00) |',
      '| 10,000 images of 32×32×3, WRN-10-1 | 1 s (0.5–2) | – | – |',
    ])
    const told = tables.judgingTimes(result)
    for (const fact of ['AUROC of 1e6 scores: 0.5 s', '2026-01-02', 'abc1234', 'a processor', 'PyTorch 9.8']) {
      expect(told).toContain(fact)
    }
  })

  it('say what was not measured', async () => {
    const tables = await module('bench/pages/tables.mjs')
    const { memory: _, kernels: __, scaling: ___, ...bare } = document
    for (const text of [tables.memoryLine(bare), tables.convolutionsTable(bare), tables.scalingTable(bare)]) {
      expect(text).toContain('not measured in this run')
    }
  })

  it('draw what was measured: a bar for each ratio, a dot for each convolution and point', async () => {
    builtCli()
    const { ratioBars, rooflinePlot, scalingPlot } = await module('bench/pages/plots.mjs')
    expect(ratioBars(document).match(/<rect/g)).toHaveLength(1) // the iteration has no ratio
    expect(ratioBars(document)).toContain('2.00×')
    const roofline = rooflinePlot(document)
    expect(roofline.match(/<circle/g)).toHaveLength(4) // two layers, forward and to the input
    expect(roofline).toContain('200 GFLOP/s, 20 GB/s')
    expect(scalingPlot(document.scaling.curves[0], document).match(/<circle/g)).toHaveLength(4)
    expect(ratioBars({ ...document, rows: [] })).toBeUndefined()
  })
})

describe('npm run bench', () => {
  it('measures every part, from the rows to scaling', { timeout: 600_000 }, () => {
    const out = join(temporaryFolder(), 'result.json')
    const { status, stderr } = node('bench/run.mjs', '--tiny', '--threads', '1', '--out', out)
    expect(status, stderr).toBe(0)
    expect(readdirSync(join(out, '..'))).toEqual(['result.json'])
    const result = JSON.parse(readFileSync(out, 'utf8'))
    expect(result).toMatchObject({ tiny: true, threads: 1, cpu: expect.any(String), commit: expect.any(String) })
    const groups = result.rows.map(({ group }: { group: string }) => group)
    expect(groups).toEqual(['sgld', 'iteration', 'inference', 'inference', 'one thread', 'avx2'])
    for (const row of result.rows) {
      const [ours, pytorch] = row.sides
      expect(ours.perSecond.median, row.group).toBeGreaterThan(0)
      if (!findPyTorch()) {
        expect(pytorch).toMatchObject({ name: 'pytorch', skipped: true })
        continue
      }
      // One round, so that the ratio is that of the two figures.
      expect(pytorch.ratio.median, row.group).toBeCloseTo(ours.perSecond.median / pytorch.perSecond.median, 6)
    }
    expect(result.rows.at(-1).sides[0].isa).toBe('avx2')
    expect(result.memory.langevin.beyondBytes).toBeGreaterThan(0)
    expect(result.kernels.convolutions).toHaveLength(30 - 3) // 10 distinct ones of wrn-10-2, three of them shortcuts
    expect(result.kernels.elementwise.length).toBeGreaterThan(15)
    for (const { bytes, seconds, copyGBs } of result.kernels.elementwise) {
      expect(bytes / seconds).toBeGreaterThan(0)
      expect(copyGBs).toBeGreaterThan(0)
    }
    expect(result.scaling.curves.map(({ grows }: { grows: string }) => grows)).toContain('threads')
    if (findPyTorch()) {
      expect(result.rows[0].sides[1].gradientError).toBeLessThan(1e-10)
      expect(result.oneDnnIsa.avx2).not.toMatch(/AVX-512/)
    }
  })

  it('names the parts that there are where --only asks for another', () => {
    const { status, stderr } = node('bench/run.mjs', '--only', 'comparison')
    expect(status).toBe(2)
    expect(stderr).toContain('--only takes comparisons, memory, kernels, scaling, got comparison')
  })
})
