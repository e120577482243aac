import { totalmem } from 'node:os'
import { DeviceError } from '../errors.ts'
import type { Device } from '../native/contract.ts'
import { addonPath, hasGpu, nativeDevice } from '../native/device.ts'
import type { Output } from './context.ts'

/** Of the machine's memory (or the container's) that buffers may take: beyond it a command ends with OutOfMemoryError, where
 *  the operating system would kill it. */
const memoryShare = 0.9

/** Opens the device that a command was asked for: `auto` is CUDA where it opens. Tells `notices` where there is a GPU
 *  that is not used. Throws DeviceError. */
export function openDevice(
  { device, threads }: { device: Device | 'auto'; threads: number },
  notices?: Output,
): Device {
  const kind = device === 'auto' ? bestDevice(notices) : device
  const { addon } = nativeDevice(kind)
  if (kind === 'cpu') {
    addon.setThreads(threads)
    addon.setMemoryLimit(memoryShare * Math.min(totalmem(), process.constrainedMemory() || totalmem()))
  }
  return kind
}

function bestDevice(notices?: Output): Device {
  if (!addonPath('cuda') && !hasGpu()) return 'cpu'
  try {
    return nativeDevice('cuda').kind
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error
    if (hasGpu()) notices?.write(`notice: computing on the CPU: ${error.message}; ${error.hint}\n`)
    return 'cpu'
  }
}

/** Threads that the device computes with; 0 where that is not a number of its own. */
export function threadCount(device: Device): number {
  return device === 'cpu' ? nativeDevice('cpu').addon.threads() : 0
}
