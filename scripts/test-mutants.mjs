// Seeded bugs: does the test table notice? Each mutant of scripts/mutants.mjs is one small bug in a CUDA kernel or in what
// kernels share. It is built into a copy of the emulated addon, and the test that it names must fail on that copy (a
// crash or a deadlock report is a failure), having passed on the addon without it. A test is one of vitest's, or a case
// of a program of native/test, linked with the backend's objects.
// Usage: node scripts/test-mutants.mjs [--only TEXT] [--jobs N] [--verbose]
//   --only     mutants whose description or file contains TEXT
//   --verbose  what each failing test said first
// Ends with "N passed, N failed" (passed: caught); exits non-zero where one failed.
import { spawn } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { mutants as all } from './mutants.mjs'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))
const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    verbose: { type: 'boolean', default: false },
  },
})
const mutantFolder = 'build-emulator/mutants'
const mutants = all.filter(({ what, file }) => `${what} ${file}`.includes(options.only))

/** Runs a program to its end, or kills it and its children after `seconds`. */
function run(program, args, { environment = {}, seconds = 600 } = {}) {
  return new Promise((done) => {
    const child = spawn(program, args, {
      env: { ...process.env, NO_COLOR: '1', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    const collect = (text) => {
      output += text
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    let tooLate = false
    const timer = setTimeout(() => {
      tooLate = true
      process.kill(-child.pid, 'SIGKILL')
    }, seconds * 1000)
    child.on('close', (status) => {
      clearTimeout(timer)
      done({ status, output, tooLate })
    })
  })
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Runs tests in `file` on the objects and the addon in `folder`. Gives the names of those that ran (vitest: of these
 *  names), and what the first failure said, undefined where all passed. */
function runTests(file, names, folder, seconds = 120) {
  return file.endsWith('.cc') ? runProgram(file, folder, seconds) : runVitest(file, names, folder, seconds)
}

async function runVitest(file, names, folder, seconds) {
  const report = join(folder, 'report.json')
  rmSync(report, { force: true })
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', file, '-t', `^(${names.map(escaped).join('|')})$`]
  const { status, output, tooLate } = await run(
    process.execPath,
    [...vitest, '--reporter=json', `--outputFile=${report}`, '--maxWorkers=1', '--bail=1', '--testTimeout=240000'],
    { environment: { LANGEVIN_CUDA_ADDON: resolve(folder, 'cuda.node') }, seconds },
  )
  if (tooLate) throw new Error(`not done in ${seconds} s`)
  const results = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).testResults : []
  const tests = results.flatMap((result) => result.assertionResults)
  const ran = tests.filter(({ status }) => status === 'passed' || status === 'failed').map(({ fullName }) => fullName)
  const failure = tests.find(({ status }) => status === 'failed')
  if (failure) return { ran, failed: failure.failureMessages[0].split('\n')[0] }
  if (status === 0) return { ran, failed: undefined }
  return { ran, failed: `crashed: ${output.split('\n').find((line) => /exited|signal|Error/.test(line)) ?? status}` }
}

const compiler = process.env.CXX ?? 'g++'
const programObject = (file) => join(mutantFolder, `${basename(file)}.o`)

/** A program runs all its cases, in seconds. */
async function runProgram(file, folder, seconds) {
  const objects = readdirSync(folder).filter((name) => name.endsWith('.o') && !name.startsWith('native-addon-'))
  const program = resolve(folder, basename(file, '.cc'))
  const linked = await run(compiler, [
    ...['-pthread', programObject(file), ...objects.map((name) => join(folder, name))],
    ...['-o', program],
  ])
  if (linked.status !== 0) throw new Error(linked.output)
  const { status, output, tooLate } = await run(program, [], { seconds })
  if (tooLate) throw new Error(`not done in ${seconds} s`)
  const lines = output.split('\n')
  const ran = [...readFileSync(file, 'utf8').matchAll(/^TEST\("(.*)"\)/gm)].map(([, name]) => name)
  if (status === 0) return { ran, failed: undefined }
  const failure = lines.findIndex((line) => line.startsWith('FAILED '))
  if (failure >= 0) return { ran, failed: `${lines[failure].slice(7)}: ${lines[failure + 1].trim()}` }
  return { ran, failed: `crashed: ${lines.find((line) => line.trim() !== '') ?? status}` }
}

/** The tests that mutants name must run and pass without them. */
async function checkUnchanged() {
  const byFile = new Map()
  for (const { test } of mutants) byFile.set(test.file, (byFile.get(test.file) ?? new Set()).add(test.name))
  for (const [file, set] of byFile) {
    if (file.endsWith('.cc')) {
      const flags = ['-std=c++17', '-O2', '-pthread', '-DLANGEVIN_EMULATED', '-Inative/emulator']
      const { status, output } = await run(compiler, [...flags, '-c', file, '-o', programObject(file)])
      if (status !== 0) throw new Error(output)
    }
    const names = [...set]
    const { ran, failed } = await runTests(file, names, 'build-emulator', 240)
    if (failed) throw new Error(`${file} fails without any mutant: ${failed}`)
    for (const name of names) if (!ran.includes(name)) throw new Error(`${file} has no test '${name}'`)
  }
}

/** Copies a file with its time: build-emulator.mjs compiles what is newer than its object. */
function copyWithTime(from, to) {
  copyFileSync(from, to)
  const { atime, mtime } = statSync(from)
  utimesSync(to, atime, mtime)
}

/** A copy of the sources and objects, in which one mutant after another is built. */
class Workshop {
  /** Of the objects without a mutant. */
  times = new Map()

  constructor(folder) {
    this.folder = folder
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(join(folder, 'build-emulator'), { recursive: true })
    mkdirSync(join(folder, 'scripts'))
    cpSync('native', join(folder, 'native'), { recursive: true, preserveTimestamps: true })
    copyWithTime('scripts/build-emulator.mjs', join(folder, 'scripts/build-emulator.mjs'))
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
    for (const name of readdirSync('build-emulator')) {
      if (name.endsWith('.o.d')) copyWithTime(join('build-emulator', name), this.objectPath(name))
      if (name.endsWith('.o')) this.restoreObject(name)
    }
  }

  objectPath(name) {
    return join(this.folder, 'build-emulator', name)
  }
  restoreObject(name) {
    copyWithTime(join('build-emulator', name), this.objectPath(name))
    this.times.set(name, statSync(this.objectPath(name)).mtimeMs)
  }

  /** Builds the mutant. */
  async build({ file, from, to }) {
    const path = join(this.folder, file)
    const source = readFileSync(path, 'utf8')
    const places = source.split(from).length - 1
    if (places !== 1) throw new Error(`${file} has ${places} places of '${from}'`)
    writeFileSync(
      path,
      source.replace(from, () => to),
    )
    const { status, output } = await run(process.execPath, [
      join(this.folder, 'scripts/build-emulator.mjs'),
      ...['--quiet', '--jobs', '1'],
    ])
    if (status !== 0) throw new Error(`the mutant does not compile:\n${output}`)
  }

  restore({ file }) {
    copyWithTime(file, join(this.folder, file))
    for (const [name, time] of this.times) {
      if (statSync(this.objectPath(name)).mtimeMs !== time) this.restoreObject(name)
    }
  }
}

let passed = 0
let failed = 0
function tell({ what, test }, caught, detail) {
  if (caught) passed++
  else failed++
  process.stdout.write(`${caught ? 'ok    ' : 'FAILED'} ${what}\n`)
  if (!caught) process.stdout.write(`       ${test.file}, '${test.name}': ${detail}\n`)
  else if (options.verbose) process.stdout.write(`       ${detail.slice(0, 200)}\n`)
}

async function work(waiting, number) {
  const workshop = new Workshop(join(mutantFolder, String(number)))
  for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
    try {
      await workshop.build(mutant)
      const { file, name } = mutant.test
      const { failed } = await runTests(file, [name], join(workshop.folder, 'build-emulator'))
      tell(mutant, failed !== undefined, failed ?? 'passed with the bug')
    } catch (error) {
      tell(mutant, false, error.message)
    }
    workshop.restore(mutant)
  }
}

const { status, output } = await run(process.execPath, ['scripts/build-emulator.mjs', '--quiet'])
if (status !== 0) {
  process.stderr.write(output)
  process.exit(1)
}
mkdirSync(mutantFolder, { recursive: true })
await checkUnchanged()
const waiting = [...mutants]
await Promise.all(Array.from({ length: Math.max(1, Number(options.jobs)) }, (_, i) => work(waiting, i + 1)))
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
