import { readFileSync } from 'node:fs'

/** When a process started, in clock ticks since boot, as text (`man 5 proc`, stat field 22); undefined where /proc does
 *  not tell (other systems, no such process, or a process that is dead but not yet reaped by its parent). */
export function processStart(pid: number): string | undefined {
  const stat = readStat(pid)
  return stat && stat.state !== 'Z' ? stat.start : undefined
}

/** This process as part of a file name: `<pid>-<start>`, start 0 where it is not known. */
export const PROCESS_TAG = `${process.pid}-${processStart(process.pid) ?? 0}`

/** Whether the process with a `PROCESS_TAG` runs: that one, not another that got the same number later (in a container,
 *  the first process always has the same). */
export function isTagAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const stat = readStat(pid)
  if (!stat) return true // no /proc here: the number is all there is to go by
  return stat.state !== 'Z' && (start === '0' || stat.start === start)
}

function readStat(pid: number): { state: string; start: string } | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // Field 2 is the program's name in parentheses and may hold anything; field 3, the state, follows the last ')'.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0], start: fields[19] }
}
