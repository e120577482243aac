import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { checkKernels, type KernelCheck } from '../../eval/self-check.ts'
import { addonPath, hasGpu, nativeDevice } from '../../native/device.ts'
import { instructionSet, instructionSets, setInstructionSet } from '../../tensor/instruction-set.ts'
import type { DoctorOptions } from '../commands/doctor.ts'
import type { CliContext } from '../context.ts'
import { threadCount } from '../device.ts'
import { formatTable } from '../table.ts'

interface AddonReport {
  built: boolean
  /** Whether the file could be loaded, with or without a device behind it. */
  loads?: boolean
  path?: string
  /** Why it cannot be used. */
  problem?: string
  fix?: string
}

interface GpuReport {
  name: string
  driver?: string
  memory?: string
  computeCapability?: string
}

interface DoctorReport {
  ok: boolean
  version: string
  node: string
  nodeApi: string
  platform: string
  cpu: { model: string; cores: number; memoryBytes: number }
  addons: { cpu: AddonReport; cuda: AddonReport }
  instructionSets: string[]
  instructionSet?: string
  threads?: number
  /** Of the CUDA device, where it opens: GPU, driver, what the addon is compiled for, and the kernels in use. */
  cuda?: { properties: Record<string, string>; kernels: string; available: string[] }
  gpus: GpuReport[]
  /** What was looked at, and why no GPU was found where there is none. */
  gpuSearch: string
  /** By instruction set, and of the CUDA device where there is one. */
  kernels: Record<string, KernelCheck[]>
}

export async function runDoctor({ json }: DoctorOptions, context: CliContext): Promise<void> {
  const report = examine()
  if (!report.ok) context.exitCode = 1
  context.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : asText(report))
}

function examine(): DoctorReport {
  const addons = { cpu: examineAddon('cpu'), cuda: examineAddon('cuda') }
  const usable = addons.cpu.built && addons.cpu.problem === undefined
  const kernels: DoctorReport['kernels'] = {}
  if (usable) {
    const inUse = instructionSet()
    for (const name of instructionSets()) {
      setInstructionSet(name)
      kernels[name] = checkKernels()
    }
    setInstructionSet(inUse)
  }
  const cuda = addons.cuda.built && addons.cuda.problem === undefined ? examineCuda(kernels) : undefined
  // An addon that finds no GPU is well; one that cannot be loaded, or a GPU that cannot be used, is not.
  const broken = addons.cuda.built && addons.cuda.problem !== undefined && (hasGpu() || !addons.cuda.loads)
  const ok =
    usable &&
    !broken &&
    Object.values(kernels)
      .flat()
      .every(({ pass }) => pass)
  const { gpus, gpuSearch } = findGpus()
  const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  return {
    ok,
    version: manifest.version,
    node: process.version,
    nodeApi: process.versions.napi ?? 'unknown',
    platform: `${process.platform}-${process.arch}`,
    cpu: { model: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem() },
    addons,
    instructionSets: usable ? instructionSets() : [],
    ...(usable ? { instructionSet: instructionSet(), threads: threadCount('cpu') } : {}),
    ...(cuda ? { cuda } : {}),
    gpus,
    gpuSearch,
    kernels,
  }
}

function examineAddon(kind: 'cpu' | 'cuda'): AddonReport {
  const path = addonPath(kind)
  try {
    nativeDevice(kind)
    return { built: true, loads: true, path }
  } catch (error) {
    const { message, hint } = error as Error & { hint?: string }
    const loads = path !== undefined && !/cannot be loaded/.test(message)
    // Node lists the files that asked for the addon below its message.
    return { built: path !== undefined, loads, path, problem: message.split('\n')[0], fix: hint }
  }
}

/** The CUDA device's properties; checks its kernels, those of every level where levels differ. */
function examineCuda(kernels: DoctorReport['kernels']): DoctorReport['cuda'] {
  const { addon } = nativeDevice('cuda')
  const best = addon.variant()
  const available = addon.variants().split(',')
  for (const level of available) {
    addon.setVariant(level)
    kernels[`cuda ${level}`] = checkKernels('cuda')
  }
  addon.setVariant(best)
  return { properties: addon.properties(), kernels: best, available }
}

/** GPUs as nvidia-smi tells, or else whether the driver is there at all. */
function findGpus(): Pick<DoctorReport, 'gpus' | 'gpuSearch'> {
  const fields = 'name,driver_version,memory.total,compute_cap'
  const asked = spawnSync('nvidia-smi', [`--query-gpu=${fields}`, '--format=csv,noheader'], {
    encoding: 'utf8',
    timeout: 10_000,
  })
  if (asked.status === 0) {
    const gpus = asked.stdout
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => {
        const [name, driver, memory, computeCapability] = line.split(',').map((text) => text.trim())
        return { name, driver, memory, computeCapability }
      })
    return { gpus, gpuSearch: gpus.length > 0 ? 'nvidia-smi' : 'nvidia-smi lists no GPU' }
  }
  const smi = asked.error
    ? (asked.error as NodeJS.ErrnoException).code === 'ENOENT'
      ? 'nvidia-smi is not installed'
      : `nvidia-smi: ${asked.error.message}`
    : `nvidia-smi failed: ${(asked.stderr || asked.stdout).trim().split('\n')[0]}`
  const driverFile = '/proc/driver/nvidia/version'
  const driver = existsSync(driverFile)
    ? `the kernel driver is loaded (${readFileSync(driverFile, 'utf8').split('\n')[0].replace(/\s+/g, ' ')})`
    : 'no NVIDIA kernel driver is loaded'
  return { gpus: [], gpuSearch: `${smi}; ${driver}` }
}

function asText(report: DoctorReport): string {
  const { cpu, addons } = report
  const rows = [
    ['langevin', report.version],
    ['Node', `${report.node}, Node-API ${report.nodeApi}, ${report.platform}`],
    ['CPU', `${cpu.model}, ${cpu.cores} cores, ${(cpu.memoryBytes / 2 ** 30).toFixed(1)} GiB`],
    ['CPU addon', describe(addons.cpu)],
    ...(report.instructionSet
      ? [
          ['instruction set', `${report.instructionSet} (available: ${report.instructionSets.join(', ')})`],
          ['threads', String(report.threads)],
        ]
      : []),
    ['CUDA addon', describe(addons.cuda)],
    ...(report.cuda
      ? [
          [
            'CUDA device',
            `${report.cuda.properties.name}, compute capability ${report.cuda.properties.computeCapability}`,
          ],
          ['driver', `${report.cuda.properties.driver}; the addon was built with ${report.cuda.properties.runtime}`],
          ['compiled for', report.cuda.properties.compiledFor],
          ['CUDA kernels', `${report.cuda.kernels} (available: ${report.cuda.available.join(', ')})`],
        ]
      : []),
    [
      'GPUs',
      report.gpus.length > 0
        ? report.gpus.map((gpu) => `${gpu.name}, ${gpu.memory}, driver ${gpu.driver}`).join('; ')
        : `none: ${report.gpuSearch}`,
    ],
  ]
  const sets = Object.keys(report.kernels)
  const checks = (report.kernels[sets[0]] ?? []).map(({ family }, i) => [
    family,
    ...sets.map((set) => cell(report.kernels[set][i])),
  ])
  const table = checks.length > 0 ? `\n${formatTable(checks, ['kernels', ...sets])}` : ''
  return `${formatTable(rows)}${table}\n${verdict(report)}\n`
}

function describe({ built, loads, path, problem, fix }: AddonReport): string {
  if (problem === undefined) return path ?? 'loaded'
  return `${built && !loads ? 'broken: ' : ''}${problem}${fix ? `; ${fix}` : ''}`
}

function cell({ pass, error, failure }: KernelCheck): string {
  return pass ? error.toExponential(0) : `FAIL ${failure ?? error.toExponential(0)}`
}

function verdict({ ok, addons, kernels }: DoctorReport): string {
  if (ok) return 'all well: every kernel agrees with float64 arithmetic'
  if (addons.cpu.problem !== undefined) return `broken: ${addons.cpu.problem}`
  const failed = Object.entries(kernels).flatMap(([set, checks]) =>
    checks.filter(({ pass }) => !pass).map(({ family }) => `${family} (${set})`),
  )
  return failed.length > 0 ? `broken kernels: ${failed.join(', ')}` : `broken: ${addons.cuda.problem}`
}
