/** Rows by index. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { gatherRows, pick, scatterRows } from '../../../src/ops/rows.ts'
import { at, build, type Host, host } from '../host.ts'
import { bytes, fixed, integers, x } from '../samples.ts'

import { bad, one, type Row } from '../table.ts'

const rowsOf = (a: Host, index: Host): Host =>
  build([index.data.length, ...a.shape.slice(1)], ([i, ...rest]) => at(a, [index.data[i], ...rest]))

export const rowRows: readonly Row[] = [
  {
    op: 'gatherRows',
    cases: [
      one([x([5, 3]), integers([4], [4, 0, 4, 2])], gatherRows, rowsOf),
      one([x([5]), integers([2], [3, 3])], gatherRows, rowsOf),
      one([x([3, 2, 3]), integers([0], [])], gatherRows, rowsOf),
      one([x([2, 0]), integers([2], [1, 0])], gatherRows, rowsOf),
      one([bytes([4, 5]), integers([2], [1, 3])], gatherRows, rowsOf, { dtypes: ['f32'] }),
      one(
        [
          x([50, 701]),
          integers(
            [60],
            Array.from({ length: 60 }, (_, i) => (i * 7) % 50),
          ),
        ],
        gatherRows,
        rowsOf,
        {
          gradient: 'compare',
        },
      ),
    ],
    bad: [
      bad(DTypeError, /gatherRows: index must be i32, got f32/, (t) => gatherRows(t([3, 2]), t([2]))),
      bad(ShapeError, /gatherRows: index must be \[count\], got \[1, 2\]/, (t) =>
        gatherRows(t([3, 2]), t([1, 2], 'i32')),
      ),
      bad(ShapeError, /gatherRows: x must be \[rows\], got \[\]/, (t) => gatherRows(t([]), t([2], 'i32'))),
    ],
  },
  {
    op: 'scatterRows',
    cases: [
      one(
        [fixed([5, 3]), integers([4], [4, 0, 4, 2]), fixed([4, 3])],
        (a, index, v) => {
          scatterRows(a, index, v)
          return a
        },
        (a, index, v) => {
          const out = { ...a, data: a.data.slice() }
          for (const [i, row] of index.data.entries()) out.data.set(v.data.subarray(i * 3, i * 3 + 3), row * 3) // the last wins
          return out
        },
      ),
      one(
        [bytes([3, 2]), integers([1], [1]), bytes([1, 2])],
        (a, index, v) => {
          scatterRows(a, index, v)
          return a
        },
        (a, _, v) => host([3, 2], [a.data[0], a.data[1], v.data[0], v.data[1], a.data[4], a.data[5]]),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(DTypeError, /scatterRows: index must be i32, got u8/, (t) => scatterRows(t([3, 2]), t([1], 'u8'), t([1, 2]))),
      bad(ShapeError, /scatterRows: values must be \[2, 2\], got \[3, 2\]/, (t) =>
        scatterRows(t([3, 2]), t([2], 'i32'), t([3, 2])),
      ),
      bad(DTypeError, /scatterRows: values must be f32 like x, got f64/, (t) =>
        scatterRows(t([3, 2]), t([1], 'i32'), t([1, 2], 'f64')),
      ),
    ],
  },
  {
    op: 'pick',
    cases: [
      one([x([4, 3]), integers([4], [2, 0, 1, 2])], pick, (a, index) => build([4], ([i]) => at(a, [i, index.data[i]]))),
      one([x([0, 3]), integers([0], [])], pick, () => host([0], [])),
      one([x([1, 1]), integers([1], [0])], pick, (a) => host([1], a.data)),
    ],
    bad: [
      bad(ShapeError, /pick: x must be \[rows, columns\], got \[3\]/, (t) => pick(t([3]), t([3], 'i32'))),
      bad(ShapeError, /pick: index must be \[3\], got \[2\]/, (t) => pick(t([3, 2]), t([2], 'i32'))),
      bad(DTypeError, /pick: index must be i32, got f32/, (t) => pick(t([3, 2]), t([3]))),
      bad(DTypeError, /pick: x must be f32 or f64 or bf16, got i32/, (t) => pick(t([3, 2], 'i32'), t([3], 'i32'))),
    ],
  },
]
