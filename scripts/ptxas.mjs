// What ptxas -v says of kernels, what must not be in it, and the occupancy that follows.
//
// ptxas prints, for every kernel and architecture,
//   ptxas info    : Compiling entry function 'MANGLED' for 'sm_90a'
//   ptxas info    : Function properties for MANGLED
//       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
//   ptxas info    : Used 168 registers, used 1 barriers, 1024 bytes smem
// and notes with their number in brackets, such as C7510 where products of wgmma were serialised. The number of threads is in the PTX (.maxntid, from __launch_bounds__).
import { spawnSync } from 'node:child_process'

/** Per multiprocessor; NVIDIA's "CUDA C++ Programming Guide", technical specifications per compute capability. Shared
 *  memory: in all, and what the runtime keeps of it for each block. */
export const multiprocessors = {
  sm_80: { threads: 2048, blocks: 32, registers: 65536, sharedBytes: 164 * 1024, reservedPerBlock: 1024 },
  sm_90a: { threads: 2048, blocks: 32, registers: 65536, sharedBytes: 228 * 1024, reservedPerBlock: 1024 },
}

/** Notes that mean a slower kernel than the source says. */
const badNotes = {
  C7508: 'setmaxnreg is ignored',
  C7510: 'wgmma products are serialised',
  C7515: 'each wgmma product is waited for',
  C7519: 'a warpgroup.arrive was put in',
}

/** [{ mangled, architecture, registers, stackBytes, spillStoreBytes, spillLoadBytes, sharedBytes, barriers }], and
 *  the notes [{ code, text }]. */
export function parseResources(output) {
  const kernels = []
  const notes = []
  let kernel
  for (const line of output.split('\n')) {
    const entry = /Compiling entry function '(\w+)' for '(\w+)'/.exec(line)
    if (entry) {
      kernel = { mangled: entry[1], architecture: entry[2] }
      kernels.push(kernel)
      continue
    }
    const stack = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    // The properties of a function that was not inlined stand before those of the kernel that calls it: the last count.
    if (stack && kernel) {
      const [stackBytes, spillStoreBytes, spillLoadBytes] = stack.slice(1).map(Number)
      Object.assign(kernel, { stackBytes, spillStoreBytes, spillLoadBytes })
      continue
    }
    const used = /Used (\d+) registers/.exec(line)
    if (used && kernel) {
      kernel.registers = Number(used[1])
      kernel.barriers = Number(/used (\d+) barriers/.exec(line)?.[1] ?? 0)
      kernel.sharedBytes = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0)
      continue
    }
    const note = /\((C\d{4})\)/.exec(line)
    if (note && note[1] in badNotes) notes.push({ code: note[1], text: line.trim() })
  }
  return { kernels, notes }
}

/** From PTX: per kernel, the threads that __launch_bounds__ allows (undefined without) and whether it has dynamic shared
 *  memory. */
export function parsePtx(ptx) {
  const dynamic = [...ptx.matchAll(/^\.extern \.shared [^\n]*?(\w+)\[\];/gm)].map((match) => match[1])
  const kernels = new Map()
  for (const match of ptx.matchAll(/\.entry (\w+)\(([\s\S]*?)\n\}/g)) {
    const [, mangled, body] = match
    const bounds = /\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?/.exec(body)
    kernels.set(mangled, {
      threads: bounds ? bounds.slice(1).reduce((product, n) => product * Number(n ?? 1), 1) : undefined,
      usesDynamicShared: dynamic.some((name) => new RegExp(`\\b${name}\\b`).test(body)),
    })
  }
  return kernels
}

/** C++ names without namespaces, parameters and return type: `conv<256, float>`. */
export function readableNames(mangled) {
  const done = spawnSync('c++filt', { input: mangled.join('\n'), encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`c++filt failed: ${done.error?.message ?? done.stderr}`)
  return done.stdout.trimEnd().split('\n').map(shortName)
}

export function shortName(demangled) {
  const plain = demangled
    .replaceAll('(anonymous namespace)::', '')
    .replace(/^void /, '')
    .replace(/\b(langevin|cuda)::/g, '')
  // The parameter list is the last bracket that is not within <…>.
  let depth = 0
  for (let i = 0; i < plain.length; i++) {
    if (plain[i] === '<') depth++
    else if (plain[i] === '>') depth--
    else if (plain[i] === '(' && depth === 0) return plain.slice(0, i)
  }
  return plain
}

const up = (value, unit) => Math.ceil(value / unit) * unit

/** Blocks that fit on one multiprocessor, the share of its threads that they fill, and what limits them. Registers are
 *  given to warps in units of 256, shared memory to blocks in units of 128 bytes. */
export function occupancy({ architecture, registers, sharedBytes, threads }) {
  const sm = multiprocessors[architecture]
  const warps = Math.ceil(threads / 32)
  const limits = {
    threads: Math.floor(sm.threads / (warps * 32)),
    blocks: sm.blocks,
    registers: Math.floor(sm.registers / (warps * up(Math.max(registers, 1) * 32, 256))),
    'shared memory': Math.floor(sm.sharedBytes / up(sharedBytes + sm.reservedPerBlock, 128)),
  }
  const blocks = Math.min(...Object.values(limits))
  const limit = Object.keys(limits).find((name) => limits[name] === blocks)
  return { blocks, share: (blocks * warps * 32) / sm.threads, limit }
}

/** What is wrong with compiled kernels: spills and stack frames of the named hot ones, and bad notes anywhere. `hot` are
 *  patterns of readable names; one that no kernel matches is wrong, too. Kernels need `name`. → lines, none where all is well. */
export function problemsOf(kernels, notes, hot) {
  const problems = notes.map(({ code, text }) => `${code} (${badNotes[code]}): ${text}`)
  for (const kernel of kernels) {
    if (!hot.some((pattern) => pattern.test(kernel.name))) continue
    const { name, architecture, spillStoreBytes, spillLoadBytes, stackBytes } = kernel
    if (spillStoreBytes + spillLoadBytes > 0) {
      problems.push(`${name} for ${architecture} spills: ${spillStoreBytes} bytes stored, ${spillLoadBytes} loaded`)
    } else if (stackBytes > 0) {
      problems.push(`${name} for ${architecture} has a stack frame of ${stackBytes} bytes`)
    }
  }
  for (const pattern of hot) {
    if (!kernels.some(({ name }) => pattern.test(name))) problems.push(`no kernel is named ${pattern}`)
  }
  return problems
}

/** How many registers two builds of the same sources may differ by: the compiler names what is local to a file by the
 *  file's path, and orders it by these names, so that a kernel comes out a few registers apart in another folder. */
const registerSlack = 8

const nearly = (a, b) => {
  const [left, right] = [a, b].map((cell) => cell.split('–').map(Number))
  return left.length === right.length && left.every((n, i) => Math.abs(n - right[i]) <= registerSlack)
}

/** Rows that two tables of docs/kernel-resources.md have not in common, as lines to print. Registers may differ a little,
 *  and with them the occupancy. */
export function differingRows(written, made) {
  const [before, after] = [written, made].map((text) => text.split('\n'))
  const titles = after.find((line) => line.startsWith('| kernel'))?.split(' | ') ?? []
  const same = (a, b) => {
    if (a === b) return true
    const [left, right] = [a, b].map((line) => line.split(' | '))
    return (
      left.length === titles.length &&
      right.length === titles.length &&
      titles.every((title, i) => {
        if (title.startsWith('occupancy')) return true
        return left[i] === right[i] || (/: registers$/.test(title) && nearly(left[i], right[i]))
      })
    )
  }
  const rows = []
  for (let i = 0; i < Math.max(before.length, after.length); i++) {
    if (!same(before[i] ?? '', after[i] ?? '')) rows.push(`- ${before[i] ?? ''}\n+ ${after[i] ?? ''}`)
  }
  return rows
}
