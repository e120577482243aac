import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { gradcheck } from '../../src/autograd/gradcheck.ts'
import type { Device, DType } from '../../src/native/contract.ts'
import { add, mul } from '../../src/ops/arithmetic.ts'
import { withPrecision } from '../../src/ops/precision.ts'
import { sum } from '../../src/ops/reduce.ts'
import { tensor } from '../../src/tensor/create.ts'
import { memory } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { rows } from '../ops.ts'
import { byOp, devices, disposeAll, dtypesOn, forEachVariant, inputsOf, list, magnitude, roundsTiles } from './drive.ts'
import { rounded, values } from './samples.ts'
import type { Case, Tolerance } from './table.ts'

/** Of the largest gradient, or of 1: the inputs are of that size, and so are the terms that may cancel in a gradient.
 *  Sums of products, each rounded; a wrong rule is off by far more. */
const tolerances: Partial<Record<DType, Tolerance>> = {
  f32: { rtol: 1e-5, atol: 5e-6 },
  bf16: { rtol: 2 ** -6, atol: 2 ** -6 },
}

const differentiable = [...byOp(rows).values()]
  .map((row) => ({ ...row, cases: row.cases.filter((c) => c.gradient !== 'none') }))
  .filter((row) => row.cases.length > 0)
const table = differentiable.map((row) => [row.op, row] as const)

/** Σ over the outputs of Σ y·v, as one number. */
function contracted(outputs: readonly Tensor[], cotangents: readonly Tensor[]): Tensor {
  return outputs.map((y, i) => sum(mul(y, cotangents[i]))).reduce((a, b) => add(a, b))
}

/** Random cotangents for the float outputs of a case, as the dtype keeps them. */
function cotangentsOf(outputs: readonly Tensor[], dtype: DType): Float64Array[] {
  return outputs.map(
    (y) => rounded({ shape: y.shape, values: values(y.size), dtype: 'float', wantsGrad: false }, dtype).data,
  )
}

function gradientsOf(
  c: Case,
  dtype: DType,
  kept: DType,
  device: Device,
  cotangents: Float64Array[] | undefined,
): { gradients: Float64Array[]; cotangents: Float64Array[] } {
  return scope(() => {
    const inputs = inputsOf(c, kept, device, true).map((x) => {
      if (x.dtype !== kept || kept === dtype) return x
      const wide = tensor(x.dataSync(), { shape: x.shape, dtype, device })
      wide.requiresGrad = x.requiresGrad
      return wide
    })
    const outputs = list(c.run(...inputs)).filter((y) => y.requiresGrad)
    const used = cotangents ?? cotangentsOf(outputs, kept)
    const wanted = inputs.filter((x) => x.requiresGrad)
    const total = wanted.map((x) => new Float64Array(x.size))
    // One backward pass per output, with the cotangent as its seed: nothing is rounded on the way in.
    outputs.forEach((_, i) => {
      const again = list(c.run(...inputs)).filter((y) => y.requiresGrad)
      const seed = tensor(used[i], { shape: again[i].shape, dtype: again[i].dtype, device })
      grad(again[i], wanted, seed).forEach((g, k) => {
        g.dataSync().forEach((v, e) => {
          total[k][e] += v
        })
      })
    })
    return { gradients: total, cotangents: used }
  })
}

// Central differences need float64, which the CPU has.
describe('cpu: gradients', () => {
  const device = 'cpu'
  test.each(table)('of %s are those that central differences find', (_, row) => {
    forEachVariant(device, () => {
      for (const c of row.cases) {
        if (c.gradient !== 'check') continue
        scope(() => {
          const inputs = inputsOf(c, 'f64', device, true)
          if (inputs.every((x) => x.size === 0 || !x.requiresGrad)) return
          const outputs = list(c.run(...inputs))
          if (outputs.every((y) => y.dtype !== 'f64')) return // cast to f32: compared below
          const cotangents = outputs.map((y) => tensor(values(y.size), { shape: y.shape, device }))
          gradcheck((...x) => {
            const ys = list(c.run(...x)).map((y, i) => [y, cotangents[i]] as const)
            const graded = ys.filter(([y]) => y.requiresGrad || ys.length === 1)
            const kept = graded.length > 0 ? graded : ys.slice(0, outputs.filter((y) => y.requiresGrad).length)
            return kept.length === 1
              ? kept[0][0]
              : contracted(
                  kept.map(([y]) => y),
                  kept.map(([, v]) => v),
                )
          }, inputs)
        })
      }
    })
  })
})

describe.each(devices)('%s: gradients', (device) => {
  test.each(table)('of %s in f32 and bf16 are those of float64 on the CPU', (_, row) => {
    for (const c of row.cases) {
      for (const dtype of c.dtypes) {
        const tolerance = tolerances[dtype]
        if (!tolerance) continue
        const exact = gradientsOf(c, 'f64', dtype, 'cpu', undefined)
        forEachVariant(
          device,
          (variant) => {
            // Rounded tiles tip sums over LeakyReLU's kink; conv2d-bf16.test.ts has the gradients of their convolutions.
            const precision = c.roundedTiles && roundsTiles(variant) ? 'strict' : 'fp32'
            const { gradients } = withPrecision(precision, () => gradientsOf(c, dtype, dtype, device, exact.cotangents))
            gradients.forEach((g, i) => {
              expect(g, `${row.op} of ${c.label} ${dtype} on ${variant}: gradient ${i}`).toBeAllclose(
                exact.gradients[i],
                {
                  rtol: tolerance.rtol,
                  atol: tolerance.atol * Math.max(1, magnitude(exact.gradients[i])),
                },
              )
            })
          },
          row.op,
        )
      }
    }
  })

  test.each(table)('of %s leave no memory behind, whether backward runs or not', (_, row) => {
    for (const c of row.cases) {
      for (const dtype of dtypesOn(device, c.dtypes)) {
        const inputs = inputsOf(c, dtype, device, true)
        const before = memory(device)

        disposeAll(list(c.run(...inputs)))
        expect(memory(device), `${row.op} of ${c.label}: after dispose`).toMatchObject({
          tensors: before.tensors,
          buffers: before.buffers,
        })

        const outputs = list(c.run(...inputs))
        const y = outputs[0]
        if (y.requiresGrad) {
          const seed = tensor(values(y.size), { shape: y.shape, dtype: y.dtype, device })
          const wanted = inputs.filter((x) => x.requiresGrad)
          disposeAll(grad(y, wanted, seed))
          seed.dispose()
        }
        // The graph is gone: only the outputs hold memory, some of them with an input.
        expect(
          memory(device).buffers - before.buffers,
          `${row.op} of ${c.label}: buffers after backward`,
        ).toBeLessThanOrEqual(outputs.length)
        disposeAll(outputs)
        expect(memory(device), 'at the end').toMatchObject({ tensors: before.tensors, buffers: before.buffers })
        disposeAll(inputs)
      }
    }
  })
})
