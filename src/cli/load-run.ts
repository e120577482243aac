import { type LoadedRun, loadRun } from '../jem/loadRun.ts'
import type { Device } from '../native/contract.ts'
import type { CliContext } from './context.ts'

/** The run in `folder`, with a notice where its newest checkpoint is damaged. */
export function openRun(folder: string, device: Device, context: CliContext): LoadedRun {
  const run = loadRun(folder, { device })
  for (const warning of run.warnings) context.stderr.write(`notice: ${warning}\n`)
  return run
}
