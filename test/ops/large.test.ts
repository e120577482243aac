/** Tensors of more elements than a GPU's grid has threads: each thread then goes round its loop several times. One thread
 *  of the CPU is the reference; inputs are whole numbers, or random bits, so that results must be equal bit for bit. */
import { describe, expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import type { Device, DType } from '../../src/native/contract.ts'
import { accumulate } from '../../src/ops/accumulate.ts'
import { add, less, mul, where } from '../../src/ops/arithmetic.ts'
import { cast } from '../../src/ops/cast.ts'
import { channelAffine } from '../../src/ops/norm.ts'
import { avgPool2d } from '../../src/ops/pool.ts'
import { dropout, normal, randomInt, uniform } from '../../src/ops/random.ts'
import { argmax, max, sum } from '../../src/ops/reduce.ts'
import { gatherRows, pick, scatterRows } from '../../src/ops/rows.ts'
import { concat, flip, slice, transpose } from '../../src/ops/shape.ts'
import { imageBatch, sgldUpdate, sumOfSquares } from '../../src/ops/training.ts'
import { leakyRelu, relu, square } from '../../src/ops/unary.ts'
import { full, tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { devices, withThreads } from './drive.ts'
import { source } from './table.ts'

/** Beyond 16 blocks of 256 threads, of 8 elements each, on 132 multiprocessors; odd, so that the last group is cut. */
const count = 4_500_001
const [rows, columns] = [2251, 2003]

const whole = Float32Array.from({ length: rows * columns }, (_, i) => ((i * 7919) % 251) - 125)
const other = Float32Array.from({ length: count }, (_, i) => ((i * 104729) % 127) - 63)
const bytes = Uint8Array.from({ length: 40 * 96 * 96 * 3 }, (_, i) => (i * 7919) % 256)
const order = (length: number, below: number) => Int32Array.from({ length }, (_, i) => (i * 7919) % below)

type On = (device: Device) => readonly Tensor[]
const x = (device: Device, dtype: DType = 'f32') => cast(tensor(whole.subarray(0, count), { device }), dtype)
const y = (device: Device) => tensor(other, { device })
const matrix = (device: Device) => tensor(whole, { shape: [rows, columns], device })

const calls: Record<string, On> = {
  fill: (device) => [full([count], 3, { device }), full([count], 7, { device, dtype: 'bf16' })],
  convert: (device) => [cast(x(device), 'bf16'), cast(x(device), 'u8'), cast(cast(x(device), 'bf16'), 'i32')],
  'a copy that flips': (device) => [flip(matrix(device), 1)],
  'a copy of rows': (device) => [slice(matrix(device), [1, 3], [rows - 2, columns - 3])],
  transpose: (device) => [transpose(matrix(device)), transpose(cast(matrix(device), 'bf16'))],
  concat: (device) => [concat([matrix(device), matrix(device)], 1)],
  gatherRows: (device) => [gatherRows(matrix(device), tensor(order(3000, rows), { device }))],
  scatterRows: (device) => {
    const target = matrix(device)
    scatterRows(target, tensor(order(1500, 700), { device }), slice(matrix(device), [0, 0], [1500, columns]))
    return [target]
  },
  unary: (device) => [relu(x(device)), square(x(device, 'bf16'))],
  'unary, backward': (device) => {
    const input = x(device)
    input.requiresGrad = true
    return grad(square(input), [input], y(device))
  },
  accumulate: (device) => {
    const target = x(device)
    accumulate(target, y(device))
    return [target]
  },
  leakyRelu: (device) =>
    (['f32', 'bf16'] as const).flatMap((dtype) => {
      const input = x(device, dtype)
      input.requiresGrad = true
      const output = leakyRelu(input, 0.5)
      return [output, ...grad(output, [input], cast(y(device), dtype))]
    }),
  'binary, compare and where': (device) => [
    add(x(device), y(device)),
    mul(matrix(device), tensor([3], { device })),
    add(matrix(device), tensor(other.subarray(0, columns), { device })),
    less(x(device), y(device)),
    where(less(x(device), y(device)), x(device), y(device)),
  ],
  random: (device) => [
    uniform([count], source(1), { device }),
    normal([count], source(2), { device }),
    randomInt([count], source(3), { low: -5, high: 1000, device }),
    dropout(x(device), 0.5, source(4)),
  ],
  sgldUpdate: (device) => {
    const state = x(device)
    sgldUpdate(state, y(device), source(5), { stepSize: 0.5, noiseStd: 0.1, clamp: [-100, 100] })
    return [state]
  },
  imageBatch: (device) => {
    const images = tensor(bytes, { shape: [40, 96, 96, 3], device })
    const index = tensor(order(100, 40), { device })
    return [imageBatch(images, index, source(6), { padding: 4, flip: true, noiseStd: 0.05 })]
  },
  reductions: (device) => [
    sum(x(device)),
    sum(x(device, 'bf16')),
    sum(matrix(device), { axes: 0 }),
    sum(matrix(device), { axes: 1 }),
    max(matrix(device), { axis: 0 }),
    argmax(matrix(device), 0),
    argmax(matrix(device), 1),
  ],
  'pick, backward': (device) => {
    const input = matrix(device)
    input.requiresGrad = true
    return grad(
      pick(input, tensor(order(rows, columns), { device })),
      [input],
      tensor(other.subarray(0, rows), { device }),
    )
  },
  avgPool2d: (device) => {
    const input = tensor(whole.subarray(0, 5 * 300 * 300 * 10), { shape: [5, 300, 300, 10], device })
    input.requiresGrad = true
    const pooled = avgPool2d(input, 2)
    return [pooled, avgPool2d(input, 2, 1), ...grad(pooled, [input], pooled.detach())]
  },
  channelAffine: (device) => [
    channelAffine(
      matrix(device),
      tensor(other.subarray(0, columns), { device }),
      tensor(other.subarray(9, 9 + columns), { device }),
    ),
  ],
  sumOfSquares: (device) => [sumOfSquares([x(device), y(device), cast(x(device), 'bf16')])],
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => Buffer.from(buffer, byteOffset, byteLength)

describe.each(devices)('%s: every element of a large tensor is done', (device) => {
  test.each(Object.entries(calls))('%s', (_, on) => {
    scope(() => {
      const expected = withThreads(1, () => on('cpu'))
      for (const [i, got] of on(device).entries()) {
        const [want, have] = [bytesOf(expected[i].dataSync()), bytesOf(got.dataSync())]
        expect(have.length).toBe(want.length)
        if (!have.equals(want)) {
          const at = have.findIndex((byte, b) => byte !== want[b])
          expect.fail(`output ${i}: byte ${at} of ${want.length} is ${have[at]}, on the CPU ${want[at]}`)
        }
      }
    })
  })
})
