import { describe, test } from 'vitest'
import { rows } from '../ops.ts'
import { byOp, checkForward, devices, dtypesOn, expectedOf, forEachVariant } from './drive.ts'

describe.each(devices)(
  '%s: results are those of the definition, whatever the sizes, dtype and instruction set',
  (device) => {
    test.each([...byOp(rows).values()].map((row) => [row.op, row] as const))('%s', (_, row) => {
      for (const c of row.cases) {
        for (const dtype of dtypesOn(device, c.dtypes)) {
          const expected = expectedOf(c, dtype)
          forEachVariant(
            device,
            (variant) => checkForward(c, dtype, device, expected, `${row.op} of ${c.label} ${dtype} on ${variant}`),
            row.op,
          )
        }
      }
    })
  },
)
