// Compiles every CUDA kernel for sm_80 and sm_90a and writes docs/kernel-resources.md: registers, shared memory, spills
// and occupancy of each. Fails where a hot kernel spills or has a stack frame, and where ptxas says that it serialised
// matrix products.
//
//   node scripts/kernel-resources.mjs [--check] [--only FILE.cu]
//
// --check: write nothing, but fail where docs/kernel-resources.md is not what would be written (by the nvcc that wrote
// it; registers may differ by a few, see differingRows). Needs nvcc 12.8 or later; what was compiled once is kept in build-resources/ and compiled again only after a
// change of its sources.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { dynamicSharedBytes } from './dynamic-shared.mjs'
import { differingRows, occupancy, parsePtx, parseResources, problemsOf, readableNames } from './ptxas.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const folder = join(root, 'native/cuda/kernels')
const cache = join(root, 'build-resources')
const page = join(root, 'docs/kernel-resources.md')
const architectures = ['sm_80', 'sm_90a']
const flags = ['-std=c++17', '-O3', '-fmad=false']
/** Kernels whose spills fail the build; each instance has a row of its own. */
const hot = [
  /^sm90::(convolve|weightGradient)</,
  /^sm80::(convolve(Forward|BackwardInput|BackwardWeight)|multiplyMatrices)</,
  /^sm80::halo/,
  /^simt::convolve/,
  /^stem::convolve/,
  /^multiplyTiles</,
  /^sgldKernel</,
  /^adamKernel/,
]
/** Kernels that exist on Hopper alone: what is compiled for sm_80 in their place is empty. */
const hopperOnly = /^sm90::(convolve|weightGradient)</
/** Threads of a block where a kernel has no __launch_bounds__: kThreads of native/cuda/elements.h. */
const usualThreads = 256

const { values: options } = parseArgs({
  options: { check: { type: 'boolean', default: false }, only: { type: 'string' } },
})

function nvccVersion() {
  const done = spawnSync('nvcc', ['--version'], { encoding: 'utf8' })
  if (done.status !== 0) {
    process.stderr.write('kernel-resources: nvcc is not installed (CUDA toolkit 12.8 or later)\n')
    process.exit(1)
  }
  return /release ([\d.]+)/.exec(done.stdout)[1]
}

/** The file and all that it includes by name in quotes. */
function withIncludes(path, found = new Set()) {
  if (found.has(path) || !existsSync(path)) return found
  found.add(path)
  for (const [, name] of readFileSync(path, 'utf8').matchAll(/^#\s*include "(.+)"/gm)) {
    withIncludes(join(dirname(path), name), found)
  }
  return found
}

function compile(source, version) {
  const hash = createHash('sha256').update([version, ...flags].join(' '))
  for (const path of withIncludes(source)) hash.update(readFileSync(path))
  const kept = join(cache, `${basename(source)}-${hash.digest('hex').slice(0, 16)}.json`)
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8'))

  const keep = mkdtempSync(join(tmpdir(), 'langevin-resources-'))
  try {
    const targets = architectures.map((name) => `-gencode=arch=${name.replace('sm', 'compute')},code=${name}`)
    const verbose = ['-Xptxas', '-v', '--keep', '--keep-dir', keep]
    const done = spawnSync('nvcc', [...flags, ...targets, ...verbose, '-c', source, '-o', join(keep, 'out.o')], {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    })
    if (done.status !== 0) {
      process.stderr.write(`${basename(source)} does not compile:\n${done.stdout}${done.stderr}\n`)
      process.exit(1)
    }
    const { kernels, notes } = parseResources(done.stdout + done.stderr)
    const names = kernels.length > 0 ? readableNames(kernels.map(({ mangled }) => mangled)) : []
    const ptx = Object.fromEntries(
      architectures.map((name) => {
        const file = readdirSync(keep).find((candidate) => candidate.endsWith(`${name.slice(3)}.ptx`))
        return [name, parsePtx(readFileSync(join(keep, file), 'utf8'))]
      }),
    )
    const result = {
      notes,
      kernels: kernels.map((kernel, i) => ({
        ...kernel,
        ...ptx[kernel.architecture].get(kernel.mangled),
        name: names[i],
        file: basename(source),
      })),
    }
    mkdirSync(cache, { recursive: true })
    for (const old of readdirSync(cache)) if (old.startsWith(`${basename(source)}-`)) rmSync(join(cache, old))
    writeFileSync(kept, JSON.stringify(result))
    return result
  } finally {
    rmSync(keep, { recursive: true })
  }
}

/** Rows of the table: kernels of one template together, where they are not hot. */
function rowsOf(kernels) {
  const groups = new Map()
  for (const kernel of kernels) {
    const isHot = hot.some((pattern) => pattern.test(kernel.name))
    const name = isHot ? kernel.name : kernel.name.replace(/<.*/, '')
    const key = `${kernel.file} ${name}`
    if (!groups.has(key)) groups.set(key, { file: kernel.file, name, members: [] })
    groups.get(key).members.push(kernel)
  }
  return [...groups.values()]
}

function range(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  return low === high ? `${low}` : `${low}–${high}`
}

function cells(members, architecture) {
  const own = members.filter((kernel) => kernel.architecture === architecture)
  if (own.length === 0) return '– | – | – | –'
  const fits = own.map((kernel) => occupancy(kernel))
  const limits = [...new Set(fits.map(({ limit }) => limit))].join(', ')
  const percent = range(fits.map(({ share }) => Math.round(share * 100)))
  return [
    range(own.map(({ registers }) => registers)),
    range(own.map(({ sharedBytes }) => sharedBytes)),
    range(own.map(({ spillStoreBytes, spillLoadBytes }) => spillStoreBytes + spillLoadBytes)),
    `${range(fits.map(({ blocks }) => blocks))}, ${percent} % (${limits})`,
  ].join(' | ')
}

function tableOf(kernels, version) {
  const lines = [
    '# Registers, shared memory and occupancy of the CUDA kernels',
    '',
    `Made by \`node scripts/kernel-resources.mjs\` from \`ptxas -v\` of nvcc ${version} (\`${flags.join(' ')}\`); do not edit.`,
    'Templates stand in one row with the range over their instances, except hot kernels, which must not spill. Shared',
    'memory is static and dynamic, in bytes. Occupancy: blocks that fit on a multiprocessor, the share of its 2048 threads',
    'that they fill, and what limits them. Kernels that change their registers at run time (setmaxnreg) start with those shown.',
    '',
    '| kernel | instances | threads | sm_80: registers | shared | spills | occupancy | sm_90a: registers | shared | spills | occupancy |',
    '|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---|',
  ]
  let file
  for (const row of rowsOf(kernels)) {
    if (row.file !== file) {
      file = row.file
      lines.push(`| **${file}** | | | | | | | | | | |`)
    }
    const instances = new Set(row.members.map(({ name }) => name)).size
    const threads = range(row.members.map((kernel) => kernel.threads))
    const each = architectures.map((architecture) => cells(row.members, architecture)).join(' | ')
    lines.push(`| \`${row.name}\` | ${instances} | ${threads} | ${each} |`)
  }
  return `${lines.join('\n')}\n`
}

const version = nvccVersion()
const sources = readdirSync(folder)
  .filter((name) => name.endsWith('.cu') && (!options.only || name === options.only))
  .sort()
let kernels = []
const notes = []
for (const name of sources) {
  process.stderr.write(`${name} … `)
  const started = Date.now()
  const result = compile(join(folder, name), version)
  process.stderr.write(`${((Date.now() - started) / 1000).toFixed(0)} s\n`)
  kernels.push(...result.kernels)
  notes.push(...result.notes)
}
kernels = kernels.filter(({ name, architecture }) => architecture === 'sm_90a' || !hopperOnly.test(name))
const problems = options.only ? [] : problemsOf(kernels, notes, hot)
for (const kernel of kernels) {
  kernel.threads ??= usualThreads
  if (!kernel.usesDynamicShared) continue
  const bytes = dynamicSharedBytes(kernel.name)
  if (bytes !== undefined) kernel.sharedBytes += bytes
  else problems.push(`${kernel.name} has dynamic shared memory of unknown size: add it to scripts/dynamic-shared.mjs`)
}
const table = tableOf(kernels, version)
if (options.only) process.stdout.write(table)
else if (!options.check) writeFileSync(page, table)
else {
  const written = existsSync(page) ? readFileSync(page, 'utf8') : ''
  // Another compiler gives other registers.
  const comparable = !written || written.includes(`nvcc ${version} `)
  const rows = comparable ? differingRows(written, table) : []
  if (rows.length > 0) {
    const shown = rows.slice(0, 5).join('\n')
    problems.push(`docs/kernel-resources.md is not up to date: run node scripts/kernel-resources.mjs\n${shown}`)
  }
}
for (const problem of new Set(problems)) process.stderr.write(`kernel-resources: ${problem}\n`)
process.exit(problems.length > 0 ? 1 : 0)
