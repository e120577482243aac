/** Pooling. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { avgPool2d, globalAvgPool } from '../../../src/ops/pool.ts'
import { at, build, type Host, reduce, total } from '../host.ts'
import { x } from '../samples.ts'

import { bad, one, type Row, sums, twice } from '../table.ts'

const pooled = (a: Host, window: number, stride: number): Host => {
  const [batch, height, width, channels] = a.shape
  const out = (extent: number): number => Math.floor((extent - window) / stride) + 1
  return build([batch, out(height), out(width), channels], ([n, i, j, c]) => {
    let s = 0
    for (let u = 0; u < window; u++) for (let v = 0; v < window; v++) s += at(a, [n, i * stride + u, j * stride + v, c])
    return s / window ** 2
  })
}

export const poolRows: readonly Row[] = [
  {
    op: 'avgPool2d',
    cases: [
      ...(
        [
          [[1, 4, 4, 1], 2, 2],
          [[2, 5, 7, 3], 2, 2],
          [[1, 6, 5, 9], 3, 2],
          [[1, 4, 4, 2], 2, 1],
          [[1, 5, 5, 2], 1, 3],
          [[0, 4, 4, 2], 2, 2],
          [[1, 7, 7, 5], 7, 7],
        ] as const
      ).map(([shape, window, stride]) =>
        one(
          [x(shape)],
          (a) => avgPool2d(a, window, stride),
          (a) => pooled(a, window, stride),
          { tolerance: sums },
        ),
      ),
      one(
        [x([9, 28, 28, 13])],
        (a) => avgPool2d(a, 2),
        (a) => pooled(a, 2, 2),
        { tolerance: sums, gradient: 'compare' },
      ),
    ],
    bad: [
      bad(ShapeError, /avgPool2d: x must be \[batch, height, width, channels\], got \[4, 4\]/, (t) =>
        avgPool2d(t([4, 4]), 2),
      ),
      bad(ShapeError, /avgPool2d: window 5 with stride 5 does not fit x \[1, 4, 4, 2\]/, (t) =>
        avgPool2d(t([1, 4, 4, 2]), 5),
      ),
      bad(ShapeError, /avgPool2d: window 2 with stride 0/, (t) => avgPool2d(t([1, 4, 4, 2]), 2, 0)),
      bad(ShapeError, /avgPool2d: window 1.5 with stride 1.5/, (t) => avgPool2d(t([1, 4, 4, 2]), 1.5)),
      bad(DTypeError, /avgPool2d: x must be f32 or f64 or bf16, got u8/, (t) => avgPool2d(t([1, 4, 4, 2], 'u8'), 2)),
    ],
  },
  {
    op: 'globalAvgPool',
    cases: [
      one([x([2, 3, 5, 4])], globalAvgPool, (a) => reduce(a, [1, 2], false, (v) => total(v) / v.length), {
        tolerance: { ...sums, ...twice },
      }),
      one([x([16, 7, 7, 65])], globalAvgPool, (a) => reduce(a, [1, 2], false, (v) => total(v) / v.length), {
        tolerance: { ...sums, ...twice },
        gradient: 'compare',
      }),
    ],
    bad: [
      bad(ShapeError, /globalAvgPool: x must be \[batch, height, width, channels\], got \[4, 4\]/, (t) =>
        globalAvgPool(t([4, 4])),
      ),
    ],
  },
]
