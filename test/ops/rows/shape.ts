/** Ops that move elements. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import * as shapes from '../../../src/ops/shape.ts'
import { at, build, type Host, mirror, total, zip } from '../host.ts'
import { bytes, x } from '../samples.ts'

import { bad, one, type Row } from '../table.ts'

const permuted = (a: Host, axes: readonly number[]): Host =>
  build(
    axes.map((axis) => a.shape[axis]),
    (index) => {
      const from = new Array<number>(axes.length)
      for (const [i, axis] of axes.entries()) from[axis] = index[i]
      return at(a, from)
    },
  )
const boxOf = (a: Host, start: readonly number[], size: readonly number[]): Host =>
  build(size, (index) =>
    at(
      a,
      index.map((i, axis) => i + start[axis]),
    ),
  )
const padded = (a: Host, amounts: readonly (readonly [number, number])[]): Host =>
  build(
    a.shape.map((extent, i) => extent + amounts[i][0] + amounts[i][1]),
    (index) => {
      const from = index.map((i, axis) => i - amounts[axis][0])
      return from.every((i, axis) => i >= 0 && i < a.shape[axis]) ? at(a, from) : 0
    },
  )

export const shapeRows: readonly Row[] = [
  {
    op: 'reshape',
    cases: [
      one(
        [x([2, 6])],
        (a) => shapes.reshape(a, [3, -1]),
        (a) => ({ ...a, shape: [3, 4] }),
      ),
      one(
        [x([])],
        (a) => shapes.reshape(a, [1, 1]),
        (a) => ({ ...a, shape: [1, 1] }),
      ),
      one(
        [x([0, 3])],
        (a) => shapes.reshape(a, [0]),
        (a) => ({ ...a, shape: [0] }),
      ),
      one(
        [bytes([4, 2])],
        (a) => shapes.reshape(a, [8]),
        (a) => ({ ...a, shape: [8] }),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(ShapeError, /reshape: \[2, 3\] \(6 elements\) cannot become \[4, -1\]/, (t) =>
        shapes.reshape(t([2, 3]), [4, -1]),
      ),
      bad(ShapeError, /a tensor has at most 6 axes, got \[1, 1, 1, 1, 1, 1, 1\]/, (t) =>
        shapes.reshape(t([]), [1, 1, 1, 1, 1, 1, 1]),
      ),
      bad(ShapeError, /broadcastTo: tensors of at most 6 axes are supported, got 7/, (t) =>
        shapes.broadcastTo(t([2]), [1, 1, 1, 1, 1, 1, 2]),
      ),
      bad(ShapeError, /a tensor has at most 6 axes, got \[1, 1, 1, 1, 1, 1, 1\]/, (t) => t([1, 1, 1, 1, 1, 1, 1])),
      bad(ShapeError, /reshape: \[2, 3\] \(6 elements\) cannot become \[7\]/, (t) => shapes.reshape(t([2, 3]), [7])),
      bad(ShapeError, /cannot become \[-1, -1\]/, (t) => shapes.reshape(t([4]), [-1, -1])),
    ],
  },
  {
    op: 'transpose',
    cases: [
      ...(
        [
          [[], []],
          [[5], [0]],
          [
            [3, 4],
            [1, 0],
          ],
          [
            [2, 3, 5],
            [2, 0, 1],
          ],
          [
            [2, 3, 4, 5],
            [0, 3, 1, 2],
          ],
          [
            [2, 3, 4, 5],
            [0, 2, 3, 1],
          ],
          [
            [2, 1, 3, 2, 1, 3],
            [5, 3, 1, 0, 2, 4],
          ],
          [
            [0, 3],
            [1, 0],
          ],
        ] as const
      ).map(([shape, order]) =>
        one(
          [x(shape)],
          (a) => shapes.transpose(a, order),
          (a) => permuted(a, order),
        ),
      ),
      one(
        [x([3, 4])],
        (a) => shapes.transpose(a),
        (a) => permuted(a, [1, 0]),
      ),
      one(
        [x([3, 4, 2])],
        (a) => shapes.transpose(a, [-1, 0, 1]),
        (a) => permuted(a, [2, 0, 1]),
      ),
      one(
        [x([257, 131])],
        (a) => shapes.transpose(a),
        (a) => permuted(a, [1, 0]),
        { gradient: 'compare' },
      ),
      one(
        [x([5, 33, 3, 67])],
        (a) => shapes.transpose(a, [0, 3, 1, 2]),
        (a) => permuted(a, [0, 3, 1, 2]),
        {
          gradient: 'compare',
        },
      ),
      one(
        [bytes([17, 9])],
        (a) => shapes.transpose(a),
        (a) => permuted(a, [1, 0]),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(ShapeError, /transpose: order must name each of the 2 axes once, got \[0, 0\]/, (t) =>
        shapes.transpose(t([2, 3]), [0, 0]),
      ),
      bad(ShapeError, /transpose: axis must be a whole number in \[-2, 1\], got 2/, (t) =>
        shapes.transpose(t([2, 3]), [0, 2]),
      ),
    ],
  },
  {
    op: 'broadcastTo',
    cases: (
      [
        [[], [3]],
        [[1], [0]],
        [
          [3, 1],
          [2, 3, 4],
        ],
        [[7], [5, 7]],
        [
          [2, 1, 3, 1, 2, 1],
          [2, 2, 3, 2, 2, 2],
        ],
      ] as const
    ).map(([from, to]) =>
      one(
        [x(from)],
        (a) => shapes.broadcastTo(a, to),
        (a) =>
          zip(
            (v) => v,
            a,
            build(to, () => 0),
          ),
      ),
    ),
    bad: [
      bad(ShapeError, /broadcastTo: shapes \[2\] and \[3\] do not broadcast/, (t) => shapes.broadcastTo(t([2]), [3])),
      bad(ShapeError, /broadcastTo: \[2, 3\] does not stretch to \[3\]/, (t) => shapes.broadcastTo(t([2, 3]), [3])),
    ],
  },
  {
    op: 'slice',
    cases: (
      [
        [[], [], []],
        [[9], [2], [5]],
        [
          [4, 5],
          [1, 0],
          [2, 5],
        ],
        [
          [3, 4, 5],
          [0, 3, 2],
          [3, 1, 3],
        ],
        [
          [2, 3],
          [1, 1],
          [0, 2],
        ],
        [
          [2, 3, 2, 2, 3, 2],
          [1, 0, 1, 0, 1, 0],
          [1, 2, 1, 2, 2, 1],
        ],
      ] as const
    ).map(([shape, start, size]) =>
      one(
        [x(shape)],
        (a) => shapes.slice(a, start, size),
        (a) => boxOf(a, start, size),
      ),
    ),
    bad: [
      bad(ShapeError, /slice: start \[1, 0\] and size \[2, 3\] must lie within \[2, 3\]/, (t) =>
        shapes.slice(t([2, 3]), [1, 0], [2, 3]),
      ),
      bad(ShapeError, /slice: start \[-1\] and size \[1\] must lie within \[3\]/, (t) =>
        shapes.slice(t([3]), [-1], [1]),
      ),
      bad(ShapeError, /slice: start \[0\] and size \[1.5\]/, (t) => shapes.slice(t([3]), [0], [1.5])),
      bad(ShapeError, /slice: start \[0\] and size \[1\] must lie within \[3, 3\]/, (t) =>
        shapes.slice(t([3, 3]), [0], [1]),
      ),
    ],
  },
  {
    op: 'pad',
    cases: (
      [
        [[], []],
        [[3], [[2, 1]]],
        [
          [2, 3],
          [
            [0, 0],
            [1, 2],
          ],
        ],
        [
          [0, 2],
          [
            [1, 1],
            [0, 1],
          ],
        ],
        [
          [2, 3, 4, 1],
          [
            [0, 0],
            [1, 1],
            [2, 0],
            [0, 0],
          ],
        ],
      ] as const
    ).map(([shape, amounts]) =>
      one(
        [x(shape)],
        (a) => shapes.pad(a, amounts),
        (a) => padded(a, amounts),
      ),
    ),
    bad: [
      bad(ShapeError, /pad: 2 pairs of whole amounts >= 0 are needed for x \[2, 3\], got \[\[1,1\]\]/, (t) =>
        shapes.pad(t([2, 3]), [[1, 1]]),
      ),
      bad(ShapeError, /pad: 1 pairs .* got \[\[-1,0\]\]/, (t) => shapes.pad(t([3]), [[-1, 0]])),
      bad(ShapeError, /pad: 1 pairs .* got \[\[0.5,0\]\]/, (t) => shapes.pad(t([3]), [[0.5, 0]])),
    ],
  },
  {
    op: 'padReflect',
    cases: [0, 1, 3].map((amount) =>
      one(
        [x([2, 5, 4, 3])],
        (a) => shapes.padReflect(a, amount),
        (a) =>
          build([2, 5 + 2 * amount, 4 + 2 * amount, 3], ([n, i, j, c]) =>
            at(a, [n, mirror(i - amount, 5), mirror(j - amount, 4), c]),
          ),
      ),
    ),
    bad: [
      bad(ShapeError, /padReflect: x must be \[batch, height > 4, width > 4, channels\], got \[2, 5, 4, 3\]/, (t) =>
        shapes.padReflect(t([2, 5, 4, 3]), 4),
      ),
      bad(ShapeError, /padReflect: x must be .* got \[5, 4\]/, (t) => shapes.padReflect(t([5, 4]), 1)),
      bad(ShapeError, /padReflect/, (t) => shapes.padReflect(t([1, 5, 4, 1]), -1)),
    ],
  },
  {
    op: 'crop',
    cases: [
      one(
        [x([2, 5, 4, 3])],
        (a) => shapes.crop(a, 1, 2, 3, 2),
        (a) => boxOf(a, [0, 1, 2, 0], [2, 3, 2, 3]),
      ),
      one(
        [bytes([1, 3, 3, 2])],
        (a) => shapes.crop(a, 0, 0, 3, 3),
        (a) => a,
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(ShapeError, /crop: x must be \[batch, height, width, channels\], got \[5, 4\]/, (t) =>
        shapes.crop(t([5, 4]), 0, 0, 1, 1),
      ),
      bad(ShapeError, /slice: .* must lie within \[1, 5, 4, 1\]/, (t) => shapes.crop(t([1, 5, 4, 1]), 3, 0, 3, 1)),
    ],
  },
  {
    op: 'flip',
    cases: (
      [
        [[7], 0],
        [[2, 3, 4], 1],
        [[2, 33], -1],
        [[0, 2], 0],
        [[2, 2, 1, 3, 2, 2], 3],
      ] as const
    ).map(([shape, axis]) =>
      one(
        [x(shape)],
        (a) => shapes.flip(a, axis),
        (a) => {
          const along = axis < 0 ? axis + a.shape.length : axis
          return build(a.shape, (index) =>
            at(
              a,
              index.map((i, k) => (k === along ? a.shape[k] - 1 - i : i)),
            ),
          )
        },
      ),
    ),
    bad: [bad(ShapeError, /flip: axis must be a whole number in \[-1, 0\], got 1/, (t) => shapes.flip(t([3]), 1))],
  },
  {
    op: 'concat',
    cases: (
      [
        [[[3]], 0],
        [[[2], [0], [5]], 0],
        [
          [
            [2, 3],
            [4, 3],
          ],
          0,
        ],
        [
          [
            [2, 3],
            [2, 1],
            [2, 7],
          ],
          -1,
        ],
        [
          [
            [2, 1, 3],
            [2, 4, 3],
          ],
          1,
        ],
      ] as const
    ).map(([parts, axis]) =>
      one(
        parts.map((shape) => x(shape)),
        (...tensors) => shapes.concat(tensors, axis),
        (...hosts) => {
          const along = axis < 0 ? axis + hosts[0].shape.length : axis
          const shape = hosts[0].shape.map((e, i) => (i === along ? total(hosts.map((h) => h.shape[along])) : e))
          return build(shape, (index) => {
            let i = index[along]
            for (const h of hosts) {
              if (i < h.shape[along])
                return at(
                  h,
                  index.map((v, k) => (k === along ? i : v)),
                )
              i -= h.shape[along]
            }
            throw new Error('unreachable')
          })
        },
      ),
    ),
    bad: [
      bad(ShapeError, /concat: at least one tensor is needed/, () => shapes.concat([])),
      bad(ShapeError, /concat: tensors must agree but for axis 0: \[2, 3\] and \[2, 4\]/, (t) =>
        shapes.concat([t([2, 3]), t([2, 4])]),
      ),
      bad(DTypeError, /concat: tensors\[1\] must be f32 like tensors\[0\], got i32/, (t) =>
        shapes.concat([t([2]), t([2], 'i32')]),
      ),
    ],
  },
]
