import type { Command } from 'commander'
import type { Device } from '../../native/contract.ts'
import { choiceFlag, wholeFlag } from '../range.ts'

export interface DeviceOptions {
  device: Device | 'auto'
  /** 0: one a core. */
  threads: number
}

/** `--device` and `--threads`, as every command that computes takes them. */
export function addDeviceOptions(command: Command): Command {
  const choices = ['cpu', 'cuda', 'auto'] as const
  return command
    .option(
      '--device <cpu|cuda|auto>',
      'where to compute; auto: cuda if there',
      choiceFlag('--device', choices),
      'auto',
    )
    .option('--threads <n>', 'threads of the CPU device; 0: one a core', wholeFlag('--threads'), 0)
}
