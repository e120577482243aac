import { ConfigError } from '../errors.ts'
import { nativeDevice } from '../native/device.ts'

/** The instruction set that the CPU kernels use: `base`, `avx2`, `avx512` or `avx512bf16` on x86-64. Results agree to
 *  rounding. */
export function instructionSet(): string {
  return nativeDevice('cpu').addon.variant()
}

/** Those that this machine can run. */
export function instructionSets(): string[] {
  return nativeDevice('cpu').addon.variants().split(',')
}

/** Throws ConfigError where this machine cannot run it. */
export function setInstructionSet(name: string): void {
  const { addon } = nativeDevice('cpu')
  if (!addon.setVariant(name)) {
    throw new ConfigError(`the instruction set must be one of ${addon.variants()}, got ${name}`)
  }
}
