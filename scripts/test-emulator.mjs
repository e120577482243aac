// The CUDA backend on the emulated GPU: builds it (scripts/build-emulator.mjs), and runs on it what a device must do.
// Usage: node scripts/test-emulator.mjs [FILE…]    files of test/; default: all that have tests of the CUDA device
// Ends with "N passed, N failed"; exits non-zero where one failed.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))
const files =
  process.argv.length > 2
    ? process.argv.slice(2)
    : [
        'test/ops',
        'test/native',
        'test/random',
        'test/tensor',
        'test/nn/golden',
        'test/jem/cuda',
        'test/eval/cuda',
        'test/cli/cuda',
        'test/scripts/gpu.test',
      ]

const built = spawnSync(process.execPath, ['scripts/build-emulator.mjs'], { stdio: 'inherit' })
if (built.status !== 0) process.exit(1)

const folder = mkdtempSync(join(tmpdir(), 'langevin-emulator-'))
const report = join(folder, 'report.json')
const run = spawnSync(
  process.execPath,
  [
    ...['node_modules/vitest/vitest.mjs', 'run', '--testTimeout=240000', ...files],
    // The same tests of the CPU device are npm test's.
    ...['-t', 'cuda|GPU|every device', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
  ],
  { stdio: 'inherit', env: { ...process.env, LANGEVIN_CUDA_ADDON: join(process.cwd(), 'build-emulator/cuda.node') } },
)
let passed = 0
let failed = run.status === 0 ? 0 : 1
try {
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'))
  passed = numPassedTests
  failed = Math.max(failed, numFailedTests)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
