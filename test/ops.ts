/** The op table: one row per op of src/ops. Everything that must hold of every op is checked by driving this table
 *  (test/ops/*.test.ts): forward against a naive float64 reference, gradients against central differences and against
 *  float64, the same bits for any number of threads, bad arguments, leaks. A new op without a row fails a test. */

import { arithmeticRows } from './ops/rows/arithmetic.ts'
import { castRows } from './ops/rows/cast.ts'
import { convolutionRows } from './ops/rows/conv2d.ts'
import { disposedRows } from './ops/rows/disposed.ts'
import { linearRows } from './ops/rows/matmul.ts'
import { normRows } from './ops/rows/norm.ts'
import { poolRows } from './ops/rows/pool.ts'
import { randomRows } from './ops/rows/random.ts'
import { reductionRows } from './ops/rows/reduce.ts'
import { rowRows } from './ops/rows/rows.ts'
import { shapeRows } from './ops/rows/shape.ts'
import { headRows } from './ops/rows/softmax.ts'
import { trainingRows } from './ops/rows/training.ts'
import { unaryRows } from './ops/rows/unary.ts'
import type { Row } from './ops/table.ts'

export const rows: readonly Row[] = [
  ...disposedRows,
  ...unaryRows,
  ...arithmeticRows,
  ...castRows,
  ...shapeRows,
  ...reductionRows,
  ...rowRows,
  ...linearRows,
  ...convolutionRows,
  ...poolRows,
  ...normRows,
  ...headRows,
  ...randomRows,
  ...trainingRows,
]

/** Exports of src/ops that are no ops: argument checks, layouts, and buffers of no numbers. */
export const notOps: ReadonlySet<string> = new Set(['signBits'])
