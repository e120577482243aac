// Runs the steps of scripts/gpu.sh, each under its own time limit and all within one, and writes what came of them:
// gpu.json, gpu.md and gpu.log. A failed step does not keep the next from running; the exit status says whether one failed.
import { spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { reportOf } from '../../bench/gpu/report.mjs'
import { describeMachine, root } from '../../bench/machine.mjs'
import { describeGpu, GpuWatch } from './gpu.mjs'
import { digestOfSources } from './sources.mjs'
import { steps } from './steps.mjs'

process.chdir(root)
const { values: options } = parseArgs({
  options: {
    started: { type: 'string', default: String(Date.now() / 1000) },
    only: { type: 'string' },
    skip: { type: 'string' },
    minutes: { type: 'string', default: '9' },
    out: { type: 'string' },
  },
})
/** Names of steps from a flag; `checks` and `benches` are all of a kind. */
function names(flag, list) {
  const isBench = (name) => name.startsWith('bench ')
  const known = steps.map((step) => step.name)
  const groups = { checks: known.filter((name) => !isBench(name)), benches: known.filter(isBench) }
  const asked = list.split(',').map((text) => text.trim())
  const unknown = asked.find((name) => !known.includes(name) && !groups[name])
  if (unknown === undefined) return asked.flatMap((name) => groups[name] ?? [name])
  const all = [...Object.keys(groups), ...known].join(', ')
  process.stderr.write(`gpu.sh: ${flag}: there is no step "${unknown}"; there are ${all}\n`)
  process.exit(2)
}
const only = options.only === undefined ? undefined : names('--only', options.only)
const skipped = options.skip === undefined ? [] : names('--skip', options.skip)

const packFile = '.gpu/pack.json'
const pack = existsSync(packFile) ? JSON.parse(readFileSync(packFile, 'utf8')) : undefined
const gpu = describeGpu()
const sources = digestOfSources(root)
/** What build/Release/cuda.node was built from, where it was built here. */
const builtFrom = 'build/cuda-sources.txt'
const isBuilt = existsSync(builtFrom) && readFileSync(builtFrom, 'utf8') === sources
/** A dry run's figures are none, and do not belong among results. */
const out = options.out ?? (process.env.OUT || (gpu ? 'bench/results' : 'build/gpu-dry-run'))
const context = {
  gpu,
  device: gpu || process.env.LANGEVIN_CUDA_ADDON ? 'cuda' : 'cpu',
  work: mkdtempSync(join(tmpdir(), 'langevin-gpu-')),
  /** Whether the CUDA addon was built from the sources that are here. */
  current: existsSync('build/Release/cuda.node') && (isBuilt || (pack?.cuda === true && pack.sources === sources)),
}
const machine = describeMachine()
const document = {
  what: 'gpu',
  dry: !gpu,
  ...machine,
  // A tree that was carried here has no history.
  commit: machine.commit ?? pack?.commit?.slice(0, 7),
  modified: machine.commit ? machine.modified : pack?.modified,
  gpu,
  steps: [],
}
const endsAt = (Number(options.started) + 60 * Number(options.minutes)) * 1000
mkdirSync(out, { recursive: true })
const log = join(out, 'gpu.log')
writeFileSync(log, '')
const watch = gpu && new GpuWatch()

/** Why a step does not run here, if so. */
function reasonToSkip(step) {
  if (only && !only.includes(step.name)) return 'not asked for'
  if (skipped.includes(step.name)) return 'left out'
  if (!gpu && !step.dry) return 'there is no GPU here'
  const missing = (step.needs ?? []).find((program) => spawnSync('which', [program]).status !== 0)
  if (gpu && missing) return `${missing} is not installed here`
  return step.unless?.(context) || undefined
}

/** { status, seconds, detail } of one step. */
async function runStep(step) {
  const command = (gpu ? step.command : step.dry)(context)
  const left = Math.floor((endsAt - Date.now()) / 1000) - 5
  if (left < 5) return { status: 'skipped', detail: 'no time was left' }
  const limit = Math.min(step.seconds, left)
  const started = Date.now()
  appendFileSync(log, `\n==== ${step.name}: ${command.join(' ')}\n`)
  // timeout ends the step's children, too.
  const child = spawn('timeout', ['--kill-after=5', String(limit), ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
      appendFileSync(log, text)
    })
  }
  const code = await new Promise((resolve) => child.on('close', resolve).on('error', () => resolve(127)))
  const seconds = (Date.now() - started) / 1000
  const status = code === 0 ? 'passed' : code === 124 || code === 137 ? 'timed out' : 'failed'
  if (status !== 'passed') document.failures = { ...document.failures, [step.name]: output.trim().slice(-1500) }
  return { status, seconds, limit, detail: detailOf(output, status, code), ...watch?.between(started, Date.now()) }
}

/** The line of the output that sums it up. */
function detailOf(output, status, code) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a terminal
  const lines = output.replace(/\x1b\[[0-9;]*m/g, '').split('\n')
  const sums = lines.filter((line) => /^ *Tests +\d|\d+ passed, \d+ failed|ERROR SUMMARY|RACECHECK SUMMARY/.test(line))
  const summary = sums.at(-1)?.replace(/^=+ /, '').trim()
  if (summary || status === 'passed') return summary ?? ''
  return `exit ${code}: ${
    lines
      .filter((line) => line.trim())
      .at(-1)
      ?.trim() ?? ''
  }`.slice(0, 160)
}

function write() {
  writeFileSync(join(out, 'gpu.json'), `${JSON.stringify(document, null, 2)}\n`)
  writeFileSync(join(out, 'gpu.md'), reportOf(document))
}

process.stdout.write(
  gpu ? `${gpu.name}, driver ${gpu.driver}\n` : `dry run: there is no GPU here (${context.device})\n`,
)
for (const step of steps) {
  const reason = reasonToSkip(step)
  const outcome = reason ? { status: 'skipped', detail: reason } : await runStep(step)
  document.steps.push({ name: step.name, ...outcome })
  if (step.name === 'build' && outcome.status === 'passed') writeFileSync(builtFrom, sources)
  // What a bench had measured counts, also where it was cut off.
  const file = step.json && join(context.work, step.json)
  if (file && existsSync(file)) document[step.name.replace('bench ', '')] = JSON.parse(readFileSync(file, 'utf8'))
  const kept = step.keeps?.(context)
  if (kept && existsSync(join(context.work, kept))) copyFileSync(join(context.work, kept), join(out, kept))
  const time = outcome.seconds === undefined ? '' : ` ${outcome.seconds.toFixed(0)} s`
  process.stdout.write(`${step.name}: ${outcome.status}${time}${outcome.detail ? `, ${outcome.detail}` : ''}\n`)
  write()
}
watch?.stop()
rmSync(context.work, { recursive: true, force: true })
document.seconds = (Date.now() / 1000 - Number(options.started)).toFixed(0)
write()
process.stdout.write(`\n${reportOf(document)}\nwritten: ${join(out, 'gpu.json')}, gpu.md, gpu.log\n`)
const failed = document.steps.filter(({ status }) => status === 'failed' || status === 'timed out')
process.exit(failed.length > 0 ? 1 : 0)
