import type { Device } from '../native/contract.ts'
import { nativeDevice } from '../native/device.ts'
import { tensorCount } from './tensor.ts'

export interface Memory {
  /** Tensors of all devices that are not disposed. */
  tensors: number
  /** Buffers on this device: those of live tensors, and those that graphs have saved. */
  buffers: number
  liveBytes: number
  /** Most live bytes since the start or `resetPeakMemory`. */
  peakBytes: number
  /** Freed buffers kept for reuse. */
  cachedBytes: number
  /** Working memory of the kernels. */
  scratchBytes: number
}

/** What a device's memory holds now. */
export function memory(device: Device = 'cpu'): Memory {
  return { tensors: tensorCount(), ...nativeDevice(device).addon.memory() }
}

export function resetPeakMemory(device: Device = 'cpu'): void {
  nativeDevice(device).addon.resetPeak()
}

/** Most bytes that a device's buffers may take; beyond it ops throw OutOfMemoryError. 0: no limit. */
export function setMemoryLimit(bytes: number, device: Device = 'cpu'): void {
  nativeDevice(device).addon.setMemoryLimit(bytes)
}

/** Waits until everything enqueued on the device has run; throws DeviceError where a kernel failed. */
export function synchronize(device: Device = 'cpu'): void {
  nativeDevice(device).synchronize()
}

/** Number of threads of the CPU device; results do not depend on it. 0: one per core. */
export function setThreads(threads: number): void {
  nativeDevice('cpu').addon.setThreads(threads)
}

/** Number of threads of the CPU device. */
export function threadCount(): number {
  return nativeDevice('cpu').addon.threads()
}
