// nvcc, failing where ptxas notes that it made a kernel slower than its source says (scripts/ptxas.mjs): such a note is
// no warning, so that no flag of nvcc does this. A launcher for CMake: node checked-nvcc.mjs NVCC ARGUMENT…
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { parseResources } from './ptxas.mjs'

const [nvcc, ...flags] = process.argv.slice(2)
const done = spawnSync(nvcc, flags, { encoding: 'utf8', maxBuffer: 2 ** 28, stdio: ['ignore', 'inherit', 'pipe'] })
process.stderr.write(done.stderr ?? `${done.error.message}\n`)
if (done.status !== 0) process.exit(done.status ?? 1)
const { notes } = parseResources(done.stderr)
for (const { code } of notes) process.stderr.write(`error: ptxas note ${code} fails the build\n`)
if (notes.length > 0) {
  rmSync(flags[flags.indexOf('-o') + 1], { force: true }) // or make would take it for built
  process.exit(1)
}
