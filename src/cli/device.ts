import { totalmem } from 'node:os'
import type { Device } from '../native/contract.ts'
import { addonPath, nativeDevice } from '../native/device.ts'

/** Of the machine's memory (or the container's) that buffers may take: beyond it a command ends with OutOfMemoryError, where
 *  the operating system would kill it. */
const memoryShare = 0.9

/** Opens the device that a command was asked for: `auto` is CUDA where its addon is built. Throws DeviceError. */
export function openDevice({ device, threads }: { device: Device | 'auto'; threads: number }): Device {
  const kind = device === 'auto' ? (addonPath('cuda') ? 'cuda' : 'cpu') : device
  const { addon } = nativeDevice(kind)
  if (kind === 'cpu') {
    addon.setThreads(threads)
    addon.setMemoryLimit(memoryShare * Math.min(totalmem(), process.constrainedMemory() || totalmem()))
  }
  return kind
}

/** Threads that the device computes with; 0 where that is not a number of its own. */
export function threadCount(device: Device): number {
  return device === 'cpu' ? nativeDevice('cpu').addon.threads() : 0
}
