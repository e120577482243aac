import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import type { Device, DType } from '../../src/native/contract.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { rows } from '../ops.ts'
import { byOp, devices, forEachVariant, inputsOf, list, withThreads } from './drive.ts'
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

describe.each(devices)('%s: the same call gives the same bits, whatever the number of threads', (device) => {
  test.each([...byOp(rows).values()].map((row) => [row.op, row] as const))('%s', (_, row) => {
    forEachVariant(device, (variant) => {
      const first = withThreads(1, () => row.cases.map((c) => c.dtypes.map((d) => bitsOf(c, d, device, cotangent))))
      for (const threads of [1, 2, 3]) {
        withThreads(threads, () => {
          row.cases.forEach((c, i) => {
            c.dtypes.forEach((dtype, k) => {
              const same = bitsOf(c, dtype, device, cotangent).every((bits, o) => bits === first[i][k][o])
              expect(same, `${row.op} of ${c.label} ${dtype} on ${variant} with ${threads} threads`).toBe(true)
            })
          })
        })
      }
    })
  })
})

describe('random numbers are the same bits on every instruction set', () => {
  const random = ['uniform', 'normal', 'randomInt', 'dropout', 'sgldUpdate', 'imageBatch']
  test.each([...byOp(rows).values()].filter((row) => random.includes(row.op)).map((row) => [row.op, row] as const))(
    '%s',
    (_, row) => {
      const found = new Map<string, string[]>()
      forEachVariant('cpu', (variant) => {
        found.set(
          variant,
          row.cases.flatMap((c) => c.dtypes.flatMap((d) => bitsOf(c, d, 'cpu', cotangent))),
        )
      })
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
