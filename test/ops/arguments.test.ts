import { describe, expect, test } from 'vitest'
import type { DType } from '../../src/native/contract.ts'
import { zeros } from '../../src/tensor/create.ts'
import { memory } from '../../src/tensor/memory.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { rows } from '../ops.ts'
import { byOp, devices, disposeAll } from './drive.ts'
import type { Bad } from './table.ts'

describe.each(devices)('%s: a wrong call throws at once, says what is wrong, and keeps no memory', (device) => {
  test.each([...byOp(rows).values()].filter((row) => row.bad.length > 0).map((row) => [row.op, row] as const))(
    '%s',
    (_, row) => {
      for (const bad of row.bad) {
        // Two tries: wherever the call makes its arguments, what it leaves must be those alone.
        for (const wantsGrad of [false, true]) check(bad, wantsGrad)
      }
      function check({ call, error, message }: Bad, wantsGrad: boolean): void {
        const made: Tensor[] = []
        const before = memory(device)
        const t = (shape: readonly number[], dtype: DType = 'f32'): Tensor => {
          const x = zeros(shape, { dtype, device })
          made.push(x)
          if (wantsGrad && ['f32', 'f64', 'bf16'].includes(dtype)) x.requiresGrad = true
          return x
        }
        let thrown: unknown
        try {
          call(t)
        } catch (e) {
          thrown = e
        }
        expect(thrown, String(message)).toBeInstanceOf(error)
        expect((thrown as Error).message).toMatch(message)
        expect(memory(device).tensors - before.tensors, `${message}: tensors`).toBe(
          made.filter((x) => !x.isDisposed).length,
        )
        disposeAll(made)
        expect(memory(device), `${message}`).toMatchObject({ tensors: before.tensors, buffers: before.buffers })
      }
    },
  )
})
