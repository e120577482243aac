// The native code under sanitizers. Two parts:
//   core    native/test/*_test.cc, each built and run plainly, with AddressSanitizer and UndefinedBehaviorSanitizer, and
//           with ThreadSanitizer; those named emulator_* on native/emulator and not with ThreadSanitizer, and where they
//           include the CUDA backend, with that, plainly only
//   addon   the whole addon built with ASan and UBSan into build-sanitize/, and the op table and the contract's fuzz
//           test (vitest) run on it; needs node_modules
// Usage: node scripts/test-native.mjs [core] [addon] [--addon-thread] [--isa base,avx2,avx512]
// Ends with "N passed, N failed" (cases of native/test, runs of the addon); exits non-zero where one failed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    isa: { type: 'string', default: process.arch === 'x64' ? 'base,avx2,avx512' : 'base' },
    /** Also runs the addon under ThreadSanitizer. */
    'addon-thread': { type: 'boolean', default: false },
  },
})
const parts = positionals.length > 0 ? positionals : ['core', 'addon']
const compiler = process.env.CXX ?? 'g++'

/** The build's own description: binding.gyp holds nothing that JSON does not. */
const gyp = JSON.parse(readFileSync('binding.gyp', 'utf8'))
const commonFlags = gyp.variables.common_flags
const targets = [...gyp.targets, ...gyp.conditions.flatMap(([, { targets }]) => targets)]
const kernelSources = readdirSync('native/cpu/kernels').filter((f) => f.endsWith('.cc'))
const addonSources = targets.find((t) => t.target_name === 'cpu').sources
const filesOf = (folder, ending) =>
  readdirSync(folder)
    .filter((f) => f.endsWith(ending))
    .map((f) => join(folder, f))
const coreSources = [
  ...['native/core/fault.cc', 'native/core/pool.cc', 'native/core/executor.cc'],
  ...['native/cpu/stream.cc', 'native/cpu/graphs.cc'],
]

const emulatorFlags = [
  ...['-DLANGEVIN_EMULATED', '-Inative/emulator', '-Wno-unknown-pragmas', '-Wno-psabi', '-Wno-unused-parameter'],
]
const emulatorSources = ['native/core/fault.cc', ...filesOf('native/emulator', '.cc')]
const backendSources = [
  ...filesOf('native/core', '.cc').filter((file) => !emulatorSources.includes(file)),
  ...filesOf('native/cuda', '.cc'),
  ...filesOf('native/cuda/kernels', '.cu'),
]

const sanitizers = {
  plain: { flags: [], environment: {} },
  address: {
    flags: ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer'],
    libraries: ['libasan.so', 'libubsan.so'],
    environment: {
      ASAN_OPTIONS: 'allocator_may_return_null=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    },
  },
  thread: {
    flags: ['-fsanitize=thread', '-fno-omit-frame-pointer'],
    libraries: ['libtsan.so'],
    environment: { TSAN_OPTIONS: 'allocator_may_return_null=1:halt_on_error=1:second_deadlock_stack=1' },
  },
}

let passed = 0
let failed = 0
function report(name, ok, output = '') {
  if (ok) passed++
  else failed++
  process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${name}\n${ok ? '' : `${output}\n`}`)
}

/** Runs compilers, as many at once as there are cores; throws with the first one's messages. */
async function compileAll(commands) {
  const waiting = [...commands]
  const worker = async () => {
    for (let args = waiting.shift(); args; args = waiting.shift()) {
      await new Promise((resolve, reject) => {
        const child = spawn(compiler, args, { stdio: ['ignore', 'inherit', 'pipe'] })
        let messages = ''
        child.stderr.on('data', (text) => {
          messages += text
        })
        child.on('error', reject)
        child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`${args.join(' ')}\n${messages}`))))
      })
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
}

function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(...readdirSync(path).map((name) => newest(join(path, name))))
}

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(0)} s`

/** The sources that a test of native/test is linked with, besides its own; null: not with this sanitizer. */
function sourcesFor(test, sanitizer) {
  if (!test.startsWith('emulator_')) return coreSources
  // ThreadSanitizer loses track of fibers in a forked process, which is where these tests look for reports.
  if (sanitizer === 'thread') return null
  const backend = /#include "\.\.\/cuda\/(?!(platform|ptx|wgmma)\.h)/.test(
    readFileSync(join('native/test', test), 'utf8'),
  )
  if (backend && sanitizer !== 'plain') return null
  return backend ? [...emulatorSources, ...backendSources] : emulatorSources
}

async function testCore() {
  const all = readdirSync('native/test').filter((name) => name.endsWith('_test.cc'))
  for (const [name, { flags, environment }] of Object.entries(sanitizers)) {
    const started = Date.now()
    const folder = join('build-sanitize', 'core', name)
    mkdirSync(folder, { recursive: true })
    const common = ['-std=c++17', '-g', '-Wall', '-Wextra', '-Werror', '-ffp-contract=off', '-pthread', ...flags]
    const object = (source) => join(folder, `${source.replaceAll('/', '-')}.o`)
    const compile = (source) => {
      const emulated = /native\/(emulator|cuda)\/|\/emulator_/.test(source)
      return [
        ...common,
        // Kernels, and the machine that runs them, are slow without optimisation.
        ...(emulated ? [...emulatorFlags, name === 'plain' ? '-O2' : '-O1'] : ['-O1']),
        ...['-x', 'c++', '-c', source, '-o', object(source)],
      ]
    }
    const tests = all.filter((test) => sourcesFor(test, name) !== null)
    const linked = new Set(tests.flatMap((test) => sourcesFor(test, name)))
    await compileAll([...linked, ...tests.map((test) => join('native/test', test))].map(compile))
    const program = (test) => join(folder, basename(test, '.cc'))
    await compileAll(
      tests.map((test) => [
        ...[...common, object(join('native/test', test)), ...sourcesFor(test, name).map(object)],
        ...['-ldl', '-o', program(test)],
      ]),
    )
    for (const test of tests) {
      const run = spawnSync(program(test), {
        encoding: 'utf8',
        env: { ...process.env, ...environment },
        timeout: 300_000,
      })
      const counts = /^(\d+) passed, (\d+) failed$/m.exec(run.stdout)
      const ok = run.status === 0 && counts !== null
      report(`${basename(test, '.cc')}, ${name}`, ok, run.stdout + run.stderr)
      if (counts) {
        // The program's own cases count, not the program.
        passed += Number(counts[1]) - (ok ? 1 : 0)
        failed += Number(counts[2]) - (ok ? 0 : 1)
        if (!ok && counts[2] === '0') failed++ // the sanitizer spoke
      }
    }
    process.stdout.write(`core, ${name}: ${seconds(started)}\n`)
  }
}

/** Builds the addon with a sanitizer, from the same lists and instruction sets as node-gyp does, and returns its path. */
async function buildAddon(sanitizer) {
  const folder = join('build-sanitize', sanitizer)
  const addon = join(folder, 'cpu.node')
  const inputs = ['native/core', 'native/cpu', 'native/addon', 'binding.gyp'].map(newest)
  if (existsSync(addon) && statSync(addon).mtimeMs > Math.max(...inputs)) return addon
  mkdirSync(folder, { recursive: true })
  const started = Date.now()
  const prefix = process.env.npm_config_nodedir ?? dirname(dirname(realpathSync(process.execPath)))
  const includes = [`-I${join(prefix, 'include/node')}`, '-Inode_modules/node-addon-api']
  const optimisation = commonFlags.map((flag) => (flag === '-O3' ? '-O1' : flag))
  const flags = [...optimisation, '-g1', '-fPIC', ...sanitizers[sanitizer].flags]
  const objects = []
  const jobs = []
  const compile = (source, tag, extra) => {
    const object = join(folder, `${tag}-${basename(source, '.cc')}.o`)
    objects.push(object)
    jobs.push([...flags, ...extra, '-c', source, '-o', object])
  }
  // All instruction sets are linked, so that the table of variants is the real one.
  for (const target of targets.filter((t) => t.target_name.startsWith('kernels_'))) {
    const isa = target.target_name.slice('kernels_'.length)
    const all = kernelSources.map((source) => join('native/cpu/kernels', source))
    for (const source of target.sources.flatMap((name) => (name === '<@(kernel_sources)' ? all : name))) {
      compile(source, isa, [`-DLANGEVIN_ISA=${isa}`, ...(target.cflags_cc ?? [])])
    }
  }
  for (const source of addonSources) {
    compile(source, 'addon', ['-DNAPI_CPP_EXCEPTIONS', '-DNODE_GYP_MODULE_NAME=cpu', ...includes])
  }
  await compileAll(jobs)
  await compileAll([['-shared', '-pthread', ...sanitizers[sanitizer].flags, ...objects, '-o', addon]])
  process.stdout.write(`addon with ${sanitizer}: built in ${seconds(started)}\n`)
  return addon
}

function libraryPath(name) {
  return spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim()
}

async function testAddon(sanitizer, files) {
  const addon = await buildAddon(sanitizer)
  const { libraries, environment } = sanitizers[sanitizer]
  for (const isa of options.isa.split(',')) {
    const started = Date.now()
    const run = spawnSync(
      process.execPath,
      ['node_modules/vitest/vitest.mjs', 'run', '--testTimeout=600000', '--reporter=default', ...files],
      {
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
        env: {
          ...process.env,
          ...environment,
          LD_PRELOAD: libraries.map(libraryPath).join(' '),
          // Node itself is not built for leak checks; native/test is checked for leaks.
          ...(environment.ASAN_OPTIONS && { ASAN_OPTIONS: `${environment.ASAN_OPTIONS}:detect_leaks=0` }),
          LANGEVIN_CPU_ADDON: join(process.cwd(), addon),
          LANGEVIN_ISA: isa,
        },
      },
    )
    const output = run.stdout + run.stderr
    if (/is not one that this machine has/.test(output)) {
      process.stdout.write(`skip   addon, ${sanitizer}, ${isa}: this machine does not have it\n`)
      continue
    }
    const clean = !/ERROR: AddressSanitizer|runtime error:|WARNING: ThreadSanitizer/.test(output)
    report(`addon, ${sanitizer}, ${isa} (${seconds(started)})`, run.status === 0 && clean, output)
  }
}

if (parts.includes('core')) await testCore()
if (parts.includes('addon')) await testAddon('address', ['test/ops', 'test/native'])
if (options['addon-thread']) await testAddon('thread', ['test/ops/determinism.test.ts', 'test/native'])
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 ? 0 : 1)
