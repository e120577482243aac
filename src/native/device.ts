import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { DeviceError, OutOfMemoryError } from '../errors.ts'
import type { Device, DType, Handle, NativeAddon, NativeOps } from './contract.ts'

/** A device of this environment: its ops, and its memory with the addon's errors made typed. One per kind and
 *  worker thread; get it with `nativeDevice`. */
export class NativeDevice {
  readonly kind: Device
  readonly addon: NativeAddon
  readonly ops: NativeOps

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

  /** Resolves when everything enqueued before has run. Rejects with DeviceError where a kernel failed. */
  async read(handle: Handle, into: ArrayBufferView): Promise<void> {
    try {
      await this.addon.read(handle, into)
    } catch (error) {
      throw this.faultOf(error)
    }
  }

  readSync(handle: Handle, into: ArrayBufferView): void {
    try {
      this.addon.readSync(handle, into)
    } catch (error) {
      throw this.faultOf(error)
    }
  }

  synchronize(): void {
    try {
      this.addon.synchronize()
    } catch (error) {
      throw this.faultOf(error)
    }
  }

  private faultOf(error: unknown): unknown {
    if (codeOf(error) !== 'FAULT') return error
    return new DeviceError(`${this.kind}: a kernel failed: ${(error as Error).message}`, { cause: error })
  }
}

const devices = new Map<Device, NativeDevice>()
const require = createRequire(import.meta.url)

/** The device of this kind, loaded at the first call. Throws DeviceError with the fix where it is not built or not
 *  present. Source of the file: `LANGEVIN_CPU_ADDON` / `LANGEVIN_CUDA_ADDON`, build/Release, then prebuilds/. */
export function nativeDevice(kind: Device): NativeDevice {
  let device = devices.get(kind)
  if (!device) {
    device = new NativeDevice(loadAddon(kind))
    devices.set(kind, device)
  }
  return device
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
  if (!path) {
    throw new DeviceError(
      `the ${kind} device is not built for ${process.platform}-${process.arch}`,
      kind === 'cpu'
        ? { hint: 'build it with a C++17 compiler and Python 3: node scripts/build.mjs in the langevin folder' }
        : { hint: 'this version has no CUDA backend: use --device cpu' },
    )
  }
  try {
    return require(path) as NativeAddon
  } catch (error) {
    throw new DeviceError(`the ${kind} device cannot be loaded from ${path}: ${(error as Error).message}`, {
      hint: 'rebuild it: node scripts/build.mjs --force',
      cause: error,
    })
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as Error & { code?: string }).code : undefined
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
