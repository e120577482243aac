// Builds the CUDA backend for the emulator: the addon, the backend's host code and every kernel, compiled by g++ against
// native/emulator instead of the CUDA toolkit. Only tests load the result: LANGEVIN_CUDA_ADDON=build-emulator/cuda.node.
// Compiles what is older than its source or one of the headers that the source includes.
// Usage: node scripts/build-emulator.mjs [--quiet] [--address] [--jobs N]
//   --address  with AddressSanitizer and UndefinedBehaviorSanitizer, into build-emulator/address
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))
const { values: options } = parseArgs({
  options: {
    quiet: { type: 'boolean', default: false },
    address: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
})
const compiler = process.env.CXX ?? 'g++'
const folder = options.address ? 'build-emulator/address' : 'build-emulator'
const addon = join(folder, 'cuda.node')

const prefix = process.env.npm_config_nodedir ?? dirname(dirname(realpathSync(process.execPath)))
const flags = [
  ...['-std=c++17', '-O2', '-g1', '-fPIC', '-pthread', '-fvisibility=hidden'],
  // As nvcc -fmad=false: products and sums are fused only where the source says fmaf.
  ...['-ffp-contract=off', '-fno-math-errno', '-fno-trapping-math'],
  // fmaf as one instruction, where this machine has it.
  ...(process.arch === 'x64' && /\bfma\b/.test(readFileSync('/proc/cpuinfo', 'utf8')) ? ['-mavx2', '-mfma'] : []),
  ...['-Wall', '-Wextra', '-Wno-unused-parameter', '-Wno-psabi', '-Wno-cast-function-type', '-Wno-unknown-pragmas'],
  ...['-DLANGEVIN_EMULATED', '-Inative/emulator'],
  ...(options.address ? ['-fsanitize=address,undefined', '-fno-omit-frame-pointer'] : []),
]
const addonFlags = [
  ...['-DNAPI_CPP_EXCEPTIONS', '-DNODE_GYP_MODULE_NAME=cuda'],
  ...[`-I${join(prefix, 'include/node')}`, '-Inode_modules/node-addon-api'],
]

function filesOf(path, ending) {
  return readdirSync(path)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(path, name))
}

const sources = [
  'native/addon/addon.cc',
  ...filesOf('native/core', '.cc'),
  ...filesOf('native/cuda', '.cc'),
  ...filesOf('native/cuda/kernels', '.cu'),
  ...filesOf('native/emulator', '.cc'),
]
const objectOf = (source) => join(folder, `${source.replaceAll('/', '-')}.o`)

/** Whether the object is newer than everything that it was made from, as the compiler noted beside it. */
function upToDate(object) {
  const note = `${object}.d`
  if (!existsSync(object) || !existsSync(note)) return false
  const made = statSync(object).mtimeMs
  const inputs = readFileSync(note, 'utf8')
    .replace(/^[^:]*:/, '')
    .replaceAll('\\\n', ' ')
    .trim()
    .split(/\s+/)
  return [...inputs, 'scripts/build-emulator.mjs'].every((path) => existsSync(path) && statSync(path).mtimeMs <= made)
}

function run(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(compiler, args, { stdio: ['ignore', 'inherit', 'pipe'] })
    let messages = ''
    child.stderr.on('data', (text) => {
      messages += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) {
        process.stderr.write(messages)
        resolve()
      } else reject(new Error(`${compiler} ${args.join(' ')}\n${messages}`))
    })
  })
}

mkdirSync(folder, { recursive: true })
const started = Date.now()
const stale = sources.filter((source) => !upToDate(objectOf(source)))
const waiting = [...stale]
const errors = []
async function worker() {
  for (let source = waiting.shift(); source; source = waiting.shift()) {
    const object = objectOf(source)
    const extra = source === 'native/addon/addon.cc' ? addonFlags : []
    await run([...flags, ...extra, '-x', 'c++', '-MMD', '-MF', `${object}.d`, '-c', source, '-o', object]).catch(
      (error) => errors.push(error),
    )
  }
}
await Promise.all(Array.from({ length: Math.max(1, Number(options.jobs)) }, worker))
if (errors.length === 0 && (stale.length > 0 || !existsSync(addon))) {
  const sanitizer = options.address ? ['-fsanitize=address,undefined'] : []
  await run(['-shared', '-pthread', ...sanitizer, ...sources.map(objectOf), '-o', addon]).catch((error) =>
    errors.push(error),
  )
}
for (const { message } of errors) process.stderr.write(`${message}\n`)
if (errors.length > 0) process.exit(1)
if (!options.quiet) {
  const seconds = ((Date.now() - started) / 1000).toFixed(0)
  process.stderr.write(`${addon}: ${stale.length} of ${sources.length} files compiled, ${seconds} s\n`)
}
