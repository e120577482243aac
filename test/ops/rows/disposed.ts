/** Arguments that were disposed. */
import { DeviceError } from '../../../src/errors.ts'
import { cast } from '../../../src/ops/cast.ts'
import { matmul } from '../../../src/ops/matmul.ts'
import { max, sum } from '../../../src/ops/reduce.ts'
import * as shapes from '../../../src/ops/shape.ts'
import { softmax } from '../../../src/ops/softmax.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'

import { bad, disposed, type Row } from '../table.ts'
/** What these allocate comes after all checks: a disposed argument must be told before. */
export const disposedRows: readonly Row[] = (
  [
    ['cast', (a) => cast(a, 'f64')],
    ['transpose', (a) => shapes.transpose(a)],
    ['broadcastTo', (a) => shapes.broadcastTo(a, [2, 2, 3])],
    ['slice', (a) => shapes.slice(a, [0, 0], [1, 1])],
    ['flip', (a) => shapes.flip(a, 0)],
    ['concat', (a) => shapes.concat([a])],
    ['sum', (a) => sum(a)],
    ['max', (a) => max(a)],
    ['matmul', (a) => matmul(a, a)],
    ['softmax', (a) => softmax(a)],
  ] as const satisfies readonly (readonly [string, (a: Tensor) => Tensor])[]
).map(([op, run]) => ({
  op,
  cases: [],
  bad: [bad(DeviceError, /\[2, 3\] is used after it was disposed/, (t) => run(disposed(t([2, 3]))))],
}))
