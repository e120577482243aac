/** Random fills. */
import { ConfigError, DTypeError, ShapeError } from '../../../src/errors.ts'
import { dropout, normal, randomInt, uniform } from '../../../src/ops/random.ts'
import { Generator } from '../../../src/random/generator.ts'
import { build, map } from '../host.ts'
import { boxMuller, uniformsOf, wordsOf } from '../philox.ts'
import { largeShape, x } from '../samples.ts'

import { bad, floats, normals, one, type Row, running, source } from '../table.ts'

const seeds = [7, 2 ** 52 + 12345]
const randomShapes = [[], [0], [1], [63], [64], [67], [3, 5, 2], largeShape] as const

export const randomRows: readonly Row[] = [
  {
    op: 'uniform',
    cases: seeds.flatMap((seed) =>
      randomShapes.flatMap((shape) =>
        floats.map((dtype) =>
          one(
            [],
            () => uniform(shape, source(seed, 'noise', 3), { low: -1, high: 3, dtype, device: running.device }),
            () =>
              map(
                build(shape, () => 0),
                (_, i) => -1 + 4 * uniformsOf(source(seed, 'noise', 3), i),
              ),
            { dtypes: [dtype] },
          ),
        ),
      ),
    ),
    bad: [
      bad(DTypeError, /uniform: dtype must be f32 or f64 or bf16, got i32/, () =>
        uniform([2], new Generator(0), { dtype: 'i32' }),
      ),
      bad(ShapeError, /extents must be whole numbers >= 0, got \[-1\]/, () => uniform([-1], new Generator(0))),
    ],
  },
  {
    op: 'normal',
    cases: seeds.flatMap((seed) =>
      randomShapes.flatMap((shape) =>
        floats.map((dtype) =>
          one(
            [],
            () => normal(shape, source(seed, 'sgld', 2), { mean: 0.5, std: 2, dtype, device: running.device }),
            () =>
              map(
                build(shape, () => 0),
                (_, i) => 0.5 + 2 * boxMuller(source(seed, 'sgld', 2), i),
              ),
            { dtypes: [dtype], tolerance: normals },
          ),
        ),
      ),
    ),
    bad: [
      bad(DTypeError, /normal: dtype must be f32 or f64 or bf16, got u8/, () =>
        normal([2], new Generator(0), { dtype: 'u8' }),
      ),
    ],
  },
  {
    op: 'randomInt',
    cases: (
      [
        [0, 10],
        [-2147483648, 2147483648],
        [5, 6],
        [-3, 4],
      ] as const
    ).flatMap(([low, high]) =>
      randomShapes.map((shape) =>
        one(
          [],
          () => randomInt(shape, source(11, 'buffer'), { low, high, device: running.device }),
          () =>
            map(
              build(shape, () => 0),
              (_, i) => low + Number((BigInt(wordsOf(source(11, 'buffer'), i)) * BigInt(high - low)) >> 32n),
            ),
          { dtypes: ['f32'] },
        ),
      ),
    ),
    bad: [
      bad(ConfigError, /randomInt: low < high must be whole numbers of 32 bits, got \[3, 3\)/, () =>
        randomInt([2], new Generator(0), { low: 3, high: 3 }),
      ),
      bad(ConfigError, /randomInt: .* got \[0, 4294967296\)/, () =>
        randomInt([2], new Generator(0), { high: 2 ** 32 }),
      ),
      bad(ConfigError, /randomInt: .* got \[0, 1.5\)/, () => randomInt([2], new Generator(0), { high: 1.5 })),
    ],
  },
  {
    op: 'dropout',
    cases: [0, 0.25, 0.5, 0.9].flatMap((p) =>
      [[17], [3, 5], [0], largeShape].map((shape) =>
        one(
          [x(shape)],
          (a) => dropout(a, p, source(5, 'dropout')),
          (a) => map(a, (v, i) => (uniformsOf(source(5, 'dropout'), i) >= p ? v / (1 - p) : 0)),
          { gradient: shape === largeShape ? 'compare' : 'check' },
        ),
      ),
    ),
    bad: [
      bad(ConfigError, /dropout: p must be in \[0, 1\), got 1/, (t) => dropout(t([2]), 1, new Generator(0))),
      bad(ConfigError, /dropout: p must be in \[0, 1\), got -0.5/, (t) => dropout(t([2]), -0.5, new Generator(0))),
      bad(DTypeError, /dropout: x must be f32 or f64 or bf16, got i32/, (t) =>
        dropout(t([2], 'i32'), 0.5, new Generator(0)),
      ),
    ],
  },
]
