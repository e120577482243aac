// The conformance suite (native/test/conformance): tiny kernels, one per instruction of native/cuda/ptx.h.
//   node scripts/conformance.mjs                  on the emulator, compared with every recorded output of a real GPU
//   node scripts/conformance.mjs --record FILE    on the GPU of this machine, built by nvcc; writes what it gives
// Exits non-zero where an output differs from a recorded one, or a case fails. Without recorded outputs every case says
// "not recorded on hardware".
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({ options: { record: { type: 'string' } } })
const record = options.record && resolve(options.record)
process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))

const suite = 'native/test/conformance'
const recordedFolder = join(suite, 'recorded')
const filesOf = (folder, ending) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))

const onGpu = record !== undefined
const folder = join('build', onGpu ? 'conformance-gpu' : 'conformance')
const compiler = onGpu ? 'nvcc' : (process.env.CXX ?? 'g++')
const flags = onGpu
  ? [
      ...['-std=c++17', '-fmad=false', '-O2'],
      ...['-gencode', 'arch=compute_80,code=compute_80', '-gencode', 'arch=compute_90a,code=sm_90a'],
    ]
  : [
      ...['-std=c++17', '-O2', '-pthread', '-ffp-contract=off', '-Wall', '-Wextra', '-Werror'],
      ...['-Wno-unknown-pragmas', '-Wno-psabi', '-Wno-unused-parameter'],
      ...['-DLANGEVIN_EMULATED', '-Inative/emulator'],
    ]
const sources = ['native/core/fault.cc', ...(onGpu ? [] : filesOf('native/emulator', '.cc')), ...filesOf(suite, '.cu')]
const objectOf = (source) => join(folder, `${basename(source)}.o`)

function run(command, args) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: 'inherit' })
    child.on('error', fail)
    child.on('close', (code) => done(code ?? 1))
  })
}

mkdirSync(folder, { recursive: true })
const waiting = [...sources]
async function worker() {
  for (let source = waiting.shift(); source; source = waiting.shift()) {
    const language = onGpu ? [] : ['-x', 'c++']
    const code = await run(compiler, [...flags, ...language, '-c', source, '-o', objectOf(source)])
    if (code !== 0) process.exit(1)
  }
}
await Promise.all(Array.from({ length: Math.min(8, availableParallelism()) }, worker))
const program = join(folder, 'conformance')
const libraries = onGpu ? [] : ['-pthread', '-ldl']
if ((await run(compiler, [...sources.map(objectOf), ...libraries, '-o', program])) !== 0) process.exit(1)

if (onGpu) process.exit(await run(program, ['--record', record]))
const recorded = filesOf(recordedFolder, '.txt')
let failed = 0
// Without a recording the cases still run, and say that there is none.
for (const file of recorded.length > 0 ? recorded : [join(recordedFolder, 'sm_90.txt')]) {
  failed += await run(program, ['--compare', file])
}
process.exit(failed === 0 ? 0 : 1)
