import { describe, expect, test } from 'vitest'
import { devices, forEachVariant } from './drive.ts'
import { kinds } from './kinds.ts'

describe.each(devices)('%s', (device) => {
  test.each(kinds.map((kind) => [kind.name, kind.run] as const))('native %s gives its definition', (_, run) => {
    forEachVariant(device, () => {
      const { got, expected } = run(device)
      expect(got).toBeAllclose(expected, { rtol: device === 'cpu' ? 1e-15 : 1e-7 })
    })
  })
})
