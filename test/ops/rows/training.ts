/** Updates of training and sampling. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import {
  adamUpdate,
  clipScale,
  imageBatch,
  movingAverage,
  type SgldOptions,
  sgdUpdate,
  sgldUpdate,
  sumOfSquares,
} from '../../../src/ops/training.ts'
import { Generator } from '../../../src/random/generator.ts'
import { at, build, type Host, host, map, mirror, total, zip } from '../host.ts'
import { boxMuller, wordsOf } from '../philox.ts'
import { bytes, fixed, given, type Input, integers, largeShape } from '../samples.ts'

import { bad, type Case, masters, normals, one, type Row, source } from '../table.ts'

function sgldCase(shape: readonly number[], options: SgldOptions): Case {
  const { stepSize, noiseStd, gradientClip, clamp } = options
  return one(
    [fixed(shape), fixed(shape)],
    (state, g) => {
      sgldUpdate(state, g, source(9, 'sgld'), options)
      return state
    },
    (state, g) =>
      map(state, (v, i) => {
        const clipped = gradientClip ? Math.max(-gradientClip, Math.min(gradientClip, g.data[i])) : g.data[i]
        const next = v + stepSize * clipped + (noiseStd === 0 ? 0 : noiseStd * boxMuller(source(9, 'sgld'), i))
        return clamp ? Math.max(clamp[0], Math.min(clamp[1], next)) : next
      }),
    { tolerance: { ...normals, bf16: { rtol: 2 ** -8, atol: 2 ** -8 } } },
  )
}

const clipped = (scale: Host | undefined): number => scale?.data[0] ?? 1

interface AdamOptions {
  lr: number
  beta1: number
  beta2: number
  eps: number
  weightDecay: number
  step: number
}
function adamOf(p: Host, g: Host, m: Host, v: Host, o: AdamOptions, scale?: Host): [Host, Host, Host] {
  const gradient = g.data.map((value, i) => value * clipped(scale) + o.weightDecay * p.data[i])
  const first = map(m, (value, i) => o.beta1 * value + (1 - o.beta1) * gradient[i])
  const second = map(v, (value, i) => o.beta2 * value + (1 - o.beta2) * gradient[i] ** 2)
  const next = map(
    p,
    (value, i) =>
      value -
      (o.lr * (first.data[i] / (1 - o.beta1 ** o.step))) /
        (Math.sqrt(second.data[i] / (1 - o.beta2 ** o.step)) + o.eps),
  )
  return [next, first, second]
}

const scaleInput: Input = { ...given([1], [0.37]), dtype: 'f64' }
const positive = { low: 0.01, high: 2 }
const updates: Case['tolerance'] = { f32: { rtol: 4e-6, atol: 1e-6 } }

export const trainingRows: readonly Row[] = [
  {
    op: 'sgldUpdate',
    cases: [
      sgldCase([67], { stepSize: 1, noiseStd: 0.01 }),
      sgldCase([], { stepSize: 1, noiseStd: 0.01 }),
      sgldCase([0], { stepSize: 1, noiseStd: 0.01 }),
      sgldCase([3, 7, 5], { stepSize: 0.5, noiseStd: 0 }),
      sgldCase([129], { stepSize: 2, noiseStd: 0.1, gradientClip: 0.3 }),
      sgldCase([129], { stepSize: 2, noiseStd: 0.1, gradientClip: 0.3, clamp: [-1, 1] }),
      sgldCase(largeShape, { stepSize: 1, noiseStd: 0.5, clamp: [-1, 1] }),
    ],
    bad: [
      bad(ShapeError, /sgldUpdate: g must be \[3\], got \[2\]/, (t) =>
        sgldUpdate(t([3]), t([2]), new Generator(0), { stepSize: 1, noiseStd: 0 }),
      ),
      bad(DTypeError, /sgldUpdate: g must be f32 like x, got f64/, (t) =>
        sgldUpdate(t([3]), t([3], 'f64'), new Generator(0), { stepSize: 1, noiseStd: 0 }),
      ),
      bad(DTypeError, /sgldUpdate: x must be f32 or f64 or bf16, got u8/, (t) =>
        sgldUpdate(t([3], 'u8'), t([3], 'u8'), new Generator(0), { stepSize: 1, noiseStd: 0 }),
      ),
    ],
  },
  {
    op: 'adamUpdate',
    cases: [
      { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, step: 1 },
      { lr: 0.1, beta1: 0.5, beta2: 0.9, eps: 1e-3, weightDecay: 0.1, step: 37 },
    ].flatMap((options) => [
      one(
        [[17], [3, 5]].flatMap((s) => [fixed(s), fixed(s), fixed(s), fixed(s, positive)]),
        (p, g, m, v, p2, g2, m2, v2) => {
          adamUpdate([p, p2], [g, g2], [m, m2], [v, v2], options)
          return [p, m, v, p2, m2, v2]
        },
        (p, g, m, v, p2, g2, m2, v2) => [...adamOf(p, g, m, v, options), ...adamOf(p2, g2, m2, v2, options)],
        { dtypes: masters, tolerance: updates },
      ),
      one(
        [fixed(largeShape), fixed(largeShape), fixed(largeShape), fixed(largeShape, positive), scaleInput],
        (p, g, m, v, scale) => {
          adamUpdate([p], [g], [m], [v], options, scale)
          return [p, m, v]
        },
        (p, g, m, v, scale) => adamOf(p, g, m, v, options, scale),
        { dtypes: masters, tolerance: updates },
      ),
    ]),
    bad: (() => {
      const options = { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, step: 1 }
      return [
        bad(ShapeError, /adamUpdate: gradients must have 2 tensors like parameters, got 1/, (t) =>
          adamUpdate([t([2]), t([3])], [t([2])], [], [], options),
        ),
        bad(ShapeError, /adamUpdate: secondMoments\[0\] must be \[2\] \(as parameters\[0\]\), got \[3\]/, (t) =>
          adamUpdate([t([2])], [t([2])], [t([2])], [t([3])], options),
        ),
        bad(DTypeError, /adamUpdate: gradients\[0\] must be f32 like parameters\[0\], got bf16/, (t) =>
          adamUpdate([t([2])], [t([2], 'bf16')], [t([2])], [t([2])], options),
        ),
        bad(DTypeError, /adamUpdate: parameters must be f32 or f64, got bf16/, (t) =>
          adamUpdate([t([2], 'bf16')], [t([2], 'bf16')], [t([2], 'bf16')], [t([2], 'bf16')], options),
        ),
        bad(DTypeError, /adamUpdate: gradientScale must be f64, got f32/, (t) =>
          adamUpdate([t([2])], [t([2])], [t([2])], [t([2])], options, t([1])),
        ),
      ]
    })(),
  },
  {
    op: 'sgdUpdate',
    cases: [
      { lr: 0.1, momentum: 0, weightDecay: 0 },
      { lr: 0.05, momentum: 0.9, weightDecay: 0.01 },
    ].flatMap((options) =>
      [[19], largeShape].map((shape) =>
        one(
          [fixed(shape), fixed(shape), fixed(shape), scaleInput],
          (p, g, v, scale) => {
            sgdUpdate([p], [g], [v], options, scale)
            return [p, v]
          },
          (p, g, v, scale) => {
            const velocity = map(
              v,
              (u, i) => options.momentum * u + g.data[i] * clipped(scale) + options.weightDecay * p.data[i],
            )
            return [map(p, (u, i) => u - options.lr * velocity.data[i]), velocity]
          },
          { dtypes: masters, tolerance: updates },
        ),
      ),
    ),
    bad: [
      bad(ShapeError, /sgdUpdate: velocities\[0\] must be \[2\]/, (t) =>
        sgdUpdate([t([2])], [t([2])], [t([1, 2])], { lr: 1, momentum: 0, weightDecay: 0 }),
      ),
    ],
  },
  {
    op: 'movingAverage',
    cases: [[], [17], largeShape].map((shape) =>
      one(
        [fixed(shape), fixed(shape)],
        (a, v) => {
          movingAverage([a], [v], 0.9)
          return a
        },
        (a, v) => zip((u, w) => 0.9 * u + 0.1 * w, a, v),
        { dtypes: masters, tolerance: updates },
      ),
    ),
    bad: [
      bad(ShapeError, /movingAverage: values must have 1 tensors like averages, got 0/, (t) =>
        movingAverage([t([2])], [], 0.9),
      ),
      bad(ShapeError, /movingAverage: values\[0\] must be \[2\] \(as averages\[0\]\), got \[3\]/, (t) =>
        movingAverage([t([2])], [t([3])], 0.9),
      ),
    ],
  },
  {
    op: 'sumOfSquares',
    cases: [
      one(
        [fixed([17]), fixed([0]), fixed([3, 5])],
        (...list) => sumOfSquares(list),
        (...list) => host([1], [total(list.flatMap((a) => [...a.data].map((v) => v * v)))]),
        { tolerance: { f64: { rtol: 1e-12, atol: 0 } } },
      ),
      one(
        [fixed(largeShape), fixed([1])],
        (...list) => sumOfSquares(list),
        (...list) => host([1], [total(list.flatMap((a) => [...a.data].map((v) => v * v)))]),
        { tolerance: { f64: { rtol: 1e-12, atol: 0 } } },
      ),
      one(
        [],
        () => sumOfSquares([]),
        () => host([1], [0]),
        { dtypes: ['f32'] },
      ),
    ],
    bad: [
      bad(DTypeError, /sumOfSquares: tensors\[1\] must be f32 or f64 or bf16, got i32/, (t) =>
        sumOfSquares([t([2]), t([2], 'i32')]),
      ),
    ],
  },
  {
    op: 'clipScale',
    cases: [0, 0.25, 16].map((squares) =>
      one(
        [{ ...given([1], [squares]), dtype: 'f64' }],
        (s) => clipScale(s, 1.5),
        (s) => map(s, (v) => Math.min(1, 1.5 / (Math.sqrt(v) + 1e-6))),
        { dtypes: ['f32'] },
      ),
    ),
    bad: [
      bad(DTypeError, /clipScale: sumOfSquares must be f64, got f32/, (t) => clipScale(t([1]), 1)),
      bad(ShapeError, /clipScale: sumOfSquares must be \[1\], got \[2\]/, (t) => clipScale(t([2], 'f64'), 1)),
    ],
  },
  {
    op: 'imageBatch',
    cases: [
      { padding: 0, flip: false, noiseStd: 0 },
      { padding: 2, flip: true, noiseStd: 0 },
      { padding: 1, flip: true, noiseStd: 0.3 },
    ].flatMap((options) =>
      (
        [
          [4, 5, 6, 3, 3],
          [3, 28, 28, 1, 40],
        ] as const
      ).map(([n, height, width, channels, count]) =>
        one(
          [
            bytes([n, height, width, channels]),
            integers(
              [count],
              Array.from({ length: count }, (_, i) => (i * 5 + 1) % n),
            ),
          ],
          (images, index) => imageBatch(images, index, source(3, 'augment', 1), options),
          (images, index) => {
            const { padding, flip, noiseStd } = options
            const noise = source(3, 'augment', 1)
            return map(
              build([count, height, width, channels], ([i, row, column, c]) => {
                const words = wordsOf(noise, 4 * i, 1, 3)
                const top = Number((BigInt(words[0]) * BigInt(2 * padding + 1)) >> 32n)
                const left = Number((BigInt(words[1]) * BigInt(2 * padding + 1)) >> 32n)
                const across = flip && words[2] >>> 31 ? width - 1 - column : column
                const from = [
                  index.data[i],
                  mirror(row + top - padding, height),
                  mirror(across + left - padding, width),
                  c,
                ]
                return at(images, from) / 127.5 - 1
              }),
              (v, e) => v + (noiseStd === 0 ? 0 : noiseStd * boxMuller(noise, e)),
            )
          },
          { dtypes: ['f32'], tolerance: { f32: { rtol: 2e-6, atol: 2e-7 } } },
        ),
      ),
    ),
    bad: [
      bad(DTypeError, /imageBatch: images must be u8, got f32/, (t) =>
        imageBatch(t([1, 4, 4, 1]), t([1], 'i32'), new Generator(0), { padding: 0, flip: false, noiseStd: 0 }),
      ),
      bad(DTypeError, /imageBatch: index must be i32, got f32/, (t) =>
        imageBatch(t([1, 4, 4, 1], 'u8'), t([1]), new Generator(0), { padding: 0, flip: false, noiseStd: 0 }),
      ),
      bad(ShapeError, /imageBatch: images must be \[n, height, width, channels\], got \[4, 4\]/, (t) =>
        imageBatch(t([4, 4], 'u8'), t([1], 'i32'), new Generator(0), { padding: 0, flip: false, noiseStd: 0 }),
      ),
      bad(
        ShapeError,
        /imageBatch: padding must be a whole number below height and width of images \[1, 4, 4, 1\], got 4/,
        (t) =>
          imageBatch(t([1, 4, 4, 1], 'u8'), t([1], 'i32'), new Generator(0), { padding: 4, flip: false, noiseStd: 0 }),
      ),
    ],
  },
]
