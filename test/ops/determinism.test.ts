import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import type { Device, DType } from '../../src/native/contract.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { rows } from '../ops.ts'
import { byOp, devices, dtypesOn, forEachVariant, inputsOf, list, withThreads } from './drive.ts'
import { values } from './samples.ts'
import type { Case } from './table.ts'

/** The bytes of every output, and of every gradient for one cotangent. */
function bitsOf(c: Case, dtype: DType, device: Device, cotangent: Float64Array): string[] {
  return scope(() => {
    const inputs = inputsOf(c, dtype, device, c.gradient !== 'none')
    const outputs = list(c.run(...inputs))
    const wanted = inputs.filter((x) => x.requiresGrad)
    const found = [...outputs]
    const y = outputs[0]
    if (y.requiresGrad) {
      const seed = tensor(cotangent.subarray(0, y.size), { shape: y.shape, dtype: y.dtype, device })
      found.push(...grad(y, wanted, seed))
    }
    return found.map((x) => {
      const { buffer, byteOffset, byteLength } = x.dataSync()
      return Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
    })
  })
}

const cotangent = values(100_000)

/** How often a case is run again, each time with this many threads of the CPU device. */
const repeats: Record<Device, readonly number[]> = { cpu: [1, 2, 3], cuda: [1] }

describe.each(devices)('%s: the same call gives the same bits, whatever the number of threads', (device) => {
  test.each([...byOp(rows).values()].map((row) => [row.op, row] as const))('%s', (_, row) => {
    forEachVariant(
      device,
      (variant) => {
        const bits = () => row.cases.map((c) => dtypesOn(device, c.dtypes).map((d) => bitsOf(c, d, device, cotangent)))
        const first = withThreads(1, bits)
        for (const threads of repeats[device]) {
          withThreads(threads, bits).forEach((dtypes, i) => {
            dtypes.forEach((outputs, k) => {
              const same = outputs.every((bytes, o) => bytes === first[i][k][o])
              expect(same, `${row.op} of ${row.cases[i].label} on ${variant} with ${threads} threads`).toBe(true)
            })
          })
        }
      },
      row.op,
    )
  })
})

describe('random numbers are the same bits on every device and instruction set', () => {
  const random = ['uniform', 'normal', 'randomInt', 'dropout', 'sgldUpdate', 'imageBatch']
  test.each([...byOp(rows).values()].filter((row) => random.includes(row.op)).map((row) => [row.op, row] as const))(
    '%s',
    (_, row) => {
      const found = new Map<string, string[]>()
      const shared = (c: Case) =>
        devices.reduce<readonly DType[]>((dtypes, device) => dtypesOn(device, dtypes), c.dtypes)
      for (const device of devices) {
        forEachVariant(device, (variant) => {
          found.set(
            variant,
            row.cases.flatMap((c) => shared(c).flatMap((d) => bitsOf(c, d, device, cotangent))),
          )
        })
      }
      const [[, first], ...others] = found
      for (const [variant, bits] of others) {
        expect(
          bits.findIndex((b, i) => b !== first[i]),
          `${row.op} on ${variant}`,
        ).toBe(-1)
      }
    },
  )
})
