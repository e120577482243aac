import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { DeviceError, OutOfMemoryError } from '../errors.ts'
import type { Device, DType, Graph, Handle, NativeAddon, NativeOps } from './contract.ts'

/** A device of this environment: its ops, and its memory with the addon's errors made typed. One per kind and
 *  worker thread; get it with `nativeDevice`. */
export class NativeDevice {
  readonly kind: Device
  readonly addon: NativeAddon
  readonly ops: NativeOps
  /** The number of the capture under way; 0: none. */
  capture = 0
  /** While calls are captured: what they change in place, by each replay. */
  changedInCapture: Set<{ version: number }> | undefined
  private captures = 0
  private precision: 'fp32' | 'tf32' | 'strict' = 'fp32'

  constructor(addon: NativeAddon) {
    this.kind = addon.backend
    this.addon = addon
    this.ops = addon.ops
  }

  /** Throws OutOfMemoryError. */
  alloc(count: number, dtype: DType): Handle {
    try {
      return this.addon.alloc(count, dtype)
    } catch (error) {
      if (codeOf(error) === 'DEVICE') throw this.lossOf(error)
      if (codeOf(error) !== 'OUT_OF_MEMORY') throw error
      const { liveBytes } = this.addon.memory()
      throw new OutOfMemoryError(
        `${this.kind}: out of memory: ${(error as Error).message} for ${count} elements of ${dtype}; ${megabytes(liveBytes)} are in use`,
        {
          hint: 'use a smaller batch or model, or dispose tensors that are no longer needed (scope, dispose)',
          cause: error,
        },
      )
    }
  }

  /** Copies the array at once; the buffer changes in stream order. */
  write(handle: Handle, from: ArrayBufferView): void {
    this.expectNoCapture('the host writes to a tensor')
    this.addon.write(handle, from)
  }

  /** Resolves when everything enqueued before has run. Rejects with DeviceError where a kernel failed. */
  async read(handle: Handle, into: ArrayBufferView): Promise<void> {
    this.expectNoCapture('a tensor is read')
    try {
      await this.addon.read(handle, into)
    } catch (error) {
      throw this.faultOf(error)
    }
  }

  readSync(handle: Handle, into: ArrayBufferView): void {
    this.expectNoCapture('a tensor is read')
    try {
      this.addon.readSync(handle, into)
    } catch (error) {
      throw this.faultOf(error)
    }
  }

  synchronize(): void {
    this.expectNoCapture('the device is waited for')
    try {
      this.addon.synchronize()
    } catch (error) {
      throw this.faultOf(error)
    }
  }

  /** f32 is multiplied so by the ops that follow. */
  multiplyIn(precision: 'fp32' | 'tf32' | 'strict'): void {
    if (precision === this.precision) return
    this.addon.setPrecision(precision)
    this.precision = precision
  }

  /** Ops are recorded and not run until endCapture or dropCapture. */
  beginCapture(): void {
    try {
      this.addon.beginCapture()
    } catch (error) {
      throw this.faultOf(error)
    }
    this.capture = ++this.captures
    this.changedInCapture = new Set()
  }

  endCapture(): Graph {
    this.capture = 0
    this.changedInCapture = undefined
    try {
      return this.addon.endCapture()
    } catch (error) {
      throw this.faultOf(error)
    }
  }

  /** Ends a capture that failed; the error that made it fail is the one to tell. */
  dropCapture(): void {
    this.capture = 0
    this.changedInCapture = undefined
    try {
      this.addon.disposeGraph(this.addon.endCapture())
    } catch {
      // told already
    }
  }

  private expectNoCapture(what: string): void {
    if (this.capture > 0) {
      throw new DeviceError(`capture: ${what} while ops are captured, when none of them runs`, {
        hint: 'make tensors before capture(), and read them after replay()',
      })
    }
  }

  private lossOf(error: unknown): DeviceError {
    return new DeviceError(`${this.kind}: the device is lost: ${(error as Error).message}`, {
      hint: 'start the process again; another device of this process goes on working',
      cause: error,
    })
  }

  private faultOf(error: unknown): unknown {
    if (codeOf(error) === 'DEVICE') return this.lossOf(error)
    if (codeOf(error) !== 'FAULT') return error
    if (/: out of memory: /.test((error as Error).message)) {
      return new OutOfMemoryError(`${this.kind}: ${(error as Error).message}`, {
        hint: 'use a smaller batch or model, or dispose tensors that are no longer needed (scope, dispose)',
        cause: error,
      })
    }
    return new DeviceError(`${this.kind}: a kernel failed: ${(error as Error).message}`, { cause: error })
  }
}

const devices = new Map<Device, NativeDevice>()
/** Why a device could not be opened: an addon that failed once is not loaded again. */
const failures = new Map<Device, DeviceError>()
const require = createRequire(import.meta.url)

/** The device of this kind, loaded at the first call. Throws DeviceError with the fix where it is not built or not
 *  present. Source of the file: `LANGEVIN_CPU_ADDON` / `LANGEVIN_CUDA_ADDON`, build/Release, then prebuilds/. */
export function nativeDevice(kind: Device): NativeDevice {
  const open = devices.get(kind)
  if (open) return open
  const failure = failures.get(kind)
  if (failure) throw failure
  try {
    const device = new NativeDevice(loadAddon(kind))
    devices.set(kind, device)
    return device
  } catch (error) {
    if (error instanceof DeviceError && addonPath(kind)) failures.set(kind, error)
    throw error
  }
}

/** Whether this machine has an NVIDIA GPU with its kernel driver loaded. */
export function hasGpu(): boolean {
  return existsSync('/proc/driver/nvidia/version') || existsSync('/dev/nvidia0')
}

/** @internal The devices that have been used so far. */
export function openDevices(): readonly NativeDevice[] {
  return [...devices.values()]
}

/** Where the addon of this kind would be loaded from; undefined where it is not built. */
export function addonPath(kind: Device): string | undefined {
  const override = process.env[`LANGEVIN_${kind.toUpperCase()}_ADDON`]
  if (override) return override
  const root = new URL('../../', import.meta.url)
  const candidates = [`build/Release/${kind}.node`, `prebuilds/${process.platform}-${process.arch}/${kind}.node`]
  return candidates.map((path) => fileURLToPath(new URL(path, root))).find((path) => existsSync(path))
}

function loadAddon(kind: Device): NativeAddon {
  const path = addonPath(kind)
  if (!path) throw notBuilt(kind)
  try {
    return require(path) as NativeAddon
  } catch (error) {
    // Node lists the files that asked for the addon below its message.
    const message = (error as Error).message.split('\n')[0]
    if (codeOf(error) === 'DEVICE') {
      throw new DeviceError(`the ${kind} device cannot be opened: ${message}`, {
        hint: (error as { hint?: string }).hint,
        cause: error,
      })
    }
    throw new DeviceError(`the ${kind} device cannot be loaded from ${path}: ${message}`, {
      hint: `rebuild it: ${kind === 'cpu' ? 'node scripts/build.mjs --force' : 'npm run build:cuda'}`,
      cause: error,
    })
  }
}

function notBuilt(kind: Device): DeviceError {
  if (kind === 'cpu') {
    return new DeviceError(`the cpu device is not built for ${process.platform}-${process.arch}`, {
      hint: 'build it with a C++17 compiler and Python 3: node scripts/build.mjs in the langevin folder',
    })
  }
  return hasGpu()
    ? new DeviceError('a GPU is present, but the cuda device is not built', {
        hint: 'build it with the CUDA toolkit (nvcc) in the langevin folder: npm run build:cuda',
      })
    : new DeviceError('the cuda device is not built, and this machine has no NVIDIA driver loaded', {
        hint: 'use --device cpu',
      })
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as Error & { code?: string }).code : undefined
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
