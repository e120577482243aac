/** Norms. */
import { DTypeError, ShapeError } from '../../../src/errors.ts'
import { batchNorm, channelAffine, groupNorm, instanceNorm, type NormOptions } from '../../../src/ops/norm.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'
import { type Host, host, map, total, zip } from '../host.ts'
import { x } from '../samples.ts'

import { bad, type Case, masters, one, type Row, twice } from '../table.ts'

/** Statistics over the indices that share `group(n, channel)`. */
function normalised(
  a: Host,
  groups: number,
  group: (n: number, c: number) => number,
  { gamma, beta, eps = 1e-5 }: { gamma?: Host; beta?: Host; eps?: number },
): Host[] {
  const members: number[][] = Array.from({ length: groups }, () => [])
  const channels = a.shape[3]
  const perImage = a.shape[1] * a.shape[2] * channels
  const groupOf = (flat: number): number => group(Math.floor(flat / perImage), flat % channels)
  a.data.forEach((v, i) => {
    members[groupOf(i)].push(v)
  })
  const means = members.map((v) => total(v) / v.length)
  const rstds = members.map((v, g) => 1 / Math.sqrt(total(v.map((u) => (u - means[g]) ** 2)) / v.length + eps))
  const y = map(a, (v, i) => {
    const g = groupOf(i)
    return (v - means[g]) * rstds[g] * (gamma?.data[i % channels] ?? 1) + (beta?.data[i % channels] ?? 0)
  })
  return [y, host([groups], means), host([groups], rstds)]
}

function normRow(
  op: string,
  run: (x: Tensor, options: NormOptions) => { y: Tensor; mean: Tensor; rstd: Tensor },
  groupsOf: (shape: readonly number[]) => number,
  group: (n: number, c: number, channels: number) => number,
): Row {
  const all = (n: { y: Tensor; mean: Tensor; rstd: Tensor }): Tensor[] => [n.y, n.mean, n.rstd]
  const tolerance: Case['tolerance'] = { f32: { rtol: 1e-5, atol: 2e-6 }, bf16: { rtol: 2 ** -7, atol: 2 ** -9 } }
  const reference =
    (eps?: number) =>
    (a: Host, gamma?: Host, beta?: Host): Host[] =>
      normalised(a, groupsOf(a.shape), (n, c) => group(n, c, a.shape[3]), { gamma, beta, eps })
  return {
    op,
    cases: [
      ...(
        [
          [2, 2, 3, 2],
          [3, 2, 2, 6],
          [1, 1, 5, 4],
        ] as const
      ).map((shape) =>
        one([x(shape), x([shape[3]]), x([shape[3]])], (a, gamma, beta) => all(run(a, { gamma, beta })), reference(), {
          tolerance,
        }),
      ),
      one([x([2, 3, 2, 4])], (a) => all(run(a, { eps: 0.1 })), reference(0.1), { tolerance }),
      one([x([2, 3, 2, 4]), x([4])], (a, gamma) => all(run(a, { gamma })), reference(), { tolerance }),
      // a mean far from 0: variance by E[x²] − mean² would lose it
      one([x([3, 4, 5, 2], { low: 99, high: 101 })], (a) => all(run(a, {})), reference(), {
        // the inputs themselves are 100 times coarser than their spread
        tolerance: { f64: { rtol: 1e-12, atol: 1e-13 }, f32: { rtol: 1e-4, atol: 1e-5 } },
        dtypes: masters,
      }),
      one([x([6, 13, 17, 34]), x([34]), x([34])], (a, gamma, beta) => all(run(a, { gamma, beta })), reference(), {
        tolerance,
        gradient: 'compare',
      }),
    ],
    bad: [
      bad(ShapeError, new RegExp(`^${op}: x must be \\[batch, height, width, channels\\], got \\[4, 4\\]`), (t) =>
        run(t([4, 4]), {}),
      ),
      bad(ShapeError, new RegExp(`^${op}: gamma must be \\[4\\] \\(x has 4 channels\\), got \\[3\\]`), (t) =>
        run(t([1, 2, 2, 4]), { gamma: t([3]) }),
      ),
      bad(ShapeError, new RegExp(`^${op}: beta must be \\[4\\] \\(x has 4 channels\\), got \\[2, 2\\]`), (t) =>
        run(t([1, 2, 2, 4]), { beta: t([2, 2]) }),
      ),
      bad(DTypeError, new RegExp(`^${op}: gamma must be f32 like x, got f64`), (t) =>
        run(t([1, 2, 2, 4]), { gamma: t([4], 'f64') }),
      ),
      bad(DTypeError, new RegExp(`^${op}: x must be f32 or f64 or bf16, got i32`), (t) =>
        run(t([1, 2, 2, 4], 'i32'), {}),
      ),
    ],
  }
}

export const normRows: readonly Row[] = [
  normRow(
    'batchNorm',
    batchNorm,
    (s) => s[3],
    (_, c) => c,
  ),
  normRow(
    'instanceNorm',
    instanceNorm,
    (s) => s[0] * s[3],
    (n, c, channels) => n * channels + c,
  ),
  normRow(
    'groupNorm',
    (a, options) => groupNorm(a, 1, options),
    (s) => s[0],
    (n) => n,
  ),
  normRow(
    'groupNorm',
    (a, options) => groupNorm(a, 2, options),
    (s) => s[0] * 2,
    (n, c, channels) => n * 2 + Math.floor(c / (channels / 2)),
  ),
  {
    op: 'groupNorm',
    cases: [],
    bad: [
      bad(ShapeError, /groupNorm: groups must divide the 6 channels of x, got 4/, (t) => groupNorm(t([1, 2, 2, 6]), 4)),
      bad(ShapeError, /groupNorm: groups must divide the 6 channels of x, got 0/, (t) => groupNorm(t([1, 2, 2, 6]), 0)),
    ],
  },
  {
    op: 'channelAffine',
    cases: [
      ...([[7], [3, 5], [2, 2, 3, 17], [0, 4], [2, 1]] as const).map((shape) => {
        const channels = shape[shape.length - 1]
        return one(
          [x(shape), x([channels]), x([channels])],
          channelAffine,
          (a, scale, shift) => zip((v, s, b) => v * s + b, a, scale, shift),
          { tolerance: twice },
        )
      }),
      one(
        [x([311, 67]), x([67]), x([67])],
        channelAffine,
        (a, scale, shift) => zip((v, s, b) => v * s + b, a, scale, shift),
        {
          tolerance: twice,
          gradient: 'compare',
        },
      ),
    ],
    bad: [
      bad(ShapeError, /channelAffine: scale must be \[3\] \(x has 3 channels\), got \[2\]/, (t) =>
        channelAffine(t([2, 3]), t([2]), t([3])),
      ),
      bad(ShapeError, /channelAffine: shift must be \[3\] \(x has 3 channels\), got \[1\]/, (t) =>
        channelAffine(t([2, 3]), t([3]), t([1])),
      ),
      bad(DTypeError, /channelAffine: scale must be f32 like x, got f64/, (t) =>
        channelAffine(t([2, 3]), t([3], 'f64'), t([3])),
      ),
    ],
  },
]
