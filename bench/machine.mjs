// What a figure must be told with: the machine, the versions, the date and the commit. And the choice of cores.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const made = ['bench/results', 'README.md', 'docs/bench.md', 'docs/kernels.md', 'docs/images']

function output(command, ...args) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  return done.status === 0 ? done.stdout.trim() : undefined
}

export function describeMachine() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return {
    date: new Date().toISOString(),
    commit: output('git', 'rev-parse', '--short', 'HEAD'),
    /** Whether files differ from the commit, results and what is made of them aside. */
    modified: output('git', 'status', '--porcelain', '--', ...made.map((path) => `:!${path}`)) !== '',
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${process.platform} ${release()} ${process.arch}`,
    loadAtStart: existsSync('/proc/loadavg') ? Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]) : undefined,
    versions: {
      langevin: version,
      node: process.versions.node,
      gxx: output(process.env.CXX ?? 'g++', '-dumpfullversion'),
    },
  }
}

/** The command bound to the first `threads` cores, where taskset can; every competitor gets the same. */
export function onCores(threads, command) {
  if (threads >= availableParallelism() || !output('taskset', '--version')) return command
  return ['taskset', '-c', `0-${threads - 1}`, ...command]
}
