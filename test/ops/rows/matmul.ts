/** Linear algebra. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { linear, matmul } from '../../../src/ops/matmul.ts'
import type { Host } from '../host.ts'
import { fixed, given, x } from '../samples.ts'

import { bad, one, type Row, sums } from '../table.ts'

const product = (a: Host, b: Host, bias?: Host): Host => {
  const [m, k] = a.shape
  const n = b.shape[1]
  const y = new Float64Array(m * n)
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let s = bias?.data[j] ?? 0
      for (let l = 0; l < k; l++) s += a.data[i * k + l] * b.data[l * n + j]
      y[i * n + j] = s
    }
  return { shape: [m, n], data: y }
}
const products = [
  [1, 1, 1],
  [3, 5, 2],
  [7, 8, 9],
  [17, 1, 16],
  [1, 33, 5],
  [4, 0, 3],
  [0, 3, 2],
  [3, 4, 0],
] as const
const largeProducts = [
  [64, 640, 10],
  [33, 127, 65],
  [131, 16, 130],
  [72, 40, 136], // in whole eights: tensor cores take it
] as const

export const linearRows: readonly Row[] = [
  {
    op: 'matmul',
    cases: [
      ...products.map(([m, k, n]) => one([x([m, k]), x([k, n])], matmul, (a, b) => product(a, b), { tolerance: sums })),
      ...largeProducts.map(([m, k, n]) =>
        one([x([m, k]), x([k, n])], matmul, (a, b) => product(a, b), { tolerance: sums, gradient: 'compare' }),
      ),
      // enough tiles for the larger ones of a GPU
      one([fixed([1030, 9]), fixed([9, 2050])], matmul, (a, b) => product(a, b), {
        tolerance: sums,
        gradient: 'none',
        dtypes: ['f32', 'bf16'],
      }),
      // few tiles, and k in parts
      one([fixed([5, 2100]), fixed([2100, 70])], matmul, (a, b) => product(a, b), {
        tolerance: { f32: { rtol: 4e-6, atol: 4e-6 }, bf16: { rtol: 2 ** -8, atol: 2 ** -10 } },
        gradient: 'none',
      }),
      one([given([2, 2], [Number.NaN, 1, 0, 2]), given([2, 2], [1, Infinity, 1, 1])], matmul, (a, b) => product(a, b)),
    ],
    bad: [
      bad(ShapeError, /matmul: b must be \[3, n\] \(a has 3 columns\), got \[2, 3\]/, (t) =>
        matmul(t([2, 3]), t([2, 3])),
      ),
      bad(ShapeError, /matmul: a must be \[m, k\], got \[3\]/, (t) => matmul(t([3]), t([3, 2]))),
      bad(DTypeError, /matmul: b must be f32 like a, got f64/, (t) => matmul(t([2, 3]), t([3, 2], 'f64'))),
      bad(DTypeError, /matmul: a must be f32 or f64 or bf16, got i32/, (t) =>
        matmul(t([1, 1], 'i32'), t([1, 1], 'i32')),
      ),
    ],
  },
  {
    op: 'linear',
    cases: [
      ...products.map(([m, k, n]) =>
        one([x([m, k]), x([k, n]), x([n])], linear, (a, b, bias) => product(a, b, bias), { tolerance: sums }),
      ),
      one(
        [x([3, 4]), x([4, 2])],
        (a, b) => linear(a, b),
        (a, b) => product(a, b),
        { tolerance: sums },
      ),
      ...largeProducts.map(([m, k, n]) =>
        one([x([m, k]), x([k, n]), x([n])], linear, (a, b, bias) => product(a, b, bias), {
          tolerance: sums,
          gradient: 'compare',
        }),
      ),
    ],
    bad: [
      bad(ShapeError, /linear: weight must be \[3, out\] \(x has 3 features\), got \[4, 2\]/, (t) =>
        linear(t([2, 3]), t([4, 2])),
      ),
      bad(ShapeError, /linear: bias must be \[2\], got \[3\]/, (t) => linear(t([2, 3]), t([3, 2]), t([3]))),
      bad(ShapeError, /linear: x must be \[batch, in\], got \[2\]/, (t) => linear(t([2]), t([3, 2]))),
      bad(DTypeError, /linear: bias must be f32 like x, got bf16/, (t) => linear(t([2, 3]), t([3, 2]), t([2], 'bf16'))),
    ],
  },
]
